/** Why a call failed or the server refused it. */
export class HeraldError extends Error {
  /**
   * @param code the name of a canonical gRPC code, such as `PERMISSION_DENIED`. Made here, not by the server: `UNAVAILABLE` (nothing
   *   was sent), `UNKNOWN` (the connection was lost; it may or may not have been taken), `DEADLINE_EXCEEDED`, `RESOURCE_EXHAUSTED`
   *   (too many calls are waiting), `CANCELLED` (a subscription, by `unsubscribe` or the client's end), `INVALID_ARGUMENT`.
   */
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = 'HeraldError';
  }
}

// What to do after a close: the table of docs/client-protocol.md.

/** `slow`: come back with eight times the backoff. `token`: come back with another token. */
export type Verdict = 'never' | 'soon' | 'slow' | 'token';

const VERDICTS: Record<number, Verdict> = {
  1000: 'never', // normal
  1002: 'never', // protocol error
  1003: 'never', // wrong data type
  1007: 'never', // bad UTF-8
  1009: 'never', // too big
  1011: 'slow', // the server, or a proxy before it, is ill
  1013: 'slow', // overloaded
  4400: 'never', // malformed or unexpected frame
  4401: 'token', // no or bad token
  4402: 'token', // token expired
  4403: 'never', // not allowed
  4409: 'never', // resumed on another connection
  4429: 'slow', // sent too fast, or too many sessions of this user
};

/** Codes that are not in the table, such as 1006 of a lost connection: come back. A `reconnect` frame before the close is stronger. */
export const verdict = (code: number): Verdict => VERDICTS[code] ?? 'soon';

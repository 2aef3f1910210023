// How long to wait before the next attempt.

/** Delays in milliseconds. */
export interface Backoff {
  /** The ceiling of the first delay; it doubles with each failure. Default 500. */
  baseMs: number;
  /** The highest ceiling. Default 30,000. */
  capMs: number;
}

/**
 * Full jitter: anything from nothing to the ceiling, all equally likely, so that clients which were cut off together spread evenly instead
 * of coming back in waves.
 */
export function fullJitter(attempt: number, { baseMs, capMs }: Backoff, random: () => number = Math.random): number {
  return random() * Math.min(capMs, baseMs * 2 ** Math.min(attempt, 30));
}

// How long to wait before the next attempt.
import type { Backoff } from './api.js';

/**
 * Full jitter: anything from nothing to the ceiling, all equally likely, so that clients which were cut off together spread evenly instead
 * of coming back in waves.
 */
export function fullJitter(attempt: number, { baseMs, capMs }: Backoff, random: () => number = Math.random): number {
  return random() * Math.min(capMs, baseMs * 2 ** Math.min(attempt, 30));
}

// The token that says who we are: asked for, renewed before it expires, and not shown again once it has been refused.
import type { TokenRequest, TokenSource } from './api.js';

const LONGEST_TIMER_MS = 2 ** 31 - 1;
const LEAD_MS = 60_000;

export class Tokens {
  /** The last that was given. */
  current = '';
  private refusal: TokenRequest = {};

  constructor(private readonly source: TokenSource | undefined) {}

  /** Another one may be had. */
  get renewable(): boolean {
    return typeof this.source === 'function';
  }

  /** The token for the next connection, empty if there is none. Rejects if the source fails or knows only the refused one. */
  async next(): Promise<string> {
    this.current = (typeof this.source === 'function' ? await this.source(this.refusal) : this.source) ?? '';
    if (this.current && this.current === this.refusal.refused) throw new Error('the token source gave the refused token again');
    this.refusal = {};
    return this.current;
  }

  /** The server does not take the current one. */
  refuse(code: number): void {
    this.refusal = { refused: this.current, code };
  }

  /** When to renew the current one: a minute before it expires, or after 80 % of the time it has left. Undefined: never. */
  renewInMs(now = Date.now()): number | undefined {
    const left = (expiry(this.current) ?? 0) - now;
    if (!this.renewable || left < 2000) return undefined;
    return Math.min(LONGEST_TIMER_MS, Math.max(left * 0.8, left - LEAD_MS));
  }
}

/** The `exp` of a JWT in milliseconds. Undefined if it has none, or is none. */
export function expiry(token: string): number | undefined {
  try {
    const claims = JSON.parse(atob(token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/')));
    return typeof claims.exp === 'number' ? claims.exp * 1000 : undefined;
  } catch {
    return undefined;
  }
}

// Frames that want a reply: numbered, paced, queued while there is no session, each with a deadline.
import { HeraldError } from './errors.js';
import type { ClientFrame, ClientKind, ReplyFrame, ReplyOk } from './frames.js';

interface Request {
  frame: ClientFrame & { id: number };
  onOk: ((ok: ReplyOk) => void) | undefined;
  resolve(ok: ReplyOk): void;
  reject(error: HeraldError): void;
  timer: ReturnType<typeof setTimeout> | undefined;
}

export interface RequestOptions {
  /** From the call to the reply. */
  timeoutMs: number;
  /** Calls that may wait for a session or for their turn. */
  maxQueued: number;
}

export class Requests {
  private queue: Request[] = [];
  private readonly sent = new Map<number, Request>();
  private lastId = 0;
  private online = false;
  // A bucket of frames, so that the server does not close us with 4429. It grants twice this burst.
  private burst = 0;
  private perSecond = 0;
  private allowance = 0;
  private filledAt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly send: (frame: ClientFrame) => void,
    private readonly options: RequestOptions,
  ) {}

  /**
   * Resolves with the reply's `ok`, rejects with a HeraldError.
   *
   * What had not been sent when its time was over is not sent any more. What had been sent when the connection was lost is rejected
   * with `UNKNOWN` and not sent again: it may have arrived. `patient` calls have no deadline and no bound. `onOk` is called before the
   * frames that follow the reply are looked at, which what awaits the promise is not.
   */
  call(kind: ClientKind, { patient = false, onOk }: { patient?: boolean; onOk?: (ok: ReplyOk) => void } = {}): Promise<ReplyOk> {
    return new Promise((resolve, reject) => {
      if (!patient && this.queue.length >= this.options.maxQueued) {
        throw new HeraldError('RESOURCE_EXHAUSTED', `${this.queue.length} calls are waiting already`);
      }
      this.lastId = (this.lastId % 0xffffffff) + 1;
      const request: Request = { frame: { id: this.lastId, ...kind }, onOk, resolve, reject, timer: undefined };
      if (!patient) request.timer = setTimeout(() => this.expire(request), this.options.timeoutMs);
      this.queue.push(request);
      this.pump();
    });
  }

  connected(framesPerSecond: number): void {
    this.online = true;
    // Acks take a quarter, pings next to nothing.
    this.perSecond = framesPerSecond * 0.7;
    this.burst = this.allowance = Math.max(1, framesPerSecond);
    this.filledAt = Date.now();
    this.pump();
  }

  disconnected(): void {
    this.online = false;
    clearTimeout(this.timer);
    this.timer = undefined;
    const lost = [...this.sent.values()];
    this.sent.clear();
    for (const request of lost) fail(request, 'UNKNOWN', 'the connection was lost; it may or may not have been taken');
  }

  /** There will be no session: gives up what waits. */
  abandon(reason: string): void {
    const queue = this.queue;
    this.queue = [];
    for (const request of queue) fail(request, 'UNAVAILABLE', reason);
  }

  onReply({ id, ok, error }: ReplyFrame): void {
    const request = this.sent.get(id);
    if (!request) return;
    this.sent.delete(id);
    if (error) return fail(request, error.code, error.message ?? error.code);
    clearTimeout(request.timer);
    request.onOk?.(ok ?? {});
    request.resolve(ok ?? {});
  }

  private pump(): void {
    if (!this.online || this.timer !== undefined) return;
    const now = Date.now();
    this.allowance = Math.min(this.burst, this.allowance + (Math.max(0, now - this.filledAt) / 1000) * this.perSecond);
    this.filledAt = now;
    while (this.allowance >= 1) {
      const request = this.queue.shift();
      if (!request) return;
      this.allowance -= 1;
      this.sent.set(request.frame.id, request);
      this.send(request.frame);
    }
    if (this.queue.length === 0) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.pump();
    }, ((1 - this.allowance) / this.perSecond) * 1000);
  }

  private expire(request: Request): void {
    const sent = this.sent.delete(request.frame.id);
    this.queue = this.queue.filter((other) => other !== request);
    fail(request, 'DEADLINE_EXCEEDED', sent ? 'no reply came in time; it may or may not have been taken' : 'not sent in time');
  }
}

function fail(request: Request, code: string, message: string): void {
  clearTimeout(request.timer);
  request.reject(new HeraldError(code, message));
}

// Cumulative acknowledgements: `{"ack":{"orders/42":"17"}}` says that all messages of the topic up to 17 have been handled.

interface Progress {
  /** With the handlers, or given up by one that failed; in order. */
  open: Set<bigint>;
  /** The highest that is done. */
  done: bigint;
  /** The highest that the server has been told in this session. */
  told: bigint;
}

export class Acks {
  private readonly topics = new Map<string, Progress>();
  private online = false;
  private intervalMs = 0;
  private toldAt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly send: (offsets: Record<string, string>) => void) {}

  /**
   * A message goes to its handlers. The returned function says that they are done with it; never called, all acknowledgements of the
   * topic stop before this message. Nothing happens if the topic was reset meanwhile.
   */
  start(topic: string, offset: string): () => void {
    const progress = this.of(topic);
    const number = BigInt(offset);
    progress.open.add(number);
    return () => {
      progress.open.delete(number);
      if (number > progress.done) progress.done = number;
      this.schedule();
    };
  }

  /** Returns what acknowledges this message and all before it in its topic, also those whose handlers have failed. */
  byHand(topic: string, offset: string): () => void {
    const progress = this.of(topic);
    const number = BigInt(offset);
    return () => {
      for (const other of progress.open) if (other <= number) progress.open.delete(other);
      if (number > progress.done) progress.done = number;
      this.schedule();
    };
  }

  /** The topic's offsets begin anew, or it is left: what is still with a handler counts no more. */
  reset(topic: string): void {
    this.topics.delete(topic);
  }

  /**
   * A session has begun that is on the topics of which `has` is true: it is told again what the last one was told, which is harmless.
   * Acks take at most a quarter of the frames a second that the server allows.
   */
  connected(framesPerSecond: number, has: (topic: string) => boolean): void {
    this.online = true;
    this.intervalMs = Math.max(20, 4000 / framesPerSecond);
    for (const [topic, progress] of this.topics) {
      if (has(topic)) progress.told = 0n;
      else this.topics.delete(topic);
    }
    this.schedule();
  }

  disconnected(): void {
    this.online = false;
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  /** Sends what is due now, in one frame. */
  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (!this.online) return;
    const offsets: Record<string, string> = {};
    for (const [topic, progress] of this.topics) {
      const handled = handledUpTo(progress);
      if (handled <= progress.told) continue;
      progress.told = handled;
      offsets[topic] = String(handled);
    }
    if (Object.keys(offsets).length === 0) return;
    this.toldAt = Date.now();
    this.send(offsets);
  }

  // The first at once (when the running task is over), those that follow together. A timer that is late, as in a tab in the
  // background, is not waited for.
  private schedule(): void {
    if (!this.online) return;
    const wait = this.toldAt + this.intervalMs - Date.now();
    if (wait <= 0 || wait > this.intervalMs) queueMicrotask(() => this.flush());
    else this.timer ??= setTimeout(() => this.flush(), wait);
  }

  private of(topic: string): Progress {
    let progress = this.topics.get(topic);
    if (!progress) this.topics.set(topic, (progress = { open: new Set(), done: 0n, told: 0n }));
    return progress;
  }
}

function handledUpTo({ open, done }: Progress): bigint {
  const [first] = open;
  return first === undefined || first > done ? done : first - 1n;
}

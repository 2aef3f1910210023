// The topics of a session: which it wants, how far it has come in each, and what it has seen already.
import type { Gap } from './api.js';
import type { MessageFrame, TopicPosition, TopicState } from './frames.js';

interface Topic {
  /** The application asked for it; otherwise the server put this session on it (`$all`, the token's topics). */
  asked: boolean;
  /** The server has said yes. Only then it is named in `connect`, where one topic that is refused refuses all. */
  confirmed: boolean;
  /** Opaque, as it came with the last message. Empty: the topic keeps no history. */
  position: string;
  /** Of the last message. 64 bits: too big for a number. */
  offset: bigint;
}

export class Topics {
  private readonly known = new Map<string, Topic>();

  has(topic: string): boolean {
    return this.known.has(topic);
  }

  /** Those this session is on. */
  names(): string[] {
    return [...this.known].filter(([, { confirmed }]) => confirmed).map(([name]) => name);
  }

  /** Those to be subscribed to once there is a session. */
  unconfirmed(): string[] {
    return [...this.known].filter(([, { confirmed }]) => !confirmed).map(([name]) => name);
  }

  /** The application asks for it, from `since` on. True if the server has to be asked. */
  want(topic: string, since = ''): boolean {
    const known = this.known.get(topic);
    if (known) known.asked = true;
    else this.known.set(topic, { asked: true, confirmed: false, position: since, offset: 0n });
    return !known?.confirmed;
  }

  confirm(topic: string): void {
    const known = this.known.get(topic);
    if (known) known.confirmed = true;
  }

  /** The last position known; empty: none. */
  position(topic: string): string {
    return this.known.get(topic)?.position ?? '';
  }

  forget(topic: string): void {
    this.known.delete(topic);
  }

  /**
   * Forgets how far we were in what the server chose. False if there is no such topic.
   *
   * With another token (of another user, or with other topics) the server may refuse a `connect` that names them.
   */
  forgetAssigned(): boolean {
    let any = false;
    for (const topic of this.known.values()) {
      if (!topic.asked && topic.confirmed) any = !(topic.confirmed = false);
    }
    return any;
  }

  /** Still on it as the `connect` said that named it: not left since, nor left and asked for anew. */
  keeps(topic: string): boolean {
    return this.known.get(topic)?.confirmed ?? false;
  }

  /** What to name in `connect`. */
  resume(): TopicPosition[] {
    return [...this.known].filter(([, { confirmed }]) => confirmed).map(([topic, { position }]) => ({ topic, position }));
  }

  /** The topics of a `hello`. Returns those of which something was lost. */
  onHello(states: TopicState[]): Gap[] {
    const present = new Set(states.map(({ topic }) => topic));
    for (const [name, { asked }] of this.known) {
      if (!asked && !present.has(name)) this.known.delete(name);
    }
    return states.flatMap((state) => this.onState(state) ?? []);
  }

  /**
   * From where the server goes on in a topic. Returns the gap if that is not where we were.
   *
   * What is recovered follows in messages, each with its position: ours stays the last one we have seen, so that a cut in the
   * middle of them loses nothing.
   */
  onState({ topic, position = '', offset = '0', recovered, reason }: TopicState): Gap | undefined {
    const known = this.known.get(topic);
    const had = known?.position ?? '';
    if (known) known.confirmed = true;
    if (known && had && recovered) return undefined;
    this.known.set(topic, { asked: known?.asked ?? false, confirmed: true, position, offset: BigInt(offset) });
    return had ? { topic, reason: reason || 'refused' } : undefined;
  }

  /** A `gap` frame: go on from `position`, whatever the offsets there are. */
  onGap(topic: string, position: string): void {
    const known = this.known.get(topic);
    if (!known) return;
    known.offset = 0n;
    if (position) known.position = position;
  }

  /** Takes note of a message. False if it has been seen before, or comes from a subscription that was left before this one. */
  accept({ topic, offset, position }: MessageFrame): boolean {
    const known = topic && this.known.get(topic);
    if (!known) return true;
    if (!known.confirmed) return false;
    if (!offset || !position) return true;
    const number = BigInt(offset);
    if (number <= known.offset) return false;
    known.offset = number;
    known.position = position;
    return true;
  }
}

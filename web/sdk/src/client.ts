// A client that stays connected: the one class an application uses.
import { Acks } from './acks.js';
import type { Backoff, ClientEvents, Gap, HeraldOptions, MessageHandler, Session, State, WebSocketConstructor } from './api.js';
import { fullJitter } from './backoff.js';
import { verdict } from './close-codes.js';
import { Connection } from './connection.js';
import { endpoint } from './endpoint.js';
import { HeraldError } from './errors.js';
import { type HelloFrame, type MessageFrame, type ReconnectFrame, type ReplyOk, type ServerFrame, decodePayload, encodePayload, milliseconds } from './frames.js';
import { Handlers } from './handlers.js';
import { Requests } from './requests.js';
import { Tokens } from './tokens.js';
import { Topics } from './topics.js';
import { onWake } from './wake.js';

const DEFAULT_BACKOFF: Backoff = { baseMs: 500, capMs: 30_000 };
const WAKE_JITTER_MS = 500;
const NEVER_CONNECTED: State = { name: 'closed', code: 1000, reason: 'not connected yet' };

interface Pending {
  promise: Promise<void>;
  resolve(): void;
  reject(error: HeraldError): void;
}

/**
 * One session with Herald that keeps itself up: it reconnects, resumes where it was, drops what it has seen, acknowledges what has been
 * handled.
 *
 * @typeParam Events what the `data` of messages is, by event name: `new Herald<{ shipped: { order: number } }>()`
 */
export class Herald<Events extends object = Record<string, any>> {
  private readonly url: string;
  private readonly WebSocket: WebSocketConstructor;
  private readonly options: HeraldOptions;
  private readonly backoff: Backoff;
  private readonly timeoutMs: number;
  private readonly tokens: Tokens;
  private readonly topics = new Topics();
  private readonly pending = new Map<string, Pending>(); // subscribes without an answer
  private readonly acks = new Acks((ack) => this.connection?.send({ ack }));
  private readonly requests: Requests;
  private readonly handlers = new Handlers();
  private readonly ownIds = new Set<string>(); // of this client's sessions, the latest
  private connection: Connection | undefined;
  private advice: ReconnectFrame | undefined; // the server's, for the close that follows it
  private current: State = NEVER_CONNECTED;
  private session_: Session | undefined;
  private attempt = 0;
  private resumed = new Set<string>(); // topics that this connection's `connect` named
  private openedAt = 0; // 0: no hello on this connection
  private generation = 0; // of attempts; a token that comes for an old one is not used
  private retry: ReturnType<typeof setTimeout> | undefined;
  private retryNotBefore = 0; // Infinity: nothing shortens the wait
  private renewal: ReturnType<typeof setTimeout> | undefined;
  private stopWaking: (() => void) | undefined;

  /** Connects when the running task is over, so that there is time to add handlers. */
  constructor(options: HeraldOptions = {}) {
    this.options = options;
    this.url = endpoint(options.url);
    const implementation = options.WebSocket ?? (globalThis.WebSocket as WebSocketConstructor | undefined);
    if (!implementation) throw new HeraldError('INVALID_ARGUMENT', 'there is no WebSocket here: give one in the options');
    this.WebSocket = implementation;
    this.backoff = { ...DEFAULT_BACKOFF, ...options.backoff };
    this.timeoutMs = options.timeoutMs ?? 10_000;
    this.tokens = new Tokens(options.token);
    this.requests = new Requests((frame) => this.connection?.send(frame), { timeoutMs: this.timeoutMs, maxQueued: options.maxQueued ?? 100 });
    if (options.autoConnect === false) return;
    this.current = { name: 'connecting' };
    queueMicrotask(() => this.current.name === 'connecting' && this.open());
  }

  get state(): State {
    return this.current;
  }

  /** The session, or the last one while there is none. Undefined before the first. */
  get session(): Session | undefined {
    return this.session_;
  }

  /** The topics this session is on, those that the server chose included. */
  get subscriptions(): string[] {
    return this.topics.names();
  }

  /** Connects now, also out of `waiting` and `closed`. */
  connect(): void {
    if (this.current.name === 'connecting' || this.current.name === 'open') return;
    if (this.current.name === 'closed') this.attempt = 0;
    this.open();
  }

  /** Ends the session and stays away until `connect()`. Subscriptions that the server has confirmed are kept for that. */
  close(): void {
    if (this.current.name === 'closed') return;
    this.acks.flush();
    const connection = this.connection;
    this.leave();
    connection?.close();
    this.finish(1000, 'closed by the application');
  }

  /**
   * Subscribes, now and after each reconnect, until `unsubscribe`. More than one handler may be added.
   *
   * Resolves once the server has said yes, however long that takes. Rejects, and the topic and its handlers are forgotten, when it says
   * no or the client is closed before.
   *
   * @param options.since the `position` of a message from an earlier life of this page: what followed it comes first, or a `gap` event.
   */
  subscribe<Data = any>(topic: string, handler?: MessageHandler<Data>, options: { since?: string } = {}): Promise<void> {
    if (handler) this.handlers.byTopic.add(topic, handler);
    if (!this.topics.want(topic, options.since)) return Promise.resolve();
    let pending = this.pending.get(topic);
    if (!pending) {
      pending = newPending();
      this.pending.set(topic, pending);
      if (this.current.name === 'open') this.requestSubscribe(topic, pending);
    }
    return pending.promise;
  }

  /** Leaves the topic and forgets its handlers. Resolves when the server knows, or at once if there is no session. */
  async unsubscribe(topic: string): Promise<void> {
    const known = this.topics.has(topic);
    this.acks.flush();
    this.forget(topic);
    this.settle(topic, new HeraldError('CANCELLED', 'unsubscribed'));
    if (known && this.current.name === 'open') await this.requests.call({ unsubscribe: { topic } });
  }

  /** Calls `listener` for each of these events. Returns what removes it. */
  on<Name extends keyof ClientEvents>(name: Name, listener: (event: ClientEvents[Name]) => unknown): () => void {
    return this.handlers.listeners.add(name, listener);
  }

  /** Calls `handler` for each message with this event name, whatever its topic. Returns what removes it. */
  onEvent<Name extends keyof Events & string>(event: Name, handler: MessageHandler<Events[Name]>): () => void {
    return this.handlers.byEvent.add(event, handler);
  }

  /**
   * To the other sessions of a topic, where its rule lets clients publish. A string goes as text, bytes as bytes, the rest as JSON.
   * Waits for a connection if there is none, up to `timeoutMs` and `maxQueued`. Resolves with the message's id.
   */
  async publish(topic: string, data: unknown, options: { event?: string } = {}): Promise<string> {
    const ok = await this.call({ publish: { topic, ...options, ...encodePayload(data) } });
    return ok.message_id ?? '';
  }

  /** To the backends that watch. Otherwise like `publish`. */
  async send(event: string, data: unknown, options: { topic?: string } = {}): Promise<void> {
    await this.call({ message: { event, ...options, ...encodePayload(data) } });
  }

  /** The time to the server and back, in milliseconds. */
  async ping(): Promise<number> {
    const sent = performance.now();
    await this.call({ ping: {} });
    return performance.now() - sent;
  }

  private call(...what: Parameters<Requests['call']>): ReturnType<Requests['call']> {
    if (this.current.name !== 'closed') return this.requests.call(...what);
    return Promise.reject(new HeraldError('UNAVAILABLE', `the client is closed: ${this.current.reason}`));
  }

  // Connecting

  private async open(): Promise<void> {
    clearTimeout(this.retry);
    this.stopWaking ??= onWake(() => this.wake());
    const generation = ++this.generation;
    this.advice = undefined;
    this.openedAt = 0;
    this.setState({ name: 'connecting' });
    let token: string;
    try {
      token = await within(this.timeoutMs, this.tokens.next());
    } catch (error) {
      if (generation !== this.generation) return;
      this.handlers.report(error);
      return this.wait(4401, 'no token', this.backoff);
    }
    if (generation !== this.generation) return;
    try {
      this.connection = new Connection(this.WebSocket, this.url, this.timeoutMs, {
        onOpen: () => this.introduce(token),
        onFrame: (frame) => this.receive(frame),
        onEnd: (code, reason) => this.lost(code, reason),
      });
    } catch (error) {
      this.leave();
      this.finish(1006, String(error));
    }
  }

  private introduce(token: string): void {
    const resume = this.topics.resume();
    this.resumed = new Set(resume.map(({ topic }) => topic));
    const connect: Record<string, unknown> = { resume };
    if (token) connect.token = token;
    if (this.options.labels) connect.labels = this.options.labels;
    if (this.session_) connect.previous_session_id = this.session_.id;
    this.connection?.send({ connect });
  }

  private onHello(hello: HelloFrame): void {
    const { limits = {} } = hello;
    this.session_ = {
      id: hello.session_id,
      userId: hello.user_id ?? '',
      limits: {
        maxMessageBytes: Number(limits.max_message_bytes ?? 65536),
        maxTopics: limits.max_topics ?? 128,
        messagesPerSecond: limits.messages_per_second ?? 100,
      },
      node: hello.node ?? '',
      version: hello.version ?? '',
    };
    remember(this.ownIds, hello.session_id);
    this.openedAt = Date.now();
    this.connection?.greeted(milliseconds(hello.ping_interval) || 25_000);
    // Left between `connect` and now, when no frame could say so.
    const left = [...this.resumed].filter((topic) => !this.topics.keeps(topic));
    for (const topic of left) this.requests.call({ unsubscribe: { topic } }, { patient: true }).catch(() => {});
    const gaps = this.topics.onHello((hello.topics ?? []).filter(({ topic }) => !left.includes(topic)));
    for (const { topic } of gaps) this.acks.reset(topic);
    const rate = this.session_.limits.messagesPerSecond;
    this.acks.connected(rate, (topic) => this.topics.has(topic));
    this.scheduleRenewal();
    for (const topic of this.topics.unconfirmed()) {
      const pending = this.pending.get(topic) ?? newPending();
      this.pending.set(topic, pending);
      this.requestSubscribe(topic, pending);
    }
    this.requests.connected(rate);
    this.setState({ name: 'open' });
    for (const gap of gaps) this.handlers.emit('gap', gap);
  }

  private requestSubscribe(topic: string, pending: Pending): void {
    const current = () => this.pending.get(topic) === pending;
    const position = this.topics.position(topic);
    const onOk = ({ topic: state }: ReplyOk) => {
      const gap = state && current() && this.topics.onState(state);
      if (gap) this.tellGap(gap);
    };
    this.requests.call({ subscribe: { topic, ...(position && { position }) } }, { patient: true, onOk }).then(
      () => {
        if (!current()) return;
        this.topics.confirm(topic);
        this.settle(topic);
      },
      (error: HeraldError) => {
        if (!current() || error.code === 'UNKNOWN') return; // the next session asks again
        this.forget(topic);
        this.settle(topic, error);
      },
    );
  }

  private settle(topic: string, error?: HeraldError): void {
    const pending = this.pending.get(topic);
    this.pending.delete(topic);
    // Nobody has to look at a promise that the application itself has made void.
    if (error?.code === 'CANCELLED') pending?.promise.catch(() => {});
    if (error) pending?.reject(error);
    else pending?.resolve();
  }

  private forget(topic: string): void {
    this.topics.forget(topic);
    this.acks.reset(topic);
    this.handlers.byTopic.clear(topic);
  }

  private scheduleRenewal(): void {
    clearTimeout(this.renewal);
    const delay = this.tokens.renewInMs();
    if (delay === undefined) return;
    this.renewal = setTimeout(async () => {
      const generation = this.generation;
      const before = this.tokens.current;
      try {
        const token = await within(this.timeoutMs, this.tokens.next());
        if (generation !== this.generation) return;
        if (token !== before) await this.requests.call({ refresh: { token } });
      } catch (error) {
        this.handlers.report(error);
      }
      if (generation === this.generation) this.scheduleRenewal();
    }, delay);
  }

  // Losing the connection, and coming back

  private lost(code: number, reason: string): void {
    const { advice, openedAt } = this;
    const lived = openedAt > 0 ? Date.now() - openedAt : -1;
    this.leave();
    if (lived >= (this.options.stableMs ?? 10_000)) this.attempt = 0;
    reason ||= advice?.reason || `close code ${code}`;
    let what = verdict(code);
    // What we were on with an older token may not be allowed with this one: once more, without it.
    if (lived < 0 && (code === 4400 || code === 4403) && this.topics.forgetAssigned()) what = 'soon';
    if (what === 'token') {
      if (this.tokens.renewable) this.tokens.refuse(code);
      else what = 'never';
    }
    if (advice ? advice.never : what === 'never') return this.finish(code, reason);
    if (advice?.delay) return this.wait(code, reason, this.backoff, milliseconds(advice.delay));
    const { baseMs, capMs } = this.backoff;
    this.wait(code, reason, what === 'slow' ? { baseMs: baseMs * 8, capMs } : this.backoff, what === 'slow' ? Infinity : 0);
  }

  // `notBeforeMs` after now is the earliest that a waking tab may shorten the wait to.
  private wait(code: number, reason: string, backoff: Backoff, notBeforeMs = 0): void {
    const asked = notBeforeMs === Infinity ? 0 : notBeforeMs;
    const delayMs = asked + fullJitter(this.attempt++, backoff);
    this.retryNotBefore = Date.now() + notBeforeMs;
    this.retry = setTimeout(() => this.open(), delayMs);
    this.setState({ name: 'waiting', delayMs, code, reason });
  }

  private wake(): void {
    if (this.current.name === 'open') return this.connection?.probe();
    if (this.current.name !== 'waiting' || this.retryNotBefore === Infinity) return;
    clearTimeout(this.retry);
    // Not all tabs in the same moment.
    const delay = Math.max(0, this.retryNotBefore - Date.now()) + Math.random() * WAKE_JITTER_MS;
    this.retry = setTimeout(() => this.open(), delay);
  }

  private leave(): void {
    this.generation += 1;
    this.connection = undefined;
    clearTimeout(this.retry);
    clearTimeout(this.renewal);
    this.acks.disconnected();
    this.requests.disconnected();
  }

  private finish(code: number, reason: string): void {
    this.stopWaking?.();
    this.stopWaking = undefined;
    const why = `the client is closed: ${reason}`;
    this.requests.abandon(why);
    for (const topic of [...this.pending.keys()]) {
      this.forget(topic);
      this.settle(topic, new HeraldError('CANCELLED', why));
    }
    this.setState({ name: 'closed', code, reason });
  }

  // What arrives

  private receive(frame: ServerFrame): void {
    if (frame.message) return this.onMessage(frame.message);
    if (frame.hello) return this.onHello(frame.hello);
    if (frame.reply) return this.requests.onReply(frame.reply);
    if (frame.gap) {
      const { topic, reason = '', position = '' } = frame.gap;
      this.topics.onGap(topic, position);
      return this.tellGap({ topic, reason });
    }
    if (frame.unsubscribed) {
      const { topic, reason = '' } = frame.unsubscribed;
      this.forget(topic);
      this.handlers.emit('unsubscribed', { topic, reason });
    }
    if (frame.reconnect) this.advice = frame.reconnect;
    for (const name of ['join', 'leave'] as const) {
      const news = frame[name];
      if (news) this.handlers.emit(name, { topic: news.topic, sessionId: news.session_id, userId: news.user_id ?? '' });
    }
  }

  private tellGap(gap: Gap): void {
    this.acks.reset(gap.topic);
    this.handlers.emit('gap', gap);
  }

  private onMessage(frame: MessageFrame): void {
    // After a resume the server does not know any more what this client published itself.
    if (!this.topics.accept(frame) || (frame.sender && this.ownIds.has(frame.sender))) return;
    const { topic = '', event = '', offset } = frame;
    const message = {
      topic,
      event,
      data: decodePayload(frame),
      id: frame.id,
      offset,
      position: frame.position,
      time: frame.time,
      sender: frame.sender,
      attributes: frame.attributes ?? {},
      ack: offset ? this.acks.byHand(topic, offset) : () => {},
    };
    this.handlers.deliver(message, offset && this.options.ack !== 'manual' ? () => this.acks.start(topic, offset) : undefined);
  }

  private setState(state: State): void {
    this.current = state;
    this.handlers.emit('state', state);
  }
}

function newPending(): Pending {
  let resolve!: () => void;
  let reject!: (error: HeraldError) => void;
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new HeraldError('DEADLINE_EXCEEDED', 'the token source gave nothing in time')), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

const MOST_OWN_IDS = 50;
function remember(ids: Set<string>, id: string): void {
  ids.add(id);
  for (const oldest of ids) if (ids.size > MOST_OWN_IDS) ids.delete(oldest);
}

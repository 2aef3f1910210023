// What an application sees of this package, but for the class Herald itself.

export interface HeraldOptions {
  /** `https://push.example.com`, `wss://…/ws`, `/ws`. Default: `/ws` of the server that served `/herald.js`. */
  url?: string;
  /** Who this is: a JWT, or a function that gives one, called for each connection and before a token expires. */
  token?: TokenSource;
  /** Labels of this session, kept by the server under `client/…`. */
  labels?: Record<string, string>;
  /** `auto` (default): a message is acknowledged when its handlers have returned. `manual`: by `message.ack()`. */
  ack?: 'auto' | 'manual';
  backoff?: Partial<Backoff>;
  /** For an answer to anything: opening, calls, pings. Default 10,000. */
  timeoutMs?: number;
  /** Calls of `publish` and `send` that may wait while there is no connection; further ones are rejected. Default 100. */
  maxQueued?: number;
  /** A connection must have lived this long for the backoff to begin anew. Default 10,000. */
  stableMs?: number;
  /** False: nothing happens before `connect()`. */
  autoConnect?: boolean;
  /** Default: the global WebSocket. Node before 22 has none; the class of the npm package `ws` will do. */
  WebSocket?: WebSocketConstructor;
}

/** A message, as it came. */
export interface Message<Data = unknown> {
  /** Empty: sent to this session or by a selector, not by topic. */
  readonly topic: string;
  readonly event: string;
  /** JSON as it is, text as a string, bytes as a Uint8Array. */
  readonly data: Data;
  readonly id: string;
  /** A decimal number of up to 64 bits. Undefined if the topic keeps no history. */
  readonly offset?: string;
  /** Where it stands in the topic; opaque. To be kept for `subscribe` if another page is to go on from here. */
  readonly position?: string;
  /** When Herald accepted it, RFC 3339. */
  readonly time?: string;
  /** The session that published it, if a client did. */
  readonly sender?: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** Acknowledges this message and all before it in its topic. Without effect where no history is kept. */
  ack(): void;
}

/** Returning a promise puts off the acknowledgement until it is fulfilled; the next message does not wait for it. */
export type MessageHandler<Data = unknown> = (message: Message<Data>) => unknown;

export type State =
  | { readonly name: 'connecting' }
  | { readonly name: 'open' }
  /** The next attempt begins after `delayMs`; why, say `code` and `reason`. */
  | { readonly name: 'waiting'; readonly delayMs: number; readonly code: number; readonly reason: string }
  /** Stays so until `connect()`. */
  | { readonly name: 'closed'; readonly code: number; readonly reason: string };

/** What the server says of this session. */
export interface Session {
  readonly id: string;
  /** Empty: anonymous. */
  readonly userId: string;
  readonly limits: { readonly maxMessageBytes: number; readonly maxTopics: number; readonly messagesPerSecond: number };
  readonly node: string;
  readonly version: string;
}

export interface Presence {
  readonly topic: string;
  readonly sessionId: string;
  readonly userId: string;
}

/** What `on` tells. */
export interface ClientEvents {
  state: State;
  /** Every message, whatever its topic and event. */
  message: Message;
  /** Something of a topic was lost and will not come: fetch anew what you show. */
  gap: Gap;
  /** The server has ended the subscription: this client may not be on the topic any more. Its handlers are forgotten. */
  unsubscribed: { readonly topic: string; readonly reason: string };
  join: Presence;
  leave: Presence;
  /** A handler threw (then with its message), or the token source failed. With nobody listening it goes to `reportError`. */
  error: { readonly error: unknown; readonly message?: Message };
}

/** Something of a topic was lost and will not come. */
export interface Gap {
  topic: string;
  /** `epoch` (the log was lost), `rollback`, `expired` (no longer kept), `limit`, `slow_consumer`, `refused`. */
  reason: string;
}

/** Why a token is asked for. */
export interface TokenRequest {
  /** The token that the server has refused, if that is why; a cache must not give it again. */
  refused?: string;
  /** 4401 or 4402, with `refused`. */
  code?: number;
}

/** A token, or what gives one: called for every connection, and before a token expires. */
export type TokenSource = string | ((request: TokenRequest) => string | Promise<string>);

/** Delays in milliseconds. */
export interface Backoff {
  /** The ceiling of the first delay; it doubles with each failure. Default 500. */
  baseMs: number;
  /** The highest ceiling. Default 30,000. */
  capMs: number;
}

/** As much of a WebSocket as is used here: the browsers', Node's and that of the npm package `ws` have it. */
export interface WebSocketLike {
  readonly readyState: number;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: any) => any) | null;
  onmessage: ((event: any) => any) | null;
  onclose: ((event: any) => any) | null;
  onerror: ((event: any) => any) | null;
}

export type WebSocketConstructor = new (url: string, protocols?: string | string[]) => WebSocketLike;

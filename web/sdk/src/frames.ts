// The frames of subprotocol herald.v1.json, as they stand in docs/client-protocol.md, and the two things that are translated: payloads and
// durations. 64-bit numbers are strings.

export const SUBPROTOCOL = 'herald.v1.json';

export type Payload = { data?: unknown; text?: string; bytes?: string };

export interface TopicPosition {
  topic: string;
  position: string;
}

export interface TopicState {
  topic: string;
  position?: string;
  offset?: string;
  recovered?: boolean;
  reason?: string;
}

export interface HelloFrame {
  session_id: string;
  user_id?: string;
  ping_interval?: string;
  limits?: { max_message_bytes?: string; max_topics?: number; messages_per_second?: number };
  topics?: TopicState[];
  node?: string;
  version?: string;
}

export interface MessageFrame extends Payload {
  topic?: string;
  offset?: string;
  position?: string;
  id: string;
  event?: string;
  time?: string;
  sender?: string;
  attributes?: Record<string, string>;
}

export interface PresenceFrame {
  topic: string;
  session_id: string;
  user_id?: string;
}

export interface ReplyOk {
  topic?: TopicState;
  message_id?: string;
}

export interface ReplyFrame {
  id: number;
  ok?: ReplyOk;
  error?: { code: string; message?: string };
}

export interface ReconnectFrame {
  delay?: string;
  reason?: string;
  never?: boolean;
}

/** One of these keys is there; a kind that this version does not know is passed over. */
export interface ServerFrame {
  hello?: HelloFrame;
  message?: MessageFrame;
  gap?: { topic: string; reason?: string; position?: string };
  reply?: ReplyFrame;
  join?: PresenceFrame;
  leave?: PresenceFrame;
  reconnect?: ReconnectFrame;
  pong?: object;
  unsubscribed?: { topic: string; reason?: string };
}

export type ClientKind =
  | { connect: { token?: string; labels?: Record<string, string>; resume?: TopicPosition[]; previous_session_id?: string } }
  | { subscribe: { topic: string; position?: string } }
  | { unsubscribe: { topic: string } }
  | { publish: Payload & { topic: string; event?: string } }
  | { message: Payload & { event?: string; topic?: string } }
  | { ack: Record<string, string> }
  | { refresh: { token: string } }
  | { ping: object };

export type ClientFrame = ClientKind & { id?: number };

/** `"1.5s"` → 1500. */
export const milliseconds = (duration: string | undefined): number => Math.max(0, Number.parseFloat(duration ?? '0') * 1000) || 0;

/** A string goes as text, bytes as bytes, everything else as JSON. */
export function encodePayload(value: unknown): Payload {
  if (typeof value === 'string') return { text: value };
  if (value instanceof ArrayBuffer) value = new Uint8Array(value);
  if (!(value instanceof Uint8Array)) return { data: value ?? null };
  let binary = '';
  for (const byte of value) binary += String.fromCharCode(byte);
  return { bytes: btoa(binary) };
}

/** The reverse: JSON as it is, text as a string, bytes as a Uint8Array. */
export function decodePayload({ data, text, bytes }: Payload): unknown {
  if (bytes === undefined) return data === undefined ? text : data;
  return Uint8Array.from(atob(bytes), (character) => character.charCodeAt(0));
}

/** The browser SDK of Herald: see README.md beside the package. */
export { Herald } from './client.js';
export type { ClientEvents, HeraldOptions, Message, MessageHandler, Presence, Session, State } from './client.js';
export type { Backoff } from './backoff.js';
export type { WebSocketConstructor, WebSocketLike } from './connection.js';
export { HeraldError } from './errors.js';
export type { TokenRequest, TokenSource } from './tokens.js';
export type { Gap } from './topics.js';

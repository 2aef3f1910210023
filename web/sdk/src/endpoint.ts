import { HeraldError } from './errors.js';

/**
 * The WebSocket URL for what the application gave: `https://push.example.com`, `wss://push.example.com/ws?topics=a`, `/ws`.
 * Nothing given: `/ws` of where this script came from.
 */
export function endpoint(given: string | undefined, script: string = import.meta.url): string {
  if (!given && !/^https?:/.test(script)) throw new HeraldError('INVALID_ARGUMENT', 'a `url` is needed: this script was not loaded from a server');
  const url = given ? new URL(given, typeof location === 'undefined' ? undefined : location.href) : new URL('/ws', script);
  url.protocol = url.protocol.replace('http', 'ws');
  if (url.pathname === '/') url.pathname = '/ws';
  url.hash = '';
  return url.href;
}

// One WebSocket, from its opening to its one end.
import type { WebSocketConstructor, WebSocketLike } from './api.js';
import { type ClientFrame, SUBPROTOCOL, type ServerFrame } from './frames.js';

export interface ConnectionEvents {
  /** The first frame may be sent. */
  onOpen(): void;
  onFrame(frame: ServerFrame): void;
  /** Once, and nothing after it. 1006: lost without a word. */
  onEnd(code: number, reason: string): void;
}

const OPEN = 1;
const LOST = 1006;

export class Connection {
  private readonly socket: WebSocketLike;
  private opening: ReturnType<typeof setTimeout> | undefined;
  private idle: ReturnType<typeof setInterval> | undefined;
  private probing: ReturnType<typeof setTimeout> | undefined;
  private heardAt = 0;
  private ended = false;

  /** Ends by itself if there is no `greeted()` within `timeoutMs`. Throws what the WebSocket's constructor throws. */
  constructor(
    WebSocket: WebSocketConstructor,
    url: string,
    private readonly timeoutMs: number,
    private readonly on: ConnectionEvents,
  ) {
    const socket = (this.socket = new WebSocket(url, SUBPROTOCOL));
    this.opening = setTimeout(() => this.lose('no answer in time'), timeoutMs);
    let opened = false;
    socket.onopen = () => {
      opened = true;
      if (!this.ended) on.onOpen();
    };
    socket.onmessage = ({ data }) => this.receive(data);
    // A close follows at once, except in Node 20 when the connection could not be made.
    socket.onerror = () => {
      if (!opened) setTimeout(() => this.end(LOST, 'cannot connect'));
    };
    socket.onclose = ({ code, reason }) => this.end(code, reason || (code === LOST ? 'connection lost' : ''));
  }

  /** Nothing happens if the socket is on its way out; its end will come. */
  send(frame: ClientFrame): void {
    if (!this.ended && this.socket.readyState === OPEN) this.socket.send(JSON.stringify(frame));
  }

  /**
   * The server has said hello. From now on `ping` frames look whether it is still there whenever nothing has come for `pingIntervalMs`:
   * scripts do not see the pings of WebSocket itself.
   */
  greeted(pingIntervalMs: number): void {
    clearTimeout(this.opening);
    this.idle = setInterval(() => {
      if (Date.now() - this.heardAt >= pingIntervalMs) this.probe();
    }, pingIntervalMs);
  }

  /** Is the server still there? If nothing comes within the timeout, the connection is lost. */
  probe(): void {
    if (this.probing !== undefined || this.ended) return;
    this.send({ ping: {} });
    const asked = Date.now();
    this.probing = setTimeout(() => {
      this.probing = undefined;
      // A timer that is so late was frozen, and so was what has arrived meanwhile.
      if (Date.now() - asked > 2 * this.timeoutMs) this.probe();
      else this.lose('no answer to a ping');
    }, this.timeoutMs);
  }

  /** Leaves. No events follow. */
  close(): void {
    this.stop();
    this.socket.close(1000);
  }

  private receive(data: unknown): void {
    if (this.ended) return;
    this.heardAt = Date.now();
    clearTimeout(this.probing);
    this.probing = undefined;
    let frame: ServerFrame;
    try {
      frame = JSON.parse(data as string);
    } catch {
      return this.lose('a frame that is not JSON');
    }
    this.on.onFrame(frame);
  }

  private lose(reason: string): void {
    this.end(LOST, reason);
    this.socket.close();
  }

  private end(code: number, reason: string): void {
    if (this.ended) return;
    this.stop();
    this.on.onEnd(code, reason);
  }

  private stop(): void {
    this.ended = true;
    clearTimeout(this.opening);
    clearInterval(this.idle);
    clearTimeout(this.probing);
  }
}

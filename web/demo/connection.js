// One WebSocket connection to Herald that keeps itself up: subprotocol herald.v1.json, resume, replies, reconnect.

// What to do after a close, by its code. Codes that are not here: come back with backoff.
const STAY_AWAY = new Map([
  [1000, 'closed'],
  [1002, 'protocol error'],
  [1003, 'wrong data type'],
  [1007, 'bad UTF-8'],
  [1009, 'message too big'],
  [4400, 'the server did not understand this page'],
  [4401, 'a token is needed'],
  [4402, 'the token has expired'],
  [4403, 'not allowed'],
  [4409, 'taken over by another connection'],
]);
const COME_BACK_SLOWLY = new Set([1013, 4429]);

const FIRST_PAUSE_MS = 500;
const SLOW_PAUSE_MS = 4_000;
const LONGEST_PAUSE_MS = 30_000;
const STABLE_AFTER_MS = 10_000;
const PING_EVERY_MS = 5_000;
const SILENCE_MS = 15_000;

/** "1.5s" → 1500 */
export const milliseconds = (duration) => Math.max(0, Number.parseFloat(duration ?? '0') * 1000) || 0;

export class Connection {
  /**
   * Nothing happens before `connect()`.
   *
   * `on.state(name, detail)`: "connecting", "connected", "waiting" (detail.until, detail.reason), "ended" (detail.reason).
   * `on.hello(hello)`, `on.message(message)`, `on.frame(kind, body)` for all other kinds, `on.roundTrip(ms)`.
   */
  constructor(url, topics, on) {
    this.url = url;
    this.on = on;
    this.positions = new Map(topics.map((topic) => [topic, '']));
    this.attempt = 0;
    this.nextId = 1;
    this.waiting = new Map(); // id → {resolve, reject}
    window.addEventListener('online', () => this.timer && this.connect());
    setInterval(() => this.watch(), 1000);
  }

  connect() {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.advice = undefined;
    this.on.state('connecting');
    const socket = new WebSocket(this.url, 'herald.v1.json');
    this.socket = socket;
    this.opened = 0;
    socket.onopen = () => {
      const resume = [...this.positions].map(([topic, position]) => ({ topic, position }));
      const connect = { labels: { page: 'demo' }, resume };
      if (this.sessionId) connect.previous_session_id = this.sessionId;
      this.heard = performance.now();
      this.transmit({ id: this.nextId++, connect });
    };
    socket.onmessage = (event) => {
      this.heard = performance.now();
      this.receive(JSON.parse(event.data));
    };
    socket.onclose = (event) => {
      if (socket === this.socket) this.closed(event.code, event.reason);
    };
  }

  get connected() {
    return this.opened > 0 && this.socket.readyState === WebSocket.OPEN;
  }

  /** Sends one frame, e.g. {subscribe: {topic}}. Resolves with the reply's `ok`; rejects with an Error that says why. */
  request(kind) {
    if (!this.connected) return Promise.reject(new Error('Not connected; nothing was sent.'));
    const id = this.nextId++;
    this.transmit({ id, ...kind });
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  async subscribe(topic) {
    const ok = await this.request({ subscribe: { topic } });
    this.positions.set(topic, ok?.topic?.position ?? '');
  }

  async unsubscribe(topic) {
    await this.request({ unsubscribe: { topic } });
    this.positions.delete(topic);
  }

  transmit(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  receive(frame) {
    const [kind] = Object.keys(frame);
    const body = frame[kind];
    switch (kind) {
      case 'hello':
        this.opened = performance.now();
        this.pinged = 0;
        this.lastPing = -PING_EVERY_MS; // the next look at the clock sends one
        this.sessionId = body.session_id;
        for (const state of body.topics ?? []) this.positions.set(state.topic, state.position ?? '');
        this.on.state('connected');
        this.on.hello(body);
        break;
      case 'message':
      case 'gap':
        if (body.topic && body.position) this.positions.set(body.topic, body.position);
        if (kind === 'message') this.on.message(body);
        else this.on.frame(kind, body);
        break;
      case 'reply': {
        const waiting = this.waiting.get(body.id);
        this.waiting.delete(body.id);
        if (body.error) waiting?.reject(new Error(`${body.error.code}: ${body.error.message}`));
        else waiting?.resolve(body.ok);
        break;
      }
      case 'pong':
        this.on.roundTrip(performance.now() - this.pinged);
        this.pinged = 0;
        break;
      case 'reconnect':
        this.advice = body;
        break;
      default:
        this.on.frame(kind, body);
    }
  }

  // Notices a connection that is dead without a word, and measures the round trip.
  watch() {
    if (!this.connected) return;
    const now = performance.now();
    if (now - this.opened > STABLE_AFTER_MS) this.attempt = 0;
    if (now - this.heard > SILENCE_MS) {
      const { socket } = this;
      this.closed(1006, 'no answer');
      socket.close();
    } else if (!this.pinged && now - this.lastPing > PING_EVERY_MS) {
      this.pinged = this.lastPing = now;
      this.transmit({ ping: {} });
    }
  }

  closed(code, reason) {
    this.socket = { readyState: WebSocket.CLOSED };
    for (const { reject } of this.waiting.values()) reject(new Error('The connection was lost; it may or may not have been sent.'));
    this.waiting.clear();
    const advice = this.advice;
    const why = reason || STAY_AWAY.get(code) || advice?.reason || (code === 1006 ? 'connection lost' : `close code ${code}`);
    if (advice?.never || STAY_AWAY.has(code)) {
      this.on.state('ended', { code, reason: why });
      return;
    }
    // Full jitter: all pages of a server that restarts must not come back in the same moment.
    const ceiling = Math.min(LONGEST_PAUSE_MS, (COME_BACK_SLOWLY.has(code) ? SLOW_PAUSE_MS : FIRST_PAUSE_MS) * 2 ** this.attempt);
    const pause = milliseconds(advice?.delay) + Math.random() * ceiling;
    this.attempt += 1;
    this.timer = setTimeout(() => this.connect(), pause);
    this.on.state('waiting', { code, reason: why, until: Date.now() + pause });
  }
}

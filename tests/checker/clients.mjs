// Many clients with the real SDK in one process. Reads one JSON array [client, what, ...arguments] a line; writes what happens as one
// JSON array [seconds, client, kind, ...] a line (see classify.py).
//
//   node [--experimental-websocket] clients.mjs SDK_FILE
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const { Herald } = await import(pathToFileURL(process.argv[2]).href);
const ws = createRequire(`${process.env.HERALD_NODE_MODULES}/`)('ws');

let lines = [];
function log(client, ...what) {
  if (lines.length === 0) setImmediate(flush);
  lines.push(JSON.stringify([Number(process.hrtime.bigint()) / 1e9, client, ...what]));
}
function flush() {
  const text = lines.join('\n') + '\n';
  lines = [];
  process.stdout.write(text);
}

const KEPT = 20;

class Client {
  constructor(name, { url, options, useWs, staleness, seed }) {
    this.name = name;
    this.staleness = staleness;
    this.random = generator(seed);
    this.positions = new Map(); // topic → the latest that the application has seen
    this.wanted = new Set(); // topics
    this.again = new Set(); // those of them to subscribe to once more
    this.newest = new Map(); // topic → its last subscription: a refusal of an earlier one means nothing any more
    this.wire = this.delivered = 0;
    this.herald = new Herald({ url, ...options, WebSocket: this.recorder(useWs ? ws : WebSocket) });
    this.herald.on('state', ({ name: state, code, reason }) => {
      if (state === 'waiting' || state === 'closed') this.socket = undefined;
      log(name, 'state', state, code, reason);
    });
    this.herald.on('gap', ({ topic, reason }) => {
      this.positions.delete(topic);
      log(name, 'gap', topic, reason);
    });
    this.herald.on('error', ({ error }) => log(name, 'error', String(error)));
    // What the application has subscribed to has handlers of its own.
    this.herald.on('message', (message) => message.topic.startsWith('$') && this.deliver(message));
  }

  deliver({ topic, offset, position, data }) {
    this.delivered += 1;
    if (position) {
      const kept = this.positions.get(topic) ?? [];
      kept.push(position);
      if (kept.length > KEPT) kept.shift();
      this.positions.set(topic, kept);
    }
    log(this.name, 'msg', topic, Number(offset ?? 0), data.n, data.pad.length);
  }

  // The frames on the wire, besides what the SDK makes of them.
  recorder(Base) {
    const client = this;
    return class extends Base {
      constructor(...given) {
        super(...given);
        client.socket = this;
        this.asked = new Map(); // id → what a subscribe or unsubscribe asked for
        this.resumed = new Map(); // topic → position
        this.addEventListener('message', ({ data }) => this.receive(JSON.parse(data)));
      }

      /** What is on its way was for a subscription that has been left. */
      left(topic) {
        this.resumed.delete(topic);
        for (const [id, { subscribe }] of this.asked) if (subscribe?.topic === topic) this.asked.delete(id);
      }

      receive({ hello, reply, message }) {
        if (client.socket !== this) return; // the SDK has done with it
        if (message) client.wire += 1;
        for (const state of hello?.topics ?? []) {
          if (state.topic.startsWith('$') || this.resumed.has(state.topic)) client.start(state, this.resumed.get(state.topic));
        }
        const asked = reply && this.asked.get(reply.id);
        if (asked?.unsubscribe) log(client.name, 'unsubok', asked.unsubscribe.topic);
        if (asked?.subscribe && reply.ok?.topic) client.start(reply.ok.topic, asked.subscribe.position);
      }

      send(text) {
        const frame = JSON.parse(text);
        if (frame.ack) log(client.name, 'ack', frame.ack);
        if (frame.subscribe || frame.unsubscribe) this.asked.set(frame.id, frame);
        for (const one of frame.connect?.resume ?? []) {
          client.forgetSome(one);
          this.resumed.set(one.topic, one.position);
        }
        super.send(frame.connect ? JSON.stringify(frame) : text);
      }
    };
  }

  /** Sometimes resumes from an older position than it has, as a client may: then the server repeats, and the SDK has to drop that. */
  forgetSome(one) {
    const kept = this.positions.get(one.topic) ?? [];
    const at = kept.indexOf(one.position);
    if (at > 0 && this.random() < this.staleness) one.position = kept[Math.floor(this.random() * at)];
  }

  start({ topic, position = '', offset = '0', recovered = false, reason = '' }, since = '') {
    if (!recovered) this.positions.delete(topic);
    log(this.name, 'start', topic, Number(offset), recovered, since, position, reason);
  }

  sub(topic) {
    this.again.delete(topic);
    this.wanted.add(topic);
    log(this.name, 'sub', topic);
    this.positions.delete(topic);
    const mine = Symbol(topic);
    this.newest.set(topic, mine);
    this.herald.subscribe(topic, (message) => this.deliver(message)).then(
      () => log(this.name, 'subok', topic),
      ({ code, message }) => {
        if (message === 'unsubscribed' || !this.wanted.has(topic) || this.newest.get(topic) !== mine) return;
        log(this.name, 'unsub', topic);
        // Closed before the server had said yes.
        if (code === 'CANCELLED') this.again.add(topic);
        else log(this.name, 'error', `subscribe ${topic}: ${code} ${message}`);
      },
    );
  }

  unsub(topic) {
    this.wanted.delete(topic);
    if (this.again.delete(topic)) return;
    log(this.name, 'unsub', topic);
    this.socket?.left(topic);
    // Rejected with UNKNOWN where the connection is lost: the next one is without the topic.
    this.herald.unsubscribe(topic).catch(() => {});
  }

  connect() {
    this.herald.connect();
    // What was rejected is told a little later.
    setImmediate(() => {
      const again = [...this.again];
      this.again.clear();
      for (const topic of again) this.sub(topic);
    });
  }

  leave() {
    this.herald.close();
  }

  close() {
    log(this.name, 'close');
    this.herald.close();
    log(this.name, 'stats', this.wire, this.delivered);
  }
}

/** Numbers from 0 to 1 (mulberry32). */
function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const clients = new Map();
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const [name, what, ...given] = JSON.parse(line);
    if (what === 'new') clients.set(name, new Client(name, ...given));
    else if (what === 'sync') log(name, 'sync', ...given);
    else clients.get(name)[what](...given);
    if (what === 'close') clients.delete(name);
  })
  .on('close', () => process.exit(0));

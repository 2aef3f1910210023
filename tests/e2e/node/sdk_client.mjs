// The browser SDK under Node. Prints what happens as one JSON object a line; does what it reads: one JSON array [what, ...arguments] a line.
//
//   node --experimental-websocket sdk_client.mjs SDK_FILE SETUP
//
// SETUP, JSON: `options` of the client; `tokens`: given one after the other, the last again and again; `topics` to subscribe to;
// `fail`: offsets that the handler throws at; `hold`: the handler's promises wait for ["finish", offset]; `ws`: with
// that package's WebSocket.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [file, setup] = process.argv.slice(2);
const { Herald } = await import(pathToFileURL(file).href);
const { options = {}, tokens, topics = [], fail = [], hold = false, ws = false } = JSON.parse(setup);
const print = (what) => console.log(JSON.stringify(what));

const Base = ws ? createRequire(`${process.env.HERALD_NODE_MODULES}/`)('ws') : WebSocket;
class Recorder extends Base {
  send(data) {
    print({ sent: JSON.parse(data) });
    super.send(data);
  }
}

let asked = 0;
if (tokens) {
  options.token = async (request) => {
    print({ token: request });
    const token = tokens[Math.min(asked++, tokens.length - 1)];
    if (token === null) throw new Error('no token today');
    return token;
  };
}
const client = new Herald({ ...options, WebSocket: Recorder });
for (const name of ['state', 'gap', 'join', 'leave']) client.on(name, (event) => print({ [name]: event }));
client.on('error', ({ error, message }) => print({ error: error.message, offset: message?.offset }));

const held = new Map();
const seen = new Map();
client.on('message', (message) => {
  const { topic, event, data, offset, sender, position } = message;
  seen.set(offset, message);
  print({ message: { topic, event, data: data instanceof Uint8Array ? { bytes: [...data] } : data, offset, sender, position } });
  if (fail.includes(offset)) throw new Error(`cannot stand ${offset}`);
  if (hold) return new Promise((resolve) => held.set(offset, resolve));
});

const outcome = (promise, name) =>
  promise.then((value) => print({ [name]: { ok: value ?? null } }), ({ code, message }) => print({ [name]: { code, message } }));
const actions = {
  subscribe: (topic, since) => outcome(client.subscribe(topic, undefined, { since }), `subscribe ${topic}`),
  // As most code does: nobody looks at the promise.
  subscribeBlindly: (topic) => void client.subscribe(topic),
  unsubscribe: (topic) => outcome(client.unsubscribe(topic), `unsubscribe ${topic}`),
  publish: (topic, data, more) => outcome(client.publish(topic, data, more), 'publish'),
  send: (event, data, more) => outcome(client.send(event, data, more), 'send'),
  finish: (offset) => held.get(offset)(),
  ack: (offset) => seen.get(offset).ack(),
  connect: () => client.connect(),
  close: () => client.close(),
  session: () => print({ session: client.session, subscriptions: client.subscriptions }),
};
for (const topic of topics) actions.subscribe(topic);
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const [what, ...given] = JSON.parse(line);
    actions[what](...given);
  })
  .on('close', () => client.close());

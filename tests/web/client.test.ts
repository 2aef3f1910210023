import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Herald } from '../../web/sdk/src/client.js';
import type { ServerFrame } from '../../web/sdk/src/frames.js';

/** The server's side of a connection, played by the test. */
class Socket {
  static all: Socket[] = [];
  readyState = 1;
  sent: any[] = [];
  onopen!: () => void;
  onmessage!: (event: { data: string }) => void;
  onclose!: (event: { code: number; reason: string }) => void;
  onerror = null;

  constructor() {
    Socket.all.push(this);
  }
  send(text: string) {
    this.sent.push(JSON.parse(text));
  }
  close() {}

  says(frame: ServerFrame) {
    this.onmessage({ data: JSON.stringify(frame) });
  }
  hello(...topics: { topic: string; position: string; offset: string; recovered?: boolean }[]) {
    this.says({ hello: { session_id: 'x', topics } });
  }
  agrees(to: { subscribe?: { topic: string }; id: number }, offset: string) {
    this.says({ reply: { id: to.id, ok: to.subscribe ? { topic: { ...to.subscribe, position: `p${offset}`, offset } } : {} } });
  }
  message(offset: string) {
    this.says({ message: { topic: 'a', id: 'm', offset, position: `p${offset}`, data: offset } });
  }
  asked(kind: string) {
    return this.sent.filter((frame) => kind in frame);
  }
}

async function next(): Promise<Socket> {
  while (Socket.all.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  return Socket.all.shift()!;
}

/** Subscribed to `a` at offset 1, and then connecting again: `connect` has been sent, `hello` has not come. */
async function connectingAgain() {
  const herald = new Herald({ url: 'ws://x/ws', WebSocket: Socket as any, backoff: { baseMs: 1, capMs: 1 } });
  const got: string[] = [];
  const gaps: string[] = [];
  herald.on('gap', ({ reason }) => gaps.push(reason));
  void herald.subscribe('a', ({ data }) => got.push(data));
  const first = await next();
  first.onopen();
  first.hello();
  first.agrees(first.asked('subscribe')[0], '1');
  first.onclose({ code: 1006, reason: '' });
  const socket = await next();
  socket.onopen();
  assert.deepEqual(socket.sent[0].connect.resume, [{ topic: 'a', position: 'p1' }]);
  return { herald, socket, got, gaps };
}

test('what is left between `connect` and `hello` is left on the server too', async () => {
  const { herald, socket, got } = await connectingAgain();
  await herald.unsubscribe('a');
  socket.hello({ topic: 'a', position: 'p3', offset: '3', recovered: true });
  assert.deepEqual(socket.asked('unsubscribe').map((frame) => frame.unsubscribe), [{ topic: 'a' }]);
  socket.message('2');
  assert.deepEqual([got, herald.subscriptions], [[], []]);
  herald.close();
});

test('what is left and asked for anew between `connect` and `hello` begins anew', async () => {
  const { herald, socket, got, gaps } = await connectingAgain();
  await herald.unsubscribe('a');
  const done = herald.subscribe('a', ({ data }) => got.push(data));
  socket.hello({ topic: 'a', position: 'p3', offset: '3', recovered: true });
  assert.deepEqual(socket.sent.slice(1).map(({ id, ...kind }) => kind), [{ unsubscribe: { topic: 'a' } }, { subscribe: { topic: 'a' } }]);
  socket.message('2');
  socket.agrees(socket.asked('unsubscribe')[0], '');
  socket.agrees(socket.asked('subscribe')[0], '5');
  socket.message('6');
  await done;
  assert.deepEqual([got, gaps, herald.subscriptions], [['6'], [], ['a']]);
  herald.close();
});

test('the answer to a subscription that was left is not that to the next one', async () => {
  const { herald, socket, got, gaps } = await connectingAgain();
  socket.hello({ topic: 'a', position: 'p1', offset: '1', recovered: true });
  for (let i = 0; i < 2; i += 1) {
    void herald.unsubscribe('a').catch(() => {});
    void herald.subscribe('a', ({ data }) => got.push(data));
  }
  const [first, second] = socket.asked('subscribe');
  socket.message('2');
  socket.agrees(first, '2');
  socket.message('3');
  socket.agrees(second, '3');
  socket.message('4');
  assert.deepEqual([got, gaps], [['4'], []]);
  herald.close();
});

test('what has been handled is acknowledged before its topic is left', async () => {
  const { herald, socket } = await connectingAgain();
  socket.hello({ topic: 'a', position: 'p1', offset: '1', recovered: true });
  await new Promise((resolve) => setTimeout(resolve, 1));
  socket.message('2');
  socket.message('3');
  void herald.unsubscribe('a').catch(() => {});
  const kinds = socket.sent.slice(1).map((frame) => frame.ack?.a ?? Object.keys(frame).at(-1));
  assert.deepEqual(kinds.slice(-2), ['3', 'unsubscribe']);
  herald.close();
});

test('G12: a subscription that the server ends is told and forgotten', async () => {
  const { herald, socket, got } = await connectingAgain();
  const left: unknown[] = [];
  herald.on('unsubscribed', (news) => left.push(news));
  socket.hello({ topic: 'a', position: 'p1', offset: '1', recovered: true });
  socket.message('2');
  socket.says({ unsubscribed: { topic: 'a', reason: 'not_allowed' } });
  assert.deepEqual([got, left, herald.subscriptions], [['2'], [{ topic: 'a', reason: 'not_allowed' }], []]);
  socket.onclose({ code: 1006, reason: '' });
  const again = await next();
  again.onopen();
  assert.deepEqual(again.sent[0].connect.resume ?? [], [], 'it is not resumed');
  herald.close();
});

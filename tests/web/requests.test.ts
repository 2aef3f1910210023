import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Requests } from '../../web/sdk/src/requests.js';
import type { ClientFrame } from '../../web/sdk/src/frames.js';

function requests({ timeoutMs = 1000, maxQueued = 3 } = {}) {
  const sent: ClientFrame[] = [];
  return { sent, requests: new Requests((frame) => sent.push(frame), { timeoutMs, maxQueued }) };
}
const codeOf = (promise: Promise<unknown>) => promise.then(() => 'OK', (error: { code: string }) => error.code);

test('waits for a session, in order, up to a bound', async () => {
  const { requests: calls, sent } = requests();
  const answers = [1, 2, 3, 4].map(() => codeOf(calls.call({ ping: {} })));
  assert.equal(await answers[3], 'RESOURCE_EXHAUSTED');
  assert.equal(sent.length, 0);
  calls.connected(100);
  assert.deepEqual(sent.map(({ id }) => id), [1, 2, 3]);
  calls.onReply({ id: 1, ok: {} });
  calls.onReply({ id: 2, error: { code: 'NOT_FOUND', message: 'no' } });
  calls.disconnected();
  assert.deepEqual(await Promise.all(answers.slice(0, 3)), ['OK', 'NOT_FOUND', 'UNKNOWN']);
  calls.connected(100);
  assert.equal(sent.length, 3, 'what may have arrived is not sent again');
});

test('a call has its time, sent or not', async () => {
  const { requests: calls, sent } = requests({ timeoutMs: 20 });
  const unsent = codeOf(calls.call({ ping: {} }));
  assert.equal(await unsent, 'DEADLINE_EXCEEDED');
  calls.connected(100);
  assert.equal(sent.length, 0);
  assert.equal(await codeOf(calls.call({ ping: {} })), 'DEADLINE_EXCEEDED');
  assert.equal(sent.length, 1);
});

test('keeps to the rate that the server allows', (context: TestContext) => {
  context.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const { requests: calls, sent } = requests({ maxQueued: 1000, timeoutMs: 60_000 });
  calls.connected(20);
  for (let i = 0; i < 100; i += 1) calls.call({ ping: {} }).catch(() => {});
  assert.equal(sent.length, 20);
  context.mock.timers.tick(1000);
  assert.ok(sent.length >= 32 && sent.length <= 34, `${sent.length} after a second`);
  for (let i = 0; i < 80; i += 1) context.mock.timers.tick(100);
  assert.equal(sent.length, 100);
  calls.disconnected();
  calls.abandon('over');
});

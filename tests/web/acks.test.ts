import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Acks } from '../../web/sdk/src/acks.js';

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));

function online(has = (_: string) => true) {
  const sent: Record<string, string>[] = [];
  const acks = new Acks((offsets) => sent.push(offsets));
  acks.connected(100, has);
  return { acks, sent };
}

test('the messages of one task are acknowledged in one frame', async () => {
  const { acks, sent } = online();
  for (let i = 1; i <= 100; i += 1) acks.start('a', `${i}`)();
  acks.start('b', '7')();
  await tick();
  assert.deepEqual(sent, [{ a: '100', b: '7' }]);
});

test('no more than a quarter of the frames that the server allows', async (context: TestContext) => {
  context.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const { acks, sent } = online();
  for (let i = 1; i <= 1000; i += 1) {
    acks.start('a', `${i}`)();
    await Promise.resolve();
    await Promise.resolve();
    context.mock.timers.tick(1);
  }
  context.mock.timers.tick(100);
  assert.ok(sent.length <= 27 && sent.length >= 20, `${sent.length} frames in a second`);
  assert.deepEqual(sent.at(-1), { a: '1000' });
});

test('a message still with its handler holds back those after it', async () => {
  const { acks, sent } = online();
  const [first, second, third] = ['1', '2', '3'].map((offset) => acks.start('a', offset));
  third!();
  first!();
  acks.flush();
  assert.deepEqual(sent, [{ a: '1' }]);
  second!();
  acks.flush();
  assert.deepEqual(sent, [{ a: '1' }, { a: '3' }]);
});

test('a message that failed is not acknowledged, nor any after it, until it is by hand', async () => {
  const { acks, sent } = online();
  acks.start('a', '1')();
  acks.start('a', '2'); // fails
  acks.start('a', '3')();
  acks.flush();
  assert.deepEqual(sent, [{ a: '1' }]);
  acks.byHand('a', '2')();
  acks.flush();
  assert.deepEqual(sent.at(-1), { a: '3' });
});

test('by hand all before are meant too, and none is taken back', async () => {
  const { acks, sent } = online();
  acks.byHand('a', '5')();
  acks.byHand('a', '3')();
  acks.flush();
  assert.deepEqual(sent, [{ a: '5' }]);
});

test('offsets beyond 2^53 stay whole', () => {
  const { acks, sent } = online();
  acks.start('a', '18446744073709551614')();
  acks.start('a', '18446744073709551615');
  acks.flush();
  assert.deepEqual(sent, [{ a: '18446744073709551614' }]);
});

test('what a handler finishes after the offsets began anew counts no more', () => {
  const { acks, sent } = online();
  const late = acks.start('a', '900');
  acks.reset('a');
  acks.start('a', '1')();
  late();
  acks.flush();
  assert.deepEqual(sent, [{ a: '1' }]);
});

test('the next session is told again, for the topics it is on', () => {
  const { acks, sent } = online();
  acks.start('a', '4')();
  acks.start('b', '4')();
  acks.flush();
  acks.disconnected();
  acks.start('a', '5')();
  acks.flush();
  assert.equal(sent.length, 1);
  acks.connected(100, (topic) => topic === 'a');
  acks.flush();
  assert.deepEqual(sent.at(-1), { a: '5' });
});

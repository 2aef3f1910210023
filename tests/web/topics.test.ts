import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Topics } from '../../web/sdk/src/topics.js';

const message = (offset: string, position = `p${offset}`) => ({ topic: 'a', id: 'x', offset, position });

function on(...states: Parameters<Topics['onState']>[0][]) {
  const topics = new Topics();
  topics.want('a');
  topics.onHello(states);
  return topics;
}

test('what has been seen is not accepted again', () => {
  const topics = on({ topic: 'a', position: 'p3', offset: '3' });
  assert.deepEqual(['3', '4', '4', '6', '5', '7'].map((offset) => topics.accept(message(offset))), [false, true, false, true, false, true]);
  assert.deepEqual(topics.resume(), [{ topic: 'a', position: 'p7' }]);
});

test('offsets beyond 2^53 are told apart', () => {
  const topics = on({ topic: 'a', position: 'p', offset: '9007199254740992' });
  assert.equal(topics.accept(message('9007199254740992')), false);
  assert.equal(topics.accept(message('9007199254740993')), true);
  assert.equal(topics.accept(message('18446744073709551615')), true);
});

test('offsets are compared as numbers, not as text', () => {
  const topics = on({ topic: 'a', position: 'p9', offset: '9' });
  assert.equal(topics.accept(message('10')), true);
});

test('messages without history are never taken for repeats', () => {
  const topics = on({ topic: 'a' });
  for (let i = 0; i < 2; i += 1) assert.equal(topics.accept({ topic: 'a', id: 'x' }), true);
});

test('a recovered topic goes on from the last message seen, not from where the server is', () => {
  const topics = on({ topic: 'a', position: 'p1', offset: '1' });
  assert.equal(topics.accept(message('2')), true);
  assert.deepEqual(topics.onHello([{ topic: 'a', position: 'p9', offset: '9', recovered: true }]), []);
  // Cut again before the first missed message has come.
  assert.deepEqual(topics.resume(), [{ topic: 'a', position: 'p2' }]);
  assert.equal(topics.accept(message('3')), true);
});

test('a topic that is not recovered is a gap, and the offsets begin where the server says', () => {
  const topics = on({ topic: 'a', position: 'p50', offset: '50' });
  assert.deepEqual(topics.onHello([{ topic: 'a', position: 'q2', offset: '2', recovered: false, reason: 'epoch' }]), [{ topic: 'a', reason: 'epoch' }]);
  assert.equal(topics.accept(message('3')), true);
});

test('a position that the server passes over is a gap too', () => {
  const topics = on({ topic: 'a', position: 'p50', offset: '50' });
  assert.deepEqual(topics.onHello([{ topic: 'a', position: 'p60', offset: '60' }]), [{ topic: 'a', reason: 'refused' }]);
});

test('a gap frame moves the position, and offsets may begin anew', () => {
  const topics = on({ topic: 'a', position: 'p50', offset: '50' });
  topics.onGap('a', 'q7');
  assert.deepEqual(topics.resume(), [{ topic: 'a', position: 'q7' }]);
  assert.equal(topics.accept(message('8')), true);
});

test('a topic is named in `connect` only once the server has accepted it', () => {
  const topics = new Topics();
  assert.equal(topics.want('a'), true);
  assert.deepEqual(topics.resume(), []);
  assert.deepEqual(topics.unconfirmed(), ['a']);
  topics.onHello([{ topic: '$all', position: 'p0' }]);
  assert.deepEqual(topics.resume(), [{ topic: '$all', position: 'p0' }]);
  topics.onState({ topic: 'a', position: 'p1', offset: '1' });
  assert.deepEqual(topics.resume().map(({ topic }) => topic), ['a', '$all']);
  assert.equal(topics.want('a'), false);
});

test('what the server chose is forgotten when it does not choose it again', () => {
  const topics = on({ topic: '$user/alice', position: 'p' }, { topic: 'a', position: 'p' });
  topics.onHello([{ topic: '$user/bob', position: 'p' }, { topic: 'a', position: 'p', recovered: true }]);
  assert.deepEqual(topics.names(), ['a', '$user/bob']);
});

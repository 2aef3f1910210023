import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endpoint } from '../../web/sdk/src/endpoint.js';
import { decodePayload, encodePayload, milliseconds } from '../../web/sdk/src/frames.js';

test('from where the script came, or as given', () => {
  assert.equal(endpoint(undefined, 'https://push.example.com/herald.js'), 'wss://push.example.com/ws');
  assert.equal(endpoint(undefined, 'http://127.0.0.1:8080/herald.js?v=1'), 'ws://127.0.0.1:8080/ws');
  assert.equal(endpoint('https://push.example.com', 'file:///x.js'), 'wss://push.example.com/ws');
  assert.equal(endpoint('wss://push.example.com/live/ws?topics=a#b', 'file:///x.js'), 'wss://push.example.com/live/ws?topics=a');
  assert.throws(() => endpoint(undefined, 'file:///app/herald.js'), /url/);
});

test('payloads come back as they went', () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  for (const value of ['text', '', 'ü', 0, null, false, [1, 'a'], { a: { b: 1 } }, bytes]) {
    assert.deepEqual(decodePayload(JSON.parse(JSON.stringify(encodePayload(value)))), value);
  }
  assert.deepEqual(encodePayload(bytes.buffer), encodePayload(bytes));
  assert.deepEqual(encodePayload(undefined), { data: null });
});

test('durations', () => {
  assert.deepEqual(['25s', '0.250s', '0s', undefined, 'x', '-1s'].map(milliseconds), [25_000, 250, 0, 0, 0, 0]);
});

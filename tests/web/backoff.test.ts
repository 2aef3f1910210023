import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fullJitter } from '../../web/sdk/src/backoff.js';

const BACKOFF = { baseMs: 500, capMs: 30_000 };

test('the ceiling doubles up to the cap', () => {
  const ceilings = [0, 1, 2, 3, 10, 1000].map((attempt) => fullJitter(attempt, BACKOFF, () => 1));
  assert.deepEqual(ceilings, [500, 1000, 2000, 4000, 30_000, 30_000]);
});

test('delays are spread evenly from nothing to the ceiling', () => {
  const COUNT = 20_000;
  const tenths = new Array(10).fill(0);
  for (let i = 0; i < COUNT; i += 1) tenths[Math.floor((fullJitter(3, BACKOFF) / 4000) * 10)] += 1;
  for (const count of tenths) assert.ok(Math.abs(count - COUNT / 10) < COUNT / 50, `${tenths}`);
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type Verdict, verdict } from '../../web/sdk/src/close-codes.js';

// The words of the table's third column.
function meaning(words: string, code: number): Verdict {
  if (words === '1001 yes') return code === 1001 ? 'soon' : 'never';
  if (words === 'no') return 'never';
  if (words === 'yes, backoff') return 'slow';
  if (words === 'with a new token') return 'token';
  if (words.startsWith('yes') || words === 'as the producer said') return 'soon';
  throw new Error(`what is "${words}"?`);
}

test('follows the table of docs/client-protocol.md', () => {
  const table = readFileSync(process.env.HERALD_ROOT + '/docs/client-protocol.md', 'utf8').split('## Close codes')[1]!.split('\n## ')[0]!;
  const rows = [...table.matchAll(/^\| (\d{4}[\d, ]*) \|[^|]*\| ([^|]*) \|$/gm)];
  const codes = rows.flatMap(([, list, words]) => list!.split(', ').map((code): [number, string] => [Number(code), words!]));
  assert.ok(codes.length >= 16, `${codes.length} codes`);
  for (const [code, words] of codes) assert.equal(verdict(code), meaning(words, code), `${code}: ${words}`);
});

test('a connection that was lost without a word is made again', () => {
  for (const code of [1005, 1006, 1015, 3000, 4999]) assert.equal(verdict(code), 'soon');
});

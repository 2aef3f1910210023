import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TokenRequest } from '../../web/sdk/src/api.js';
import { Tokens, expiry } from '../../web/sdk/src/tokens.js';

const jwt = (claims: object) => `x.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.y`;

test('reads the expiry of a JWT', () => {
  assert.equal(expiry(jwt({ sub: 'ü?>~~~', exp: 1_700_000_000 })), 1_700_000_000_000);
  for (const token of ['', 'opaque', jwt({}), jwt({ exp: 'soon' }), 'a.b.c', 'a.%%%.c']) assert.equal(expiry(token), undefined, token);
});

test('is renewed a minute before it expires, or after 80 % of a short life', async () => {
  const now = 1_700_000_000_000;
  const renewIn = async (seconds: number, source?: string) => {
    const token = jwt({ exp: now / 1000 + seconds });
    const tokens = new Tokens(source === undefined ? () => token : token);
    await tokens.next();
    return tokens.renewInMs(now);
  };
  assert.equal(await renewIn(3600), 3_540_000);
  assert.equal(await renewIn(10), 8000);
  assert.equal(await renewIn(-5), undefined);
  assert.equal(await renewIn(365 * 86_400), 2 ** 31 - 1, 'a timer holds no more');
  assert.equal(await renewIn(3600, 'fixed'), undefined);
});

test('a refused token is not shown again, and its source is told', async () => {
  const asked: TokenRequest[] = [];
  const given = ['one', 'one', 'two'];
  const tokens = new Tokens((request) => {
    asked.push(request);
    return given.shift()!;
  });
  assert.equal(await tokens.next(), 'one');
  tokens.refuse(4402);
  await assert.rejects(tokens.next());
  assert.equal(await tokens.next(), 'two');
  assert.deepEqual(asked, [{}, { refused: 'one', code: 4402 }, { refused: 'one', code: 4402 }]);
});

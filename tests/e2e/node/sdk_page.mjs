// A headless Chromium on any page. Reads one JSON array [what, ...arguments] a line, prints one JSON answer a line.
//
//   node sdk_page.mjs URL
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(`${process.env.HERALD_NODE_MODULES}/`);
const { chromium } = require('playwright-core');

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--no-proxy-server'],
});
const page = await browser.newPage();
page.setDefaultTimeout(20_000);
const problems = [];
page.on('pageerror', (error) => problems.push(String(error)));

const actions = {
  problems: () => problems,
  evaluate: async (code) => (await page.evaluate(code)) ?? null,
  // Until the expression is true.
  wait: async (code) => {
    await page.waitForFunction(code);
    return true;
  },
};

await page.goto(process.argv[2]);
console.log(JSON.stringify('loaded'));
for await (const line of createInterface({ input: process.stdin })) {
  const [what, ...given] = JSON.parse(line);
  let answer;
  try {
    answer = await actions[what](...given);
  } catch (error) {
    answer = { error: error.message };
  }
  console.log(JSON.stringify(answer));
}
await browser.close();

// A headless Chromium on one page, driven over stdin: reads one JSON array [what, ...arguments] a line, prints one JSON answer a line.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(`${process.env.HERALD_NODE_MODULES}/`);
const { chromium } = require('playwright-core');

/** Opens `url` and answers until the end of stdin. `actionsOf(page)` are what may be asked, besides the `problems` of the page. */
export async function drive(url, actionsOf, options = {}) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--no-proxy-server'],
  });
  const page = await browser.newPage(options);
  page.setDefaultTimeout(20_000);
  const problems = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  const actions = { problems: () => problems, ...actionsOf(page, problems) };
  await page.goto(url);
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
}

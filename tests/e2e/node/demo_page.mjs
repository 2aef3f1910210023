// A headless Chromium on the demo page. Reads one JSON array [what, ...arguments] a line, prints one JSON answer a line.
//
//   node demo_page.mjs URL
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(`${process.env.HERALD_NODE_MODULES}/`);
const { chromium } = require('playwright-core');

const SECONDS = 1000;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--no-proxy-server'],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce' });
page.setDefaultTimeout(20 * SECONDS);
const problems = [];
page.on('pageerror', (error) => problems.push(String(error)));
page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
page.on('requestfailed', (request) => problems.push(`${request.url()}: ${request.failure().errorText}`));

const actions = {
  problems: () => problems,
  text: (selector) => page.textContent(selector),
  // [topic, event, text] of each message shown, oldest first.
  entries: () => page.$$eval('#messages .entry:not([hidden])', (all) => all.map((entry) => [
    entry.dataset.topic, entry.dataset.event, entry.lastElementChild.textContent.trim()])),
  waitForEntry: async (text) => {
    await page.locator('#messages .entry:not([hidden])', { hasText: text }).first().waitFor();
    return true;
  },
  waitForState: async (state) => {
    await page.locator(`#state[data-state="${state}"]`).waitFor();
    return true;
  },
  waitForText: async (selector, text) => {
    await page.locator(selector, { hasText: text }).first().waitFor();
    return true;
  },
  say: async (to, text) => {
    await page.selectOption('#chat-to', to);
    await page.fill('#chat-input', text);
    await page.click('#chat-send');
    return true;
  },
  screenshot: async (path, width, height, whole, dark) => {
    await page.emulateMedia({ colorScheme: dark ? 'dark' : 'light' });
    await page.setViewportSize({ width, height });
    await page.screenshot({ path, fullPage: whole });
    // A page wider than its window scrolls sideways.
    return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
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

// The demo page (see browser_page.mjs).
//
//   node demo_page.mjs URL
import { drive } from './browser_page.mjs';

await drive(process.argv[2], (page, problems) => {
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  page.on('requestfailed', (request) => problems.push(`${request.url()}: ${request.failure().errorText}`));
  return {
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
}, { viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce', ignoreHTTPSErrors: true });

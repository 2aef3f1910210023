// Any page (see browser_page.mjs).
//
//   node sdk_page.mjs URL
import { drive } from './browser_page.mjs';

await drive(process.argv[2], (page) => ({
  evaluate: async (code) => (await page.evaluate(code)) ?? null,
  // Until the expression is true.
  wait: async (code) => {
    await page.waitForFunction(code);
    return true;
  },
}));

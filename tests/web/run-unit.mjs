// Bundles the unit tests beside this file and runs them with Node's test runner.
//
//   node run-unit.mjs ESBUILD
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const out = mkdtempSync(join(tmpdir(), 'herald-web-'));
try {
  const tests = readdirSync(here).filter((name) => name.endsWith('.test.ts'));
  execFileSync(process.argv[2] ?? 'esbuild', [...tests.map((name) => here + name), '--bundle', '--platform=node', '--format=esm', '--target=node20',
    '--out-extension:.js=.mjs', '--sourcemap=inline', '--log-level=warning', `--outdir=${out}`]);
  const { status } = spawnSync(process.execPath, ['--enable-source-maps', '--test', ...tests.map((name) => join(out, name.replace(/ts$/, 'mjs')))],
    { stdio: 'inherit', env: { ...process.env, HERALD_ROOT: fileURLToPath(new URL('../..', import.meta.url)) } });
  process.exitCode = status ?? 1;
} finally {
  rmSync(out, { recursive: true });
}

// Runs the quick check of what was built under the other versions of Node that the package promises to work on.
// They come from the registry's `node` package and stay in node_modules/.cache.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from './build.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const smoke = join(root, 'test', 'support', 'smoke.mjs');
const SMOKE_TIMEOUT_MS = 60_000;

/** The program of that version, fetched on first use. */
function nodeOf(version) {
  const folder = join(root, 'node_modules', '.cache', `node-${version}`);
  const program = join(folder, 'node_modules', 'node', 'bin', 'node');
  if (existsSync(program)) return program;
  process.stderr.write(`Getting Node ${version} …\n`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  const args = ['install', '--prefix', folder, '--no-audit', '--no-fund', '--loglevel=error', `node@${version}`];
  const { status } = spawnSync('npm', args, { cwd: folder, stdio: ['ignore', 2, 2] });
  if (status !== 0 || !existsSync(program)) throw new Error(`Node ${version} could not be had from the registry.`);
  return program;
}

if (!(await build({ ifNeeded: true }))) process.exit(1);
const versions = process.argv.length > 2 ? process.argv.slice(2) : ['22', '24'];
const failed = versions.filter((version) => {
  try {
    return spawnSync(nodeOf(version), [smoke], { stdio: 'inherit', timeout: SMOKE_TIMEOUT_MS }).status !== 0;
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    return true;
  }
});
if (failed.length > 0) {
  process.stderr.write(`The quick check failed under Node ${failed.join(', ')}.\n`);
  process.exitCode = 1;
}

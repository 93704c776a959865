import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const bench = join(import.meta.dirname, '..');

/**
 * Installs the rivals into bench/node_modules as the lock file says, unless they are there. Runs no install scripts.
 */
export function installRivals() {
  const lock = readFileSync(join(bench, 'package-lock.json'), 'utf8');
  const note = join(bench, 'node_modules', '.installed');
  if (existsSync(note) && readFileSync(note, 'utf8') === lock) return;
  process.stderr.write('Installing the rivals …\n');
  const args = ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status } = spawnSync('npm', args, { cwd: bench, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error('The packages of bench/package.json could not be installed.');
  writeFileSync(note, lock);
}

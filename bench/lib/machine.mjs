import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, availableParallelism, cpus, loadavg, platform, totalmem } from 'node:os';
import { join } from 'node:path';
import { natsVersion } from './cluster/nats-cluster.mjs';
import { versionOfServer } from './servers.mjs';

const bench = join(import.meta.dirname, '..');
const root = join(bench, '..');

/** Returns the machine of a measurement. `load`: one-minute average at its start. */
export function machine() {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGb: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${arch()}`,
    node: process.version,
    load: Number((loadavg()[0] ?? 0).toFixed(2)),
  };
}

/** Returns the versions of packages and servers, and the commit of this project. */
export function versions() {
  const named = { ...dependenciesOf(root), ...dependenciesOf(bench) };
  const git = spawnSync('git', ['describe', '--always', '--dirty', '--exclude', '*'], { cwd: root, encoding: 'utf8' });
  return {
    'agent-context-cache': `${readJson(join(root, 'package.json')).version} (${git.stdout?.trim() || 'no commit'})`,
    ...named,
    'redis-server': versionOfServer('redis-server') ?? 'not there',
    'nats-server': versionOfServer('nats-server') ?? 'not there',
    'nats-server of a cluster': natsVersion() ?? 'not there',
  };
}

function dependenciesOf(folder) {
  const { dependencies } = readJson(join(folder, 'package.json'));
  const require = createRequire(join(folder, 'package.json'));
  const paths = require.resolve.paths('any') ?? [];
  return Object.fromEntries(Object.keys(dependencies).map((name) => [name, installed(name, paths)]));
}

function installed(name, paths) {
  for (const path of paths) {
    try {
      return readJson(join(path, name, 'package.json')).version;
    } catch {}
  }
  return 'not installed';
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

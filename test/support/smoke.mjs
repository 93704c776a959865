// A durable round trip with the built package, for runtimes other than the one that runs the tests: write, shut down,
// open again, read.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { AgentContextCache } from '../../dist/src/index.js';

const dataDir = await mkdtemp(join(tmpdir(), 'context-cache-smoke-'));
try {
  const cache = await AgentContextCache.open({ dataDir });
  const first = await cache.set('token', { user: 'ada' }, 'auth');
  assert.equal(first.version, 1);
  assert.deepEqual(cache.get('token', 'auth'), { user: 'ada' });
  await cache.set('other', null);
  await cache.delete('other');
  await cache.shutdown();

  const again = await AgentContextCache.open({ dataDir });
  assert.deepEqual(again.get('token', 'auth'), { user: 'ada' });
  assert.equal(again.get('other'), undefined);
  assert.deepEqual(again.listKeys('auth'), ['token']);
  assert.equal((await again.set('token', 2, 'auth')).version, 2);
  await again.shutdown();
} finally {
  await rm(dataDir, { recursive: true, force: true });
}
const { bun, deno, node } = process.versions;
const runtime = bun ? `Bun ${bun}` : deno ? `Deno ${deno}` : `Node ${node}`;
process.stdout.write(`${runtime}: works\n`);

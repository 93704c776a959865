import { readdirSync, statSync } from 'node:fs';
import { readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { AgentContextCache, ContextCacheError } from '../../src/index.ts';
import { removeTempDir } from '../support/temp-dir.ts';
import { copyOf } from './damage-case.ts';
import { type Filled, fillDirectory } from './damage-workload.ts';
import { faultSeed, Random, times } from './support.ts';

const seed = faultSeed();
let filled: Filled;

/** Returns the restored position, or the code of the refusal. */
async function restored(dataDir: string): Promise<number | string> {
  let cache: AgentContextCache;
  try {
    cache = await AgentContextCache.open({ restoreFrom: join(dataDir, 'backups'), natsUrl: null, onError: () => {} });
  } catch (error) {
    if (error instanceof ContextCacheError && /^(SNAPSHOT_CORRUPT|NOT_FOUND)$/.test(error.code)) return error.code;
    throw error;
  }
  try {
    const wrong = filled.recorded.stateDifference(cache);
    if (wrong !== undefined) expect.fail(`seed ${seed}: ${wrong} (left in ${dataDir})`);
    return cache.position;
  } finally {
    await cache.shutdown();
  }
}

beforeAll(async () => {
  filled = await fillDirectory(seed);
});

it('passes over a damaged snapshot or refuses it, and never restores it', async () => {
  const random = new Random(seed);
  const files = readdirSync(join(filled.dataDir, 'backups'));
  const whole = await restored(filled.dataDir);
  const results: (number | string)[] = [];
  for (let i = 0; i < times(16, 600); i += 1) {
    const file = random.pick(i % 2 === 0 ? files : files.filter((name) => name.startsWith('snapshot-')));
    const { size } = statSync(join(filled.dataDir, 'backups', file));
    const dataDir = await copyOf(filled.dataDir, 'backups', file);
    const path = join(dataDir, 'backups', file);
    const kind = random.below(8);
    const bytes = await readFile(path);
    const at = random.below(size);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    if (kind === 0) await rm(path);
    else if (kind === 1) await writeFile(path, Buffer.alloc(size));
    else if (kind < 4) await truncate(path, at);
    else await writeFile(path, bytes);
    results.push(await restored(dataDir));
    removeTempDir(dataDir);
  }
  expect(whole).toBeGreaterThan(0);
  expect(results.some((result) => result !== whole)).toBe(true);
});

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { beforeAll, describe, expect, it } from 'vitest';
import { AgentContextCache, type Update } from '../../src/index.ts';
import { closing, logOf } from '../support/cache.ts';
import { buildDist, projectRoot } from '../support/dist.ts';
import { removeTempDir, tempDir } from '../support/temp-dir.ts';
import { DiskImage, mountingMissing } from './crash-disk.ts';
import { faultSeed, Random, times } from './support.ts';

const KILLS = times(4, 40);
const CUTS = times(2, 20);
const MEGABYTES = 96;

/** Reason why no power cut can be made here. */
const missing = await (async () => {
  const home = await tempDir('probe');
  try {
    return mountingMissing(['-t', 'ext4', '-o', 'loop', (await DiskImage.make(home, 8)).file]);
  } catch (error) {
    return (error as Error).message;
  } finally {
    removeTempDir(home);
  }
})();

beforeAll(buildDist);

/** Runs transfers until so many are acknowledged, then stops the process. Returns the numbers of the acknowledged ones. */
async function transferUntil(
  dataDir: string,
  durability: 'log' | 'memory',
  count: number,
  stop: (child: ChildProcess) => Promise<void>,
): Promise<number[]> {
  const script = join(import.meta.dirname, 'transfer-child.mjs');
  const args = [script, join(projectRoot, 'dist'), dataDir, durability, String(count + 200)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  const acknowledged: number[] = [];
  for await (const line of createInterface(child.stdout)) {
    acknowledged.push(Number(line));
    if (acknowledged.length === count) await stop(child);
  }
  await closed;
  expect(child.signalCode).toBe('SIGKILL');
  return acknowledged;
}

const kill = async (child: ChildProcess) => void child.kill('SIGKILL');

/** Opens the directory and checks that each transfer is there whole or not at all. Returns how many are there. */
async function check(dataDir: string): Promise<number> {
  const cache = closing(await AgentContextCache.open({ dataDir, natsUrl: null, onError: () => {} }));
  let sum = 0;
  for (const namespace of ['left', 'right']) for (const { value } of cache.entries(namespace)) sum += Number(value);
  expect(sum).toBe(0);
  const operations = new Map<string | undefined, Update[]>();
  for (const update of await logOf(cache)) {
    const updates = operations.get(update.operationId) ?? [];
    operations.set(update.operationId, updates);
    updates.push(update);
  }
  for (const [id, updates] of operations) {
    expect(id).toBeDefined();
    expect((updates.at(-1)?.position ?? 0) - (updates[0]?.position ?? 0)).toBe(updates.length - 1);
    const namespaces = new Set(updates.map(({ namespace }) => namespace));
    for (const name of ['left', 'right', 'count']) expect(namespaces).toContain(name);
  }
  const number = Number(cache.get('number', 'count') ?? 0);
  expect(operations.size).toBe(number);
  await cache.shutdown();
  return number;
}

describe('transfers between two namespaces', () => {
  for (const durability of ['log', 'memory'] as const) {
    it(`keep their sum through kills (durability ${durability})`, async () => {
      const random = new Random(faultSeed());
      const dataDir = await tempDir('transfers');
      for (let kills = 0; kills < KILLS; kills += 1) {
        const acknowledged = await transferUntil(dataDir, durability, 1 + random.below(220), kill);
        const copy = join(await tempDir('copy'), 'data');
        await cp(dataDir, copy, { recursive: true });
        const number = await check(copy);
        if (durability === 'log') expect(number).toBeGreaterThanOrEqual(Math.max(...acknowledged));
      }
    });
  }

  it.skipIf(missing !== undefined)('keep their sum through power cuts', async () => {
    const random = new Random(faultSeed());
    const home = await tempDir('power');
    let disk = await DiskImage.make(home, MEGABYTES);
    for (let cuts = 0; cuts < CUTS; cuts += 1) {
      const mount = await disk.mount();
      const acknowledged = await transferUntil(
        join(mount.path, 'data'),
        'log',
        1 + random.below(220),
        async (child) => {
          await mount.cutPower();
          child.kill('SIGKILL');
        },
      );
      const left = await disk.copy();
      await mount[Symbol.asyncDispose]();
      await disk.remove();
      disk = left;
      const copy = join(await tempDir('copy'), 'data');
      await using again = await disk.mount();
      await cp(join(again.path, 'data'), copy, { recursive: true });
      expect(await check(copy)).toBeGreaterThanOrEqual(Math.max(...acknowledged));
    }
  });
});

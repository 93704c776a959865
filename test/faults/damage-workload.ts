import { cp, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { AgentContextCache, type ContextCommand, type JsonValue, type Update } from '../../src/index.ts';
import { nodeFiles } from '../../src/storage/disk/files.ts';
import { isCompressed } from '../../src/storage/disk/log/segment-file.ts';
import { airlineLines } from '../support/airline.ts';
import { tempDir } from '../support/temp-dir.ts';
import { eventually } from '../support/waiting.ts';
import { Recorded } from './damage-model.ts';
import { Random, times } from './support.ts';

const FAR_AWAY = Date.UTC(2999, 0, 1);
/** Commands under way at a time. */
const TOGETHER = 100;

/** Updates that the compaction keeps. */
const KEPT = 800;

/** A filled directory, its content, and earlier copies of its files. */
export interface Filled {
  readonly dataDir: string;
  /** Earlier states of `db`, oldest first. */
  readonly older: readonly string[];
  readonly recorded: Recorded;
}

/**
 * Fills a directory in three sessions, with a backup in each of the first two. The second one ends with a compaction, which
 * leaves a base file and two files of the log, the first of which is compressed in the third one.
 */
export async function fillDirectory(seed: number): Promise<Filled> {
  const dataDir = await tempDir('damage-original');
  const random = new Random(seed);
  const airline = airlineLines().slice(0, times(1_500, 9_000));
  const older: string[] = [];
  const updates: Update[] = [];
  const keepCopy = async () => {
    const copy = await tempDir('damage-older');
    await cp(join(dataDir, 'db'), copy, { recursive: true });
    older.push(copy);
  };
  await inSession(dataDir, async (cache) => {
    await run(
      cache,
      airline.map((line) => JSON.parse(line)),
    );
    await cache.backup();
  });
  await keepCopy();
  await inSession(dataDir, async (cache) => {
    await run(cache, someCommands(random, 2_000, 3_000));
    await cache.backup();
    for await (const update of cache.readLog({ from: 1 })) updates.push(update);
    await cache.compact({ keepUpdates: KEPT });
  });
  await keepCopy();
  await inSession(dataDir, async (cache) => {
    await run(cache, someCommands(random, 200, 300));
    await keepCopy();
    await run(cache, someCommands(random, 500, 300));
    for await (const update of cache.readLog({ from: updates.length + 1 })) updates.push(update);
    await whenCompressed(join(dataDir, 'db/log'));
  });
  return { dataDir, older, recorded: new Recorded(updates) };
}

/** Resolves when all files of a log but the last one are compressed. */
async function whenCompressed(directory: string): Promise<void> {
  const closed = (await readdir(directory)).filter((name) => name.endsWith('.log')).sort();
  expect(closed.length).toBe(2);
  await eventually(() => expect(isCompressed(nodeFiles, join(directory, closed[0] as string))).toBe(true));
}

async function inSession(dataDir: string, work: (cache: AgentContextCache) => Promise<void>): Promise<void> {
  const cache = await AgentContextCache.open({ dataDir, natsUrl: null });
  await work(cache);
  await cache.shutdown();
}

async function run(cache: AgentContextCache, commands: readonly ContextCommand[]): Promise<void> {
  for (let at = 0; at < commands.length; at += TOGETHER) {
    await Promise.all(commands.slice(at, at + TOGETHER).map((command) => cache.ask(command)));
  }
  await cache.synced();
}

function someCommands(random: Random, count: number, size: number): ContextCommand[] {
  return Array.from({ length: count }, () => {
    const namespace = `random/${random.below(12)}`;
    const key = `key-${random.below(120)}`;
    const kind = random.below(100);
    if (kind < 75) return { type: 'context.set', namespace, key, value: aValue(random, size), agent: 'random' };
    if (kind < 88) return { type: 'context.delete', namespace, key };
    if (kind < 97) return { type: 'context.touch', namespace, key, expiresAt: FAR_AWAY + random.below(1000) };
    return { type: kind < 99 ? 'context.clear' : 'context.drop', namespace };
  });
}

/** Makes a value of which half does not compress. */
function aValue(random: Random, size: number): JsonValue {
  const length = random.below(size);
  const noise = Array.from({ length: Math.ceil(length / 12) }, () => random.next().toString(36).slice(2, 8));
  return { noise: noise.join(''), text: 'text '.repeat(length / 10), number: random.next() };
}

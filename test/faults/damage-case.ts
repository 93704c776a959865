import { createHash } from 'node:crypto';
import { copyFile, link, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentContextCache, ContextCacheError } from '../../src/index.ts';
import type { OpenStorage } from '../../src/storage/disk/leveldb/level-storage.ts';
import { removeTempDir, tempDir } from '../support/temp-dir.ts';
import { Recorded } from './damage-model.ts';
import type { Random } from './support.ts';

/** Deadline for opening and reading a damaged directory, in milliseconds. Generous, because the machine may be busy. */
const DEADLINE_MS = 600_000;
/** Files that LevelDB always writes and that hold no data. */
const NOTES = /^(LOG|LOG\.old|LOCK)$/;

/** The outcome of a damaged directory: refused, noticed while reading, read as a true prefix, or wrong. */
export type Verdict = 'refused' | 'noticed' | 'prefix' | { readonly wrong: string };

/** Opens a directory. */
export type Open = (dataDir: string) => Promise<AgentContextCache>;

/** Opens a directory with the default engine. */
export const openCache: Open = (dataDir) => AgentContextCache.open({ dataDir, natsUrl: null, onError: () => {} });

/** Opens a directory with a storage engine of the test. */
export function openOver(openStorage: OpenStorage): Open {
  return (dataDir) => AgentContextCache.open({ dataDir, natsUrl: null, onError: () => {}, internals: { openStorage } });
}

/**
 * Copies a directory's `db` or `backups`, in which `file` is to be damaged. Files that are only read are shared with
 * the original. Tables are copied if the manifest is damaged, because LevelDB may then reuse their numbers.
 */
export async function copyOf(original: string, folder: 'db' | 'backups', file: string): Promise<string> {
  const dataDir = await tempDir('damage');
  await mkdir(join(dataDir, folder), { mode: 0o700 });
  const shared = /^(MANIFEST|CURRENT)/.test(file) ? /\.blob$/ : /\.(ldb|blob)$/;
  for (const name of await readdir(join(original, folder))) {
    const take = name !== file && shared.test(name) ? link : copyFile;
    await take(join(original, folder, name), join(dataDir, folder, name));
  }
  return dataDir;
}

/** Opens the directory, reads everything, writes, and opens it again. Removes it unless something is wrong. */
export async function judge(dataDir: string, recorded: Recorded, random: Random, open = openCache): Promise<Verdict> {
  const ended = new AbortController();
  const late = sleep(DEADLINE_MS, { wrong: `not done after ${DEADLINE_MS} ms` }, { signal: ended.signal }).catch(
    () => 'noticed' as const,
  );
  const verdict = await Promise.race([judgeCalmly(dataDir, recorded, random, open), late]);
  ended.abort();
  if (typeof verdict === 'string') removeTempDir(dataDir);
  return verdict;
}

async function judgeCalmly(dataDir: string, recorded: Recorded, random: Random, open: Open): Promise<Verdict> {
  const before = await digestOf(dataDir);
  const first = await open(dataDir).catch((error: unknown) => problemOf(error, dataDir));
  if (!(first instanceof AgentContextCache)) {
    if (first !== undefined) return { wrong: first };
    return stillRefused(dataDir, before, open);
  }
  const taken = await readAndWrite(first, recorded, random, dataDir);
  if (!(taken instanceof Recorded)) return taken;
  return openedAgain(dataDir, taken, random, open);
}

async function openedAgain(dataDir: string, taken: Recorded, random: Random, open: Open): Promise<Verdict> {
  const count = taken.updates.length;
  let cache: AgentContextCache | undefined;
  try {
    cache = await open(dataDir);
    if (cache.position !== count) return { wrong: `it is at ${cache.position} of ${count} when opened again` };
    const wrong = await taken.difference(cache, random);
    return wrong === undefined ? 'prefix' : { wrong: `opened again: ${wrong}` };
  } catch (error) {
    const wrong = problemOf(error, dataDir);
    return wrong === undefined ? 'noticed' : { wrong: `opened again: ${wrong}` };
  } finally {
    await cache?.shutdown();
  }
}

/** Checks that a refused directory is unchanged and is refused again. */
async function stillRefused(dataDir: string, before: string, open: Open): Promise<Verdict> {
  if (open === openCache && (await digestOf(dataDir)) !== before) return { wrong: 'it was refused and changed' };
  const opened = await open(dataDir).catch(() => undefined);
  await opened?.shutdown();
  return opened === undefined ? 'refused' : { wrong: 'it was refused, and then opened' };
}

async function readAndWrite(
  cache: AgentContextCache,
  recorded: Recorded,
  random: Random,
  dataDir: string,
): Promise<Recorded | Verdict> {
  try {
    const wrong = await recorded.difference(cache, random);
    if (wrong !== undefined) return { wrong };
    const { position } = cache;
    const { namespace } = recorded.updates[random.below(Math.max(1, position))] ?? { namespace: 'default' };
    await cache.set('written afterwards', { random: random.next() }, namespace);
    await cache.set('written afterwards', { random: random.next() }, 'a namespace of its own');
    const written = [];
    for await (const update of cache.readLog({ from: position + 1 })) written.push(update);
    return new Recorded([...recorded.updates.slice(0, position), ...written]);
  } catch (error) {
    const wrong = problemOf(error, dataDir);
    return wrong === undefined ? 'noticed' : { wrong };
  } finally {
    await cache.shutdown();
  }
}

/** Returns `undefined` for a clear error: typed, naming the directory or the damage, and with the remedy. */
function problemOf(error: unknown, dataDir: string): string | undefined {
  if (!(error instanceof ContextCacheError)) return `it failed with ${error}`;
  const clear = error.code === 'LOG_CORRUPT' && /restore a backup into a new directory/.test(error.message);
  // LevelDB found the damage during a compaction and refuses writes.
  const degraded = /^(OUTCOME_UNKNOWN|LOG_UNAVAILABLE)$/.test(error.code) && /Corruption: /.test(error.message);
  const known = clear || degraded || (error.code === 'FORMAT_UNSUPPORTED' && error.message.includes(dataDir));
  return known ? undefined : `it failed with ${error.code}: ${error.message}`;
}

async function digestOf(dataDir: string): Promise<string> {
  const hash = createHash('sha256');
  const files = (await readdir(join(dataDir, 'db'))).filter((file) => !NOTES.test(file));
  for (const file of files.sort()) hash.update(file).update(await readFile(join(dataDir, 'db', file)));
  return hash.digest('hex');
}

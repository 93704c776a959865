import { createHash } from 'node:crypto';
import { copyFile, link, mkdir, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentContextCache, ContextCacheError } from '../../src/index.ts';
import type { Files } from '../../src/storage/disk/files.ts';
import { removeTempDir, tempDir } from '../support/temp-dir.ts';
import { Recorded } from './damage-model.ts';
import type { Random } from './support.ts';

/** Deadline for opening and reading a damaged directory, in milliseconds. Generous, because the machine may be busy. */
const DEADLINE_MS = 600_000;

/**
 * The outcome of a damaged directory: refused, noticed while reading, read as a true prefix that lacks updates, read whole,
 * or wrong.
 */
export type Verdict = 'refused' | 'noticed' | 'prefix' | 'whole' | { readonly wrong: string };

/** Opens a directory. */
export type Open = (dataDir: string) => Promise<AgentContextCache>;

/** Opens a directory on the machine's files. */
export const openCache: Open = (dataDir) => AgentContextCache.open({ dataDir, natsUrl: null, onError: () => {} });

/** Opens a directory on files of the test. The index is then read as it is on the machine. */
export function openOver(files: Files): Open {
  return (dataDir) => AgentContextCache.open({ dataDir, natsUrl: null, onError: () => {}, internals: { files } });
}

/**
 * Copies a folder of a directory, such as `db`, in which `file` is to be damaged. Tables of LevelDB, which never change, are
 * shared with the original, unless the manifest is damaged: LevelDB may then reuse their numbers.
 */
export async function copyOf(original: string, folder: 'db' | 'backups', file: string): Promise<string> {
  const dataDir = await tempDir('damage');
  const shared = /MANIFEST|CURRENT/.test(file) ? /\.blob$/ : /\.(ldb|blob)$/;
  for (const path of await filesIn(join(original, folder))) {
    const to = join(dataDir, folder, path);
    await mkdir(dirname(to), { recursive: true, mode: 0o700 });
    await (path !== file && shared.test(path) ? link : copyFile)(join(original, folder, path), to);
  }
  return dataDir;
}

/** Resolves with the paths of all files below a folder. */
export async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return files.map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1)).sort();
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
  const first = await open(dataDir).catch((error: Error) => error);
  if (!(first instanceof AgentContextCache)) {
    const wrong = problemOf(first, dataDir);
    if (wrong !== undefined) return { wrong };
    // An index that is ahead of its log is found behind a torn tail that has been cut off.
    const isSaid = /Nothing was changed/.test(first.message);
    return stillRefused(dataDir, isSaid ? before : undefined, open);
  }
  const isWhole = first.position === recorded.updates.length;
  const taken = await readAndWrite(first, recorded, random, dataDir);
  if (!(taken instanceof Recorded)) return taken;
  return openedAgain(dataDir, taken, random, open, isWhole ? 'whole' : 'prefix');
}

async function openedAgain(
  dataDir: string,
  taken: Recorded,
  random: Random,
  open: Open,
  verdict: Verdict,
): Promise<Verdict> {
  const count = taken.updates.length;
  let cache: AgentContextCache | undefined;
  try {
    cache = await open(dataDir);
    if (cache.position !== count) return { wrong: `it is at ${cache.position} of ${count} when opened again` };
    const wrong = await taken.difference(cache, random);
    return wrong === undefined ? verdict : { wrong: `opened again: ${wrong}` };
  } catch (error) {
    const wrong = problemOf(error, dataDir);
    return wrong === undefined ? 'noticed' : { wrong: `opened again: ${wrong}` };
  } finally {
    await cache?.shutdown();
  }
}

/** Checks that a refused directory is refused again, and unchanged. `before`: the digest, if the error said so. */
async function stillRefused(dataDir: string, before: string | undefined, open: Open): Promise<Verdict> {
  if (before !== undefined && (await digestOf(dataDir)) !== before) return { wrong: 'it was refused and changed' };
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

/** Returns `undefined` for a clear error: typed, naming the directory and the damage, and with the remedy. */
function problemOf(error: unknown, dataDir: string): string | undefined {
  if (!(error instanceof ContextCacheError)) return `it failed with ${(error as Error).stack ?? error}`;
  const isCorrupt = error.code === 'LOG_CORRUPT' && /restore a backup/i.test(error.message);
  const isKnown = isCorrupt || error.code === 'FORMAT_UNSUPPORTED';
  return isKnown && error.message.includes(dataDir) ? undefined : `it failed with ${error.code}: ${error.message}`;
}

/** Returns the digest of log and base. */
async function digestOf(dataDir: string): Promise<string> {
  const hash = createHash('sha256');
  for (const file of await filesIn(join(dataDir, 'db'))) {
    if (/^(log|base)\//.test(file)) hash.update(file).update(await readFile(join(dataDir, 'db', file)));
  }
  return hash.digest('hex');
}

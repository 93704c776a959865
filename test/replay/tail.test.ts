import { cp, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { MemorySnapshotStore } from '../../src/backup.ts';
import { AgentContextCache, type ContextCacheError } from '../../src/index.ts';
import { closing, simulatedClock } from '../support/cache.ts';
import { everythingOf, exported, linesOf, replayed } from '../support/replay.ts';
import { tempDir } from '../support/temp-dir.ts';

const clock = simulatedClock();
let dataDir: string;
let everything: ReturnType<typeof everythingOf>;
let text: string;

/** A data directory with a snapshot in the middle of its history, and what follows it. */
async function lived(store?: MemorySnapshotStore): Promise<void> {
  dataDir = join(await tempDir('tail'), 'old');
  await using cache = await AgentContextCache.open({ dataDir, clock, ...(store && { backup: { store } }) });
  for (let i = 0; i < 40; i += 1) await cache.set(`k${i % 7}`, i, `n${i % 3}`, { agent: 'first' });
  await cache.dropNamespace('n2');
  await cache.backup();
  for (let i = 0; i < 25; i += 1) await cache.set(`k${i % 9}`, { i }, `n${i % 4}`, { agent: 'second' });
  await cache.delete('k1', 'n1');
  everything = everythingOf(cache);
  text = await exported(cache);
}

beforeEach(() => lived());

async function open(options: Parameters<typeof AgentContextCache.open>[0]) {
  return closing(await AgentContextCache.open({ clock, ...options }));
}

describe('A snapshot and the log after it', () => {
  it.each(['memory', 'a directory'])('of a data directory give everything that it held, in %s', async (where) => {
    const into = where === 'memory' ? {} : { dataDir: join(await tempDir('tail'), 'new') };
    const cache = await open({ restoreFrom: dataDir, ...into });
    expect(everythingOf(cache)).toEqual(everything);
    expect(await cache.set('next', 1, 'n0')).toMatchObject({ position: everything.position + 1 });
    // The past goes back to the snapshot.
    expect(cache.at(41).get('k4', 'n1')).toBe(25);
    expect(cache.at(42).get('k0', 'n0')).toEqual({ i: 0 });
    expect(() => cache.at(40)).toThrow(expect.objectContaining({ code: 'POSITION_UNAVAILABLE' }));
    if (into.dataDir === undefined) return;
    const after = everythingOf(cache);
    await cache.shutdown();
    expect(everythingOf(await open(into))).toEqual(after);
  });

  it('may come from different directories', async () => {
    const backups = join(dataDir, 'backups');
    const tail = linesOf(text).slice(41);
    const { cache, report } = await replayed(tail, { restoreFrom: backups });
    expect(everythingOf(cache)).toEqual(everything);
    expect(report).toMatchObject({ updates: tail.length, position: everything.position });
    // A log that goes further back does as well, and so does one that goes no further than the snapshot.
    expect(everythingOf((await replayed(linesOf(text), { restoreFrom: backups })).cache)).toEqual(everything);
    const { cache: early } = await replayed(linesOf(text).slice(0, 20), { restoreFrom: backups });
    expect(early.position).toBe(41);
    const { cache: bounded } = await replayed(tail, { restoreFrom: backups, until: 50 });
    expect(bounded.position).toBe(50);
  });

  it('are refused if the log starts too late, before anything is created', async () => {
    const target = join(await tempDir('tail'), 'new');
    const options = { restoreFrom: join(dataDir, 'backups'), dataDir: target };
    await expect(replayed(linesOf(text).slice(42), options)).rejects.toMatchObject({
      code: 'LOG_CORRUPT',
      problem: { kind: 'gap', position: 42 },
    });
    await expect(readdir(target)).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(replayed([], { ...options, until: 3 })).rejects.toMatchObject({ code: 'POSITION_UNAVAILABLE' });
  });

  it('are refused if they belong to different logs', async () => {
    const other = dataDir;
    await lived();
    const foreign = { code: 'LOG_CORRUPT', problem: { kind: 'foreign' } };
    await expect(replayed(other, { restoreFrom: join(dataDir, 'backups') })).rejects.toMatchObject(foreign);
    const message = JSON.stringify({
      event_type: 'context_update',
      sender_subject_id: null,
      event_data: { operation: 'set', namespace: 'n0', key: 'k', value: 1 },
      event_id: 'another-log-42',
      position: 42,
      version: 15,
      at: 1,
    });
    await expect(replayed([message], { restoreFrom: join(dataDir, 'backups') })).rejects.toMatchObject(foreign);
  });

  it('need no state of the old directory: its log is enough', async () => {
    await rm(join(dataDir, 'db', 'index'), { recursive: true });
    expect(everythingOf(await open({ restoreFrom: dataDir }))).toEqual(everything);
  });

  it('are the log alone without a snapshot, and the snapshot alone on request', async () => {
    const bare = join(await tempDir('tail'), 'bare');
    await cp(dataDir, bare, { recursive: true });
    await rm(join(bare, 'backups'), { recursive: true });
    expect(everythingOf(await open({ restoreFrom: bare }))).toEqual(everything);
    expect((await open({ restoreFrom: join(dataDir, 'backups') })).position).toBe(41);
  });

  it('of a directory that is in use or does not exist are refused', async () => {
    await open({ dataDir });
    await expect(open({ restoreFrom: dataDir })).rejects.toMatchObject({ code: 'DIRECTORY_LOCKED' });
    await expect(open({ restoreFrom: await tempDir('none') })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('are the whole log if every snapshot is damaged, which is reported', async () => {
    const backups = join(dataDir, 'backups');
    for (const name of await readdir(backups)) await writeFile(join(backups, name), 'x');
    const told: string[] = [];
    const onError = (error: Error) => void told.push((error as ContextCacheError).code);
    expect(everythingOf(await open({ restoreFrom: dataDir, onError }))).toEqual(everything);
    expect(told).toEqual(['SNAPSHOT_CORRUPT']);
    await expect(open({ restoreFrom: backups, onError })).rejects.toMatchObject({ code: 'SNAPSHOT_CORRUPT' });
  });

  it('with an external primary are refused', async () => {
    const primaryCache = { get: () => undefined } as never;
    await expect(open({ restoreFrom: dataDir, primaryCache })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(open({ restoreFrom: new MemorySnapshotStore(), primaryCache })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
  });
});

it('a replayed directory has a view of every recorded position', async () => {
  const { cache } = await replayed(linesOf(text), { dataDir: join(await tempDir('tail'), 'new') });
  expect(cache.at(40).get('k4', 'n1')).toBe(25);
  expect(cache.at(3).listNamespaces()).toEqual(['default', 'n0', 'n1', 'n2']);
  expect(cache.at(40).listNamespaces()).toContain('n2');
  expect(cache.at(41).listNamespaces()).not.toContain('n2');
  expect(cache.at(0).listKeys('n0')).toEqual([]);
});

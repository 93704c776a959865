import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { apply } from '../../../../src/core/apply.ts';
import { digestOf } from '../../../../src/core/encoding/digest.ts';
import { NamespaceState } from '../../../../src/core/namespace-state.ts';
import type { Update } from '../../../../src/core/update.ts';
import { DurablePast } from '../../../../src/storage/disk/durable-past.ts';
import { type Files, nodeFiles } from '../../../../src/storage/disk/files.ts';
import {
  type LevelStorage,
  openLevel,
  type StorageWrite,
} from '../../../../src/storage/disk/index/leveldb/level-storage.ts';
import { chunkKey, pastKey } from '../../../../src/storage/disk/index/records/past-records.ts';
import { PROGRESS_KEY } from '../../../../src/storage/disk/index/records/progress.ts';
import { pageKey, summaryKey } from '../../../../src/storage/disk/index/records/state-records.ts';
import { pageOf } from '../../../../src/storage/disk/index/state/state-hash.ts';
import { type OpenedIndex, openIndex } from '../../../support/index.ts';
import { aStep, Cache } from '../../../support/log.ts';
import { fcOptions } from '../../../support/property.ts';

const NAME = 'p/1:a/0\0é';
const KEYS = 400;

/** A directory whose index is up to date, and what it must show. */
interface Filled {
  readonly dataDir: string;
  readonly cache: Cache;
  readonly updates: readonly Update[];
}

const set = (key: string, value: string) => ({ namespace: NAME, key, value, expiresAt: null, kind: 'set' as const });

/** Fills a directory: a namespace of several pages, and a few that were created and dropped. */
async function filled(): Promise<Filled> {
  const { dataDir, take, close } = await openIndex();
  const cache = new Cache(1);
  const updates = [
    ...cache.takeAll(Array.from({ length: KEYS }, (_, each) => set(`k${each}`, 'before'))),
    ...cache.takeAll(fc.sample(aStep(20), { numRuns: 150, seed: 7 })),
    ...cache.takeAll(Array.from({ length: KEYS }, (_, each) => set(`k${each}`, 'after!'))),
  ];
  for (let i = 0; i < updates.length; i += 200) await take(updates.slice(i, i + 200));
  await close();
  return { dataDir, cache, updates };
}

/** Checks that every read gives what was written, now and in the past. Comparing with `expect` would take most of the time. */
function expectWhole({ table, log }: OpenedIndex, { cache, updates }: Filled): void {
  const past = new DurablePast(table, log);
  const view = past.at(log.head);
  const wrong: unknown[] = [];
  const compare = (found: unknown, due: unknown) => isDeepStrictEqual(found, due) || wrong.push({ found, due });
  compare([...view.names()].sort(), [...cache.namespaces.keys()].sort());
  for (const [name, state] of cache.namespaces) {
    const found = view.state(name);
    compare(found && digestOf(found), digestOf(state));
    compare(view.lastChange(name), state.position);
    const find = view.finder(name);
    for (const [key, entry] of state.entries) if (find !== undefined) compare(find(key), entry);
    const own = updates.filter(({ namespace }) => namespace === name);
    compare([...past.backwards(name)], own.reverse());
  }
  for (const position of [7, KEYS, 500].filter((each) => each <= log.head)) {
    const state = past.at(position).state(NAME);
    compare(state && digestOf(state), digestAt(updates, position));
    compare(past.positionAt(1000 + position - 1), position);
  }
  expect(wrong).toEqual([]);
}

const digests = new WeakMap<readonly Update[], Map<number, string>>();

/** Returns the digest of the namespace at a position, computed once. */
function digestAt(updates: readonly Update[], position: number): string {
  const known = digests.get(updates) ?? new Map<number, string>();
  digests.set(updates, known);
  let digest = known.get(position);
  if (digest === undefined) {
    const state = new NamespaceState(NAME);
    for (const update of updates.slice(0, position)) if (update.namespace === NAME) apply(state, update);
    digest = digestOf(state);
    known.set(position, digest);
  }
  return digest;
}

/** Opens the directory, checks every read before and after the index has caught up, and again after a restart. */
async function expectHealed(filled: Filled, worker = false): Promise<OpenedIndex['events']> {
  const opened = await openIndex(filled.dataDir, { worker });
  expectWhole(opened, filled);
  await opened.index.connect();
  await opened.index.fold(opened.log.committed);
  expect(opened.table.isLoaded && opened.table.isReadable).toBe(true);
  expectWhole(opened, filled);
  await opened.close();
  const again = await openIndex(filled.dataDir);
  expect(again.events).toEqual([]);
  expect(again.table.checkpoint).toBe(again.log.committed);
  expectWhole(again, filled);
  await again.close();
  return opened.events;
}

async function tamper(dataDir: string, change: (storage: LevelStorage) => StorageWrite[]): Promise<void> {
  const storage = await openLevel(join(dataDir, 'db/index'));
  await storage.batch(change(storage), true);
  await storage.close();
}

const del = (key: string): StorageWrite => ({ type: 'del', key });
const pages = Math.ceil(KEYS / 16);
const aPage = pageKey(NAME, pageOf('k7', pages));

describe('an index heals that', () => {
  const cases: [string, string, (dataDir: string) => Promise<void> | void][] = [
    ['was deleted', 'missing', (dataDir) => rmSync(join(dataDir, 'db/index'), { recursive: true })],
    [
      'was emptied',
      'missing',
      (dataDir) => {
        rmSync(join(dataDir, 'db/index'), { recursive: true });
        mkdirSync(join(dataDir, 'db/index'));
      },
    ],
    [
      'was replaced by a file',
      'not a folder',
      (dataDir) => {
        rmSync(join(dataDir, 'db/index'), { recursive: true });
        writeFileSync(join(dataDir, 'db/index'), 'not a folder');
      },
    ],
    ['has lost its progress', 'missing', (dataDir) => tamper(dataDir, () => [del(PROGRESS_KEY)])],
    ['has lost a namespace', 'namespaces instead', (dataDir) => tamper(dataDir, () => [del(summaryKey(NAME))])],
    ['has lost the past of a namespace', 'past', (dataDir) => tamper(dataDir, () => [del(pastKey(NAME))])],
    [
      'has a namespace under the key of another one',
      'another name',
      (dataDir) =>
        tamper(dataDir, (storage) => [
          { type: 'put', key: summaryKey('a'), value: storage.getSync(summaryKey(NAME)) as Uint8Array },
        ]),
    ],
    ['has lost a page', 'missing', (dataDir) => tamper(dataDir, () => [del(aPage)])],
    [
      'has a page under the key of another one',
      'another',
      (dataDir) =>
        tamper(dataDir, (storage) => {
          const other = pageKey(NAME, (pageOf('k7', pages) + 1) % pages);
          return [{ type: 'put', key: aPage, value: storage.getSync(other) as Uint8Array }];
        }),
    ],
    [
      'has a damaged page',
      'checksum',
      (dataDir) =>
        tamper(dataDir, (storage) => {
          const value = Uint8Array.from(storage.getSync(aPage) as Uint8Array);
          value[9] = (value[9] as number) ^ 1;
          return [{ type: 'put', key: aPage, value }];
        }),
    ],
    ['has lost a chunk of the past', 'missing', (dataDir) => tamper(dataDir, () => [del(chunkKey(NAME, 1))])],
    [
      'has a damaged chunk',
      'checksum',
      (dataDir) =>
        tamper(dataDir, (storage) => {
          const value = Uint8Array.from(storage.getSync(chunkKey(NAME, 0)) as Uint8Array);
          value[30] = (value[30] as number) ^ 1;
          return [{ type: 'put', key: chunkKey(NAME, 0), value }];
        }),
    ],
    ['has lost the instants of updates', 'instants', (dataDir) => tamper(dataDir, () => [del('!past!t/0')])],
    [
      'was marked as damaged',
      'said so',
      (dataDir) => writeFileSync(join(dataDir, 'db/index.damaged'), 'a test said so'),
    ],
    [
      'was opened again and again without a clean end',
      'ended 2 times',
      (dataDir) => writeFileSync(join(dataDir, 'db/index.open'), JSON.stringify({ count: 2, idle: 2, checkpoint: 9 })),
    ],
    [
      'was opened many times without a clean end, but with progress',
      'ended 8 times',
      (dataDir) => writeFileSync(join(dataDir, 'db/index.open'), JSON.stringify({ count: 8, idle: 1, checkpoint: 9 })),
    ],
  ];

  it.each(cases)('%s', async (_, reason, damage) => {
    const directory = await filled();
    await damage(directory.dataDir);
    const events = await expectHealed(directory);
    expect(events.filter(({ type }) => type === 'rebuilding')).toEqual([
      { type: 'rebuilding', reason: expect.stringContaining(reason), from: 0, to: directory.updates.length },
    ]);
    expect(events.at(-1)).toEqual({ type: 'rebuilt', checkpoint: directory.updates.length });
    expect(readdirSync(join(directory.dataDir, 'db')).sort()).toEqual(['base', 'index', 'lock', 'log']);
  });

  it('was copied from another directory', async () => {
    const [own, other] = [await filled(), await filled()];
    rmSync(join(own.dataDir, 'db/index'), { recursive: true });
    cpSync(join(other.dataDir, 'db/index'), join(own.dataDir, 'db/index'), { recursive: true });
    const [first] = await expectHealed(own);
    expect(first).toMatchObject({ reason: expect.stringContaining('another log') });
  });

  it('has lost CURRENT', async () => {
    const directory = await filled();
    rmSync(join(directory.dataDir, 'db/index/CURRENT'));
    await expectHealed(directory);
  });

  it('is of another format', async () => {
    const directory = await filled();
    const { seal } = await import('../../../../src/storage/disk/index/leveldb/sealed.ts');
    await tamper(directory.dataDir, () => [{ type: 'put', key: PROGRESS_KEY, value: seal([999]) }]);
    const [first] = await expectHealed(directory);
    expect(first).toMatchObject({ reason: expect.stringContaining('another format') });
  });

  it('is an older copy: it goes on from there', async () => {
    const { dataDir, take, close } = await openIndex();
    const cache = new Cache(1);
    const updates = cache.takeAll(Array.from({ length: KEYS }, (_, each) => set(`k${each}`, 'before')));
    await take(updates);
    await close();
    cpSync(join(dataDir, 'db/index'), join(dataDir, 'copy'), { recursive: true });
    const later = await openIndex(dataDir);
    updates.push(...cache.takeAll(Array.from({ length: KEYS }, (_, each) => set(`k${each}`, 'after!'))));
    await later.take(updates.slice(KEYS));
    await later.close();
    rmSync(join(dataDir, 'db/index'), { recursive: true });
    cpSync(join(dataDir, 'copy'), join(dataDir, 'db/index'), { recursive: true });
    expect(await expectHealed({ dataDir, cache, updates })).toEqual([]);
  });

  it('shows an older batch as if LevelDB had lost one', async () => {
    const directory = await filled();
    const { dataDir, cache, updates } = directory;
    const before = await openLevel(join(dataDir, 'db/index'));
    const kept = ['a', NAME].flatMap((name) => [summaryKey(name), pastKey(name), pageKey(name, 0)]);
    const older = kept.map((key) => [key, before.getSync(key)] as const);
    await before.close();
    const later = await openIndex(dataDir);
    const more = cache.takeAll(Array.from({ length: 5 }, (_, each) => ({ ...set(`x${each}`, 'v'), namespace: 'a' })));
    await later.take(more);
    await later.close();
    await tamper(dataDir, () =>
      older.map(([key, value]) => (value === undefined ? del(key) : { type: 'put', key, value })),
    );
    const events = await expectHealed({ dataDir, cache, updates: [...updates, ...more] });
    expect(events[0]).toMatchObject({ reason: expect.stringContaining('other namespaces') });
  });

  it('has a page of an earlier state', async () => {
    const { dataDir, take, close } = await openIndex();
    const cache = new Cache(1);
    const updates = cache.takeAll([set('k', 'before')]);
    await take(updates);
    await close();
    const storage = await openLevel(join(dataDir, 'db/index'));
    const value = storage.getSync(pageKey(NAME, 0)) as Uint8Array;
    await storage.close();
    const later = await openIndex(dataDir);
    updates.push(...cache.takeAll([set('k', 'after!')]));
    await later.take(updates.slice(1));
    await later.close();
    await tamper(dataDir, () => [{ type: 'put', key: pageKey(NAME, 0), value }]);
    const events = await expectHealed({ dataDir, cache, updates });
    expect(events[0]).toMatchObject({ type: 'failed', cause: { message: expect.stringContaining('written last') } });
  });
});

it('an index whose openings cannot be counted is used as it is, and the error is reported', async () => {
  const directory = await filled();
  const create: Files['create'] = async (path, sync) => {
    if (path.endsWith('index.open')) throw Object.assign(new Error('injected: I/O error'), { code: 'EIO' });
    return nodeFiles.create(path, sync);
  };
  const opened = await openIndex(directory.dataDir, { files: { ...nodeFiles, create } });
  expect(opened.events).toEqual([{ type: 'failed', cause: expect.objectContaining({ code: 'EIO' }) }]);
  expect(opened.table.checkpoint).toBe(directory.updates.length);
  expectWhole(opened, directory);
  await opened.close();
});

it('a mark of damage that is slow to be written does not condemn the index that is rebuilt', async () => {
  const directory = await filled();
  await tamper(directory.dataDir, () => [del(aPage)]);
  const create: Files['create'] = async (path, sync) => {
    if (path.endsWith('index.damaged')) await setTimeout(300);
    return nodeFiles.create(path, sync);
  };
  const opened = await openIndex(directory.dataDir, { files: { ...nodeFiles, create } });
  expect(opened.table.hydrate(NAME)?.entries.size).toBe(directory.cache.namespaces.get(NAME)?.entries.size);
  await opened.index.connect();
  await opened.index.fold(opened.log.committed);
  await opened.close();
  await setTimeout(400);
  expect(readdirSync(join(directory.dataDir, 'db')).sort()).toEqual(['base', 'index', 'lock', 'log']);
  const again = await openIndex(directory.dataDir);
  expect(again.events).toEqual([]);
  await again.close();
});

it('an index that is ahead of its log shows that the log has lost updates, and is kept', async () => {
  const { dataDir, take, close } = await openIndex();
  const cache = new Cache(1);
  const updates = cache.takeAll(Array.from({ length: KEYS }, (_, each) => set(`k${each}`, 'before')));
  await take(updates);
  await close();
  cpSync(join(dataDir, 'db/log'), join(dataDir, 'copy'), { recursive: true });
  const later = await openIndex(dataDir);
  const ahead = new Cache(1);
  ahead.takeAll(Array.from({ length: KEYS }, (_, each) => set(`k${each}`, 'before')));
  await later.take(ahead.takeAll([set('k1', 'lost')]));
  await later.close();
  rmSync(join(dataDir, 'db/log'), { recursive: true });
  cpSync(join(dataDir, 'copy'), join(dataDir, 'db/log'), { recursive: true });
  const lost = { code: 'LOG_CORRUPT', message: expect.stringContaining('updates were lost') };
  await expect(openIndex(dataDir)).rejects.toMatchObject(lost);
  await expect(openIndex(dataDir)).rejects.toMatchObject(lost);
  rmSync(join(dataDir, 'db/index'), { recursive: true });
  await expectHealed({ dataDir, cache, updates });
});

it('an index whose files were changed at random opens and is right', async () => {
  const original = await filled();
  const { dataDir } = original;
  const index = join(dataDir, 'db/index');
  const storage = await openLevel(index);
  await storage.compact({ gte: '!', lt: '"' });
  await storage.close();
  cpSync(index, join(dataDir, 'whole'), { recursive: true });
  const names = readdirSync(index).filter((name) => /^(CURRENT|MANIFEST.*|.*\.(ldb|log))$/.test(name));
  const sizes = names.map((name) => readFileSync(join(index, name)).length);
  let rebuilt = 0;
  for (let flip = 0; flip < fcOptions(60).numRuns; flip += 1) {
    rmSync(index, { recursive: true });
    cpSync(join(dataDir, 'whole'), index, { recursive: true });
    const chosen = flip % names.length;
    const file = join(index, names[chosen] as string);
    const bytes = readFileSync(file);
    const at = (flip * 7919) % Math.max(1, sizes[chosen] as number);
    if (bytes.length > 0) bytes[at] = (bytes[at] as number) ^ (1 << (flip % 8));
    writeFileSync(file, bytes);
    const opened = await openIndex(dataDir);
    expectWhole(opened, original);
    await opened.index.connect();
    await opened.index.fold(opened.log.committed);
    expectWhole(opened, original);
    await opened.close();
    if (opened.events.some(({ type }) => type === 'rebuilding')) rebuilt += 1;
  }
  expect(rebuilt).toBeGreaterThan(10);
}, 600_000);

it('a thread that is killed in the middle is replaced, and the index goes on', async () => {
  const threads: Worker[] = [];
  const note = (thread: Worker) => void threads.push(thread);
  process.on('worker', note);
  onTestFinished(() => void process.off('worker', note));
  const opened = await openIndex(undefined, { worker: true });
  const { log, index, table, events } = opened;
  const lost: Error[] = [];
  index.onLost((cause) => lost.push(cause));
  const cache = new Cache(1);
  const updates: Update[] = [];
  for (let round = 0; round < 8; round += 1) {
    const more = cache.takeAll(Array.from({ length: 3000 }, (_, each) => set(`k${each % 500}`, `${round}`)));
    updates.push(...(more as Update[]));
    log.append(more);
    await log.flush();
    const folding = index.fold(log.committed);
    await setTimeout(3 * round);
    await threads.at(-1)?.terminate();
    await folding.catch(() => undefined);
    await index.connect();
    await index.fold(log.committed);
    expect(table.checkpoint).toBe(log.committed);
  }
  expect(lost.length).toBeGreaterThan(0);
  // The first thread may have been killed before there was an index.
  const rebuilt = events.filter((event) => event.type === 'rebuilding' && !event.reason.includes('missing'));
  expect(rebuilt).toEqual([]);
  expectWhole(opened, { dataDir: opened.dataDir, cache, updates });
  expect(threads.length).toBeGreaterThan(1);
  await opened.close();
});

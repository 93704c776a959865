import { describe, expect, it } from 'vitest';
import type { StorageWrite } from '../../../src/storage/disk/leveldb/level-storage.ts';
import { seal, unseal } from '../../../src/storage/disk/leveldb/sealed.ts';
import { LevelLog } from '../../../src/storage/disk/log/level-log.ts';
import { PROGRESS_KEY, pageKey, summaryKey } from '../../../src/storage/disk/records/state-records.ts';
import { pageOf } from '../../../src/storage/disk/state/state-hash.ts';
import { StateTable } from '../../../src/storage/disk/state/state-table.ts';
import { aSet, someSets } from '../../support/log.ts';
import { tempDir } from '../../support/temp-dir.ts';

const corrupt = expect.objectContaining({ code: 'LOG_CORRUPT' });
const KEYS = 400;

/** A table with a namespace of several pages and one of one page, of which the given writes are changed directly. */
async function tamperedWith(writes: (log: LevelLog) => Promise<StorageWrite[]>) {
  const dataDir = await tempDir('state-damage');
  const log = await LevelLog.open({ dataDir, sync: false });
  const table = await StateTable.open(log);
  const updates = [...someSets(KEYS), aSet('other', 1)];
  log.append(updates);
  await log.flush();
  await table.applyUpdates(updates, log.head);
  await log.directory.write(await writes(log), true);
  await log.close();
  const again = await LevelLog.open({ dataDir, sync: false });
  return { log: again, open: () => StateTable.open(again) };
}

const pages = Math.ceil(KEYS / 16);
const lostPage = pageOf('k7', pages);
const del = (key: string): StorageWrite => ({ type: 'del', key });

describe('the state table detects that it lacks', () => {
  it('a page of a namespace with entries, for a reader of one key and for the next batch', async () => {
    const { log, open } = await tamperedWith(async () => [del(pageKey('n', lostPage))]);
    const table = await open();
    expect(() => table.get('n', 'k7')).toThrow(corrupt);
    expect(() => table.hydrate('n')).toThrow(corrupt);
    const updates = [aSet('n', KEYS + 1, 'k7')];
    log.append(updates);
    await log.flush();
    await expect(table.applyUpdates(updates, log.head)).rejects.toEqual(corrupt);
    await log.close();
  });

  it('nothing if a namespace has been emptied', async () => {
    const { log, open } = await tamperedWith(async () => []);
    const table = await open();
    const updates = [
      { ...aSet('other', 2, 'k1'), operation: 'delete' as const, value: null },
      { ...aSet('n', KEYS + 1), operation: 'clear_namespace' as const, key: null, value: null },
    ];
    log.append(updates);
    await log.flush();
    await table.applyUpdates(updates, log.head);
    expect(table.get('n', 'k7')).toBeUndefined();
    expect(table.get('other', 'k1')).toBeUndefined();
    expect(table.hydrate('n')?.entries.size).toBe(0);
    await log.close();
  });

  it('a page under whose key another one is stored', async () => {
    const { log, open } = await tamperedWith(async ({ directory }) => {
      const value = directory.getSync(pageKey('n', (lostPage + 1) % pages)) as Uint8Array;
      return [{ type: 'put', key: pageKey('n', lostPage), value }];
    });
    const table = await open();
    expect(() => table.get('n', 'k7')).toThrow(corrupt);
    await log.close();
  });

  it('the record of a namespace, of its past, and a record under the key of another', async () => {
    for (const changes of [
      async () => [del(summaryKey('other'))],
      async () => [del('!past!d/other')],
      async ({ directory }: LevelLog): Promise<StorageWrite[]> => {
        const value = directory.getSync(summaryKey('n')) as Uint8Array;
        return [{ type: 'put', key: summaryKey('other'), value }];
      },
    ]) {
      const { log, open } = await tamperedWith(changes);
      await expect(open()).rejects.toEqual(corrupt);
      await log.close();
    }
  });

  it('nothing if an early version did not count namespaces or store empty pages', async () => {
    const { log, open } = await tamperedWith(async ({ directory }) => {
      const progress = unseal(directory.getSync(PROGRESS_KEY) as Uint8Array, () => 'progress') as unknown[];
      return [
        del(pageKey('n', lostPage)),
        { type: 'put', key: PROGRESS_KEY, value: seal(progress.slice(0, 4)) },
        del(summaryKey('other')),
        del('!past!d/other'),
      ];
    });
    const table = await open();
    expect(table.get('n', 'k7')).toBeUndefined();
    await log.close();
  });
});

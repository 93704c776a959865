import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/core/encoding/digest.ts';
import type { NamespaceState } from '../../../src/core/namespace-state.ts';
import type { PendingUpdate } from '../../../src/core/update.ts';
import { LevelLog } from '../../../src/storage/disk/log/level-log.ts';
import {
  decodeSummary,
  encodeSummary,
  pageKey,
  SUMMARY_RANGE,
  summaryKey,
} from '../../../src/storage/disk/records/state-records.ts';
import { StateTable } from '../../../src/storage/disk/state/state-table.ts';
import { Cache } from '../../support/log.ts';
import { tempDir } from '../../support/temp-dir.ts';

async function open(dataDir?: string) {
  const path = dataDir ?? (await tempDir('state-digest'));
  const log = await LevelLog.open({ dataDir: path, sync: false });
  return { log, table: await StateTable.open(log), dataDir: path };
}

/** Appends to the log, and updates the table. */
async function take(log: LevelLog, table: StateTable, updates: readonly PendingUpdate[]): Promise<void> {
  log.append(updates);
  await log.flush();
  await table.applyUpdates(updates, log.head);
}

describe('the digest of a namespace in the state table', () => {
  it('is added to a namespace of an earlier version when it changes', async () => {
    const { log, table, dataDir } = await open();
    const cache = new Cache();
    const set = (key: string) => ({ namespace: 'a', key, value: key, expiresAt: null, kind: 'set' as const });
    await take(log, table, cache.takeAll(Array.from({ length: 100 }, (_, index) => set(`k${index}`))));
    const [[, record] = []] = await log.directory.entries(SUMMARY_RANGE);
    const { digest, ...older } = decodeSummary(record ?? new Uint8Array());
    await log.directory.write([{ type: 'put', key: summaryKey('a'), value: encodeSummary(older) }], true);
    await log.close();
    const again = await open(dataDir);
    expect(again.table.summary('a')?.digest).toBeUndefined();
    expect(again.table.hydrate('a')?.entries.size).toBe(100);
    await take(again.log, again.table, cache.takeAll([set('k7'), { ...set('k8'), kind: 'remove' }, set('new')]));
    expect(digest).toBeDefined();
    expect(new Map(again.table.hydrate('a')?.entries)).toEqual(new Map(cache.namespaces.get('a')?.entries));
    expect(again.table.summary('a')?.digest).toBe(digestOf(cache.namespaces.get('a') as NamespaceState));
    await again.log.close();
  });

  it('reveals a page of an earlier state', async () => {
    const { log, table } = await open();
    const cache = new Cache();
    const set = (value: string) => ({ namespace: 'a', key: 'k', value, expiresAt: null, kind: 'set' as const });
    await take(log, table, cache.takeAll([set('before')]));
    const key = pageKey('a', 0);
    const page = log.directory.getSync(key) ?? new Uint8Array();
    await take(log, table, cache.takeAll([set('after!')]));
    await log.directory.write([{ type: 'put', key, value: page }], true);
    expect(() => table.hydrate('a')).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }));
    expect(() => table.hydrate('a')).toThrow(/"a" in \S*state.*context-cache verify/);
    await log.close();
  });
});

import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../../src/core/clock.ts';
import { TimeSlice } from '../../../../src/core/time-slice.ts';
import { createUpdate } from '../../../../src/core/update.ts';
import { IndexBatch } from '../../../../src/storage/disk/index/index-batch.ts';
import type { LevelStorage, StorageWrite } from '../../../../src/storage/disk/index/leveldb/level-storage.ts';
import { PastReader } from '../../../../src/storage/disk/index/past/past-reader.ts';
import { PastTrim } from '../../../../src/storage/disk/index/past/past-trim.ts';
import {
  CHUNK_UPDATES,
  decodePast,
  frameWrite,
  type PastSummary,
  pastKey,
  pastWrite,
} from '../../../../src/storage/disk/index/records/past-records.ts';
import { emptySummary, encodeSummary, summaryKey } from '../../../../src/storage/disk/index/records/state-records.ts';
import type { LocatedUpdate } from '../../../../src/storage/disk/log/logged-update.ts';

/** More writes than a call takes arguments. */
const MANY = 150_000;

/** Returns a storage that holds a few records in memory. */
function storageOf(records: Map<string, Uint8Array>): LevelStorage {
  const missing = () => Promise.reject(new Error('Not used.'));
  return {
    batch: async (writes) => {
      for (const write of writes) {
        if (write.type === 'put') records.set(write.key, write.value);
        else records.delete(write.key);
      }
    },
    getSync: (key) => records.get(key),
    getMany: async (keys) => keys.map((key) => records.get(key)),
    entries: async function* ({ gte, lt, limit }) {
      const keys = [...records.keys()].filter((key) => key >= gte && key < lt).sort();
      for (const key of keys.slice(0, limit)) yield [key, records.get(key) as Uint8Array];
    },
    snapshot: () => ({ close: async () => {} }),
    clear: missing,
    compact: missing,
    close: async () => {},
  };
}

function put(records: Map<string, Uint8Array>, write: StorageWrite): void {
  if (write.type === 'put') records.set(write.key, write.value);
}

describe('a namespace of very many records', () => {
  it('is dropped in one batch', async () => {
    const base = {
      ...emptySummary('n'),
      version: 5,
      position: 5,
      count: 16 * MANY,
      pages: MANY,
      digest: '0'.repeat(64),
    };
    const records = new Map([[summaryKey('n'), encodeSummary(base)]]);
    const batch = new IndexBatch();
    const drop = createUpdate({
      namespace: 'n',
      version: 6,
      operation: 'clear',
      drop: true,
      key: null,
      at: 1,
    } as never);
    batch.add({ ...drop, position: 6, offset: 0, length: 1, checksum: 1 } as LocatedUpdate);
    const { writes, added } = await batch.fold(storageOf(records), false, new TimeSlice(systemClock));
    expect(added).toBe(-1);
    expect(writes.length).toBeGreaterThan(MANY);
  });

  it('is trimmed in parts of bounded size, and its past is whole after each', async () => {
    const count = MANY * CHUNK_UPDATES;
    const none = { firstChunk: 0, firstFrame: 0, keyframe: undefined };
    const past: PastSummary = {
      ...{ name: 'n', count, last: count, frames: 1, framedAt: count, weight: 0, lives: [1], livedBefore: false },
      ...none,
    };
    const records = new Map<string, Uint8Array>();
    put(records, pastWrite(past));
    const frame = { ordinal: count, version: count, position: count, pages: 0, entries: 0 };
    put(records, frameWrite('n', 0, frame));
    const storage = storageOf(records);
    const updateAt = () => {
      throw new Error('No update is read.');
    };
    const reader = new PastReader((key) => records.get(key), { updateAt });
    const slice = new TimeSlice(systemClock);
    const trim = new PastTrim({ storage, reader, keepsFrames: true, position: count, slice });
    let removed = 0;
    let steps = 0;
    for (let next: string | undefined = ''; next !== undefined; ) {
      const { writes, pasts, replaced, rest } = await trim.step(next);
      expect(writes.length).toBeLessThanOrEqual(2 * 2048 + 2);
      expect(replaced.length).toBe(pasts.length);
      removed += writes.filter(({ type }) => type === 'del').length;
      await storage.batch(writes, true);
      const record = records.get(pastKey('n'));
      if (record !== undefined) expect(reader.frameAt(decodePast(record), count)).toMatchObject(frame);
      next = rest;
      steps += 1;
    }
    expect(steps).toBeGreaterThan(MANY / 2048);
    // Every chunk, the frame and the record.
    expect(removed).toBe(MANY + 2);
    expect(records.size).toBe(0);
  });
});

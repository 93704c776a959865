import { expect, it } from 'vitest';
import { createUpdate } from '../../../../src/core/update.ts';
import { type OpenStorage, openLevel } from '../../../../src/storage/disk/index/leveldb/level-storage.ts';
import { summaryKey } from '../../../../src/storage/disk/index/records/state-records.ts';
import { openIndex } from '../../../support/index.ts';

const UPDATES = 150_000;
const KEYS = 20_000;

it('an index that is far behind is folded in one batch, of which nothing is written if it is closed meanwhile', async () => {
  const updates = Array.from({ length: UPDATES }, (_, index) =>
    createUpdate({
      ...{ namespace: 'n', version: index + 1, operation: 'set', key: `k${index % KEYS}`, value: index, at: 1 },
      ...{ replaced: Math.max(0, index + 1 - KEYS), bytes: 8 },
    }),
  );
  let batches = 0;
  let read: (() => void) | undefined;
  const hasBegun = new Promise<void>((resolve) => {
    read = resolve;
  });
  const openStorage: OpenStorage = async (location) => {
    const storage = await openLevel(location);
    const getMany = storage.getMany.bind(storage);
    return Object.assign(storage, {
      getMany: (keys: readonly string[]) => {
        // The namespace of the updates, which have been gathered. Each batch reads it once.
        if (keys.includes(summaryKey('n'))) {
          batches += 1;
          read?.();
        }
        return getMany(keys);
      },
    });
  };
  const { dataDir, log, index, table, close } = await openIndex(undefined, { openStorage });
  for (let i = 0; i < UPDATES; i += 10_000) {
    log.append(updates.slice(i, i + 10_000));
    await log.flush();
  }
  const folded = index.fold(UPDATES);
  folded.catch(() => undefined);
  await hasBegun;
  const closing = close();
  await expect(folded).rejects.toThrow(expect.objectContaining({ code: 'CLOSED' }));
  await closing;
  // Nothing of the batch was written.
  expect(table.checkpoint).toBe(0);
  const again = await openIndex(dataDir, { openStorage });
  expect(again.table.checkpoint).toBe(0);
  batches = 0;
  await again.index.fold(UPDATES);
  expect(batches).toBe(1);
  const entries = again.table.hydrate('n')?.entries;
  expect(entries?.size).toBe(KEYS);
  for (let key = 0; key < KEYS; key += 997) {
    const last = UPDATES - KEYS + ((key - (UPDATES % KEYS) + KEYS) % KEYS);
    expect(entries?.get(`k${key}`)).toMatchObject({ value: last, version: last + 1 });
  }
  await again.close();
});

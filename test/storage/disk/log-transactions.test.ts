import { cp, readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DiskLog } from '../../../src/storage/disk/log/disk-log.ts';
import { type Frame, frameAt, MAGIC } from '../../../src/storage/disk/log/frame.ts';
import type { TransactionOperation } from '../../../src/types.ts';
import { open } from '../../support/durable.ts';
import { all } from '../../support/log.ts';
import { MemoryFiles } from '../../support/memory-files.ts';
import { tempDir } from '../../support/temp-dir.ts';

const FILE = 'db/log/0000000000000001.log';

/** A transfer between two namespaces, with `others` writes between. */
function transfer(n: number, others: number): TransactionOperation[] {
  const between = Array.from({ length: others }, (_, i) => {
    return { operation: 'set', namespace: `other${i % 3}`, key: `k${i}`, value: n } as const;
  });
  return [
    { operation: 'set', namespace: 'left', key: 'n', value: 100 - n },
    ...between,
    { operation: 'set', namespace: 'right', key: 'n', value: n },
  ];
}

/** Creates a directory with two transfers, as a kill leaves it. Returns the bytes of its log and the frames of the last transfer. */
async function twoTransfers(others: number) {
  const dataDir = await tempDir('transfers');
  const { cache } = await open({ dataDir });
  await cache.transaction(transfer(1, 0));
  const first = cache.position;
  await cache.flush();
  await cache.transaction(transfer(2, others));
  await cache.flush();
  const head = cache.position;
  const bytes = await readFile(join(dataDir, FILE));
  const written = await tempDir('written');
  await cp(dataDir, written, { recursive: true });
  await cache.shutdown();
  const frames: Frame[] = [];
  for (let frame = frameAt(bytes, MAGIC.length); frame !== undefined; frame = frameAt(bytes, frame.end)) {
    if (frame.count > 0 && frame.position > first) frames.push(frame);
  }
  return { written, bytes, frames, start: frames[0]?.offset ?? 0, end: frames.at(-1)?.end ?? 0, first, head };
}

/** Returns the head of the log that another process finds. */
async function headOf(bytes: Buffer): Promise<number> {
  const files = new MemoryFiles();
  files.put(`/data/${FILE}`, bytes);
  const log = await DiskLog.open({ dataDir: '/data', files });
  const updates = await all(log.read(1));
  expect(updates.map(({ position }) => position)).toEqual(updates.map((_, i) => i + 1));
  expect(log.head).toBe(updates.length);
  await log.close();
  return log.head;
}

describe('a transaction whose write was cut off', () => {
  for (const [others, count] of [
    [3, 1],
    [9_000, 3],
  ] as const) {
    it(`is in the log whole or not at all, wherever the cut is (${count} frames)`, async () => {
      const { bytes, frames, start, end, first, head } = await twoTransfers(others);
      expect(frames).toHaveLength(count);
      const edges = [start, ...frames.map((frame) => frame.end)];
      // Every offset of a small group; of a large one those at its frames, and others.
      const isTried = (at: number) => count === 1 || at % 9_973 === 0 || edges.some((edge) => Math.abs(at - edge) < 26);
      let tried = 0;
      for (let at = start; at <= end; at += 1) {
        if (!isTried(at)) continue;
        tried += 1;
        const expected = at === end ? head : first;
        expect([at, await headOf(bytes.subarray(0, at))]).toEqual([at, expected]);
        // The file was made longer before the bytes reached the disk.
        const zeros = Buffer.concat([bytes.subarray(0, at), Buffer.alloc(200)]);
        expect([at, 'zeros', await headOf(zeros)]).toEqual([at, 'zeros', expected]);
      }
      expect(tried).toBeGreaterThan(100);
    });
  }

  it('is in the state whole or not at all', async () => {
    const { written, frames, end, first, head } = await twoTransfers(9_000);
    for (const cut of [...frames.map(({ offset }) => offset), end - 1, end]) {
      const [left, right, position] = cut === end ? [98, 2, head] : [99, 1, first];
      const dataDir = join(await tempDir('cut'), 'data');
      await cp(written, dataDir, { recursive: true });
      await truncate(join(dataDir, FILE), cut);
      const { cache } = await open({ dataDir });
      expect([cache.get('n', 'left'), cache.get('n', 'right'), cache.position]).toEqual([left, right, position]);
      expect(cache.listKeys('other1').length).toBe(position === head ? 3_000 : 0);
      // The directory is in use again.
      expect(await cache.transaction(transfer(7, 1))).toMatchObject({ position: position + 3 });
      await cache.shutdown();
    }
  });
});

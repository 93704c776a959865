import { cp } from 'node:fs/promises';
import { expect, it, vi } from 'vitest';
import { createUpdate } from '../../../src/core/update.ts';
import { verifyDirectory } from '../../../src/index.ts';
import { writeBase } from '../../../src/storage/disk/base/base-file.ts';
import { DiskLog } from '../../../src/storage/disk/log/disk-log.ts';
import { DROPS, frameAt } from '../../../src/storage/disk/log/frame.ts';
import { segmentName } from '../../../src/storage/disk/log/segment.ts';
import { FaultFiles } from '../../support/fault-files.ts';
import { aSet } from '../../support/log.ts';
import { retain } from '../../support/log-truth.ts';
import { MemoryFiles } from '../../support/memory-files.ts';
import { largeSets } from '../../support/shortened-log.ts';
import { tempDir } from '../../support/temp-dir.ts';

const dropOf = (namespace: string, version: number) =>
  createUpdate({ namespace, version, operation: 'clear_namespace', at: 1, drop: true });

it('follows from the last file, and from the part of a file that was cut off', async () => {
  const files = new MemoryFiles();
  const log = await DiskLog.open({ dataDir: '/data', files });
  const updates = [aSet('gone', 1), dropOf('gone', 2), ...largeSets(40, 3)];
  for (const [index, update] of updates.entries()) {
    if (update.namespace === 'n') Object.assign(update, { version: index + 1, begins: index === 2 || undefined });
    log.append([update]);
    await log.flush();
  }
  expect([log.floor, log.remembered(log.head)]).toEqual([2, { floor: 2 }]);
  await log.close();
  const again = await DiskLog.open({ dataDir: '/data', files });
  expect(again.floor).toBe(2);
  await retain(files, again, updates, 10, true);
  const [first = 0, empty = 0] = again.names().firsts;
  expect(first).toBeGreaterThan(2);
  await again.close();
  await files.remove(`${again.path}/log/${segmentName(empty)}`);
  const shortened = await DiskLog.open({ dataDir: '/data', files });
  expect(shortened.floor).toBe(2);
  await shortened.close();
});

it('does not count a drop that a new file of the log was begun before, and that a crash lost', async () => {
  const files = new FaultFiles();
  const dataDir = await tempDir('floor');
  const log = await DiskLog.open({ dataDir, files });
  log.append([aSet('n', 1)]);
  await log.flush();
  files.decide = ({ bytes }) => (((frameAt(bytes, 0)?.flags ?? 0) & DROPS) === 0 ? 'done' : 'lost');
  log.append([dropOf('n', 2)]);
  await expect(log.flush()).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
  await vi.waitFor(() => expect(log.names().firsts).toContain(2), 5_000);
  const copied = await tempDir('floor');
  await cp(dataDir, copied, { recursive: true });
  files.decide = () => 'done';
  await log.close();
  const crashed = await DiskLog.open({ dataDir: copied });
  expect([crashed.head, crashed.floor]).toEqual([1, 0]);
  await crashed.close();
});

it('comes from the base if a crash interrupted the adoption of a state', async () => {
  const files = new MemoryFiles();
  const log = await DiskLog.open({ dataDir: '/data', files });
  await log.close();
  await writeBase(files, '/data/db/base', { log: log.id, position: 5, floor: 7 }, []);
  for (let opening = 1; opening <= 2; opening += 1) {
    const opened = await DiskLog.open({ dataDir: '/data', files });
    expect([opened.head, opened.floor]).toEqual([5, 7]);
    await opened.close();
  }
});

it('says at which version a namespace begins, which verify checks', async () => {
  const dataDir = await tempDir('floor');
  const log = await DiskLog.open({ dataDir });
  log.append([aSet('gone', 1), dropOf('gone', 2), { ...aSet('n', 9), begins: true }]);
  await log.close();
  const { ok, problems } = await verifyDirectory(dataDir);
  expect([ok, problems.map(({ message }) => message)]).toEqual([
    false,
    expect.arrayContaining([expect.stringContaining('version 9 in its namespace instead of 3')]),
  ]);
});

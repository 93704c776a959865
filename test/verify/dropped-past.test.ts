import { expect, it } from 'vitest';
import { verifyDirectory } from '../../src/index.ts';
import { decodePast, pastKey, pastWrite } from '../../src/storage/disk/index/records/past-records.ts';
import { tempDir } from '../support/temp-dir.ts';
import { open, told, withRecords } from '../support/verify.ts';

it('verify accepts a past that begins between a drop and the next write, and compares its copy with no namespace', async () => {
  const dataDir = await tempDir('dropped');
  const cache = await open({ dataDir, log: { keepUpdates: 3 } });
  for (let i = 0; i < 2; i += 1) await cache.set('k', i, 'n');
  await cache.dropNamespace('n');
  for (let i = 0; i < 3; i += 1) await cache.set('k', i, 'n');
  await cache.compact();
  await cache.shutdown();
  const report = await verifyDirectory(dataDir);
  expect(told(report.problems)).toEqual([]);
  expect(report).toMatchObject({ ok: true, checked: { copies: 1 } });
  await withRecords(dataDir, async (storage) => {
    const past = decodePast(storage.getSync(pastKey('n')) as Uint8Array);
    const keyframe = past.keyframe && { ...past.keyframe, version: 1 };
    await storage.batch([pastWrite({ ...past, keyframe })], false);
  });
  expect(told((await verifyDirectory(dataDir)).problems).join()).toContain('The copy before update 3 of the namespace');
});

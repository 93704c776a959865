import { describe, expect, it } from 'vitest';
import { fill, filledDirectory, open, told } from '../support/verify.ts';

describe('verify', () => {
  it('finds nothing in an intact directory, and checks everything', async () => {
    const dataDir = await filledDirectory();
    const cache = await open({ dataDir });
    cache.get('k1', 'busy');
    await cache.set('later', 1, 'busy');
    const report = await cache.verify();
    expect(told(report.problems)).toEqual([]);
    expect(report).toMatchObject({ ok: true, moreProblems: 0, notes: [], position: cache.position });
    expect(report.digest).toBe(await cache.digest());
    expect(report.checked).toMatchObject({
      updates: cache.position,
      namespaces: 4,
      resident: 1,
    });
    expect(report.checked.frames).toBeGreaterThan(0);
    expect(report.checked.copies).toBeGreaterThan(0);
    expect(report.checked.entries).toBe(40 + 1 + 200 + 1 + 1);
  });

  it('finds nothing in memory, and notes when there is no log to replay', async () => {
    const cache = await open({});
    await fill(cache);
    const report = await cache.verify();
    expect(told(report.problems)).toEqual([]);
    expect(report).toMatchObject({ ok: true, notes: [], position: cache.position, digest: await cache.digest() });
    expect(report.checked).toMatchObject({ updates: cache.position, resident: 4 });
    const small = await open({ log: { capacityUpdates: 10 } });
    await fill(small);
    const { ok, notes, digest } = await small.verify();
    expect(ok).toBe(true);
    expect(notes).toEqual([expect.stringMatching(/no log to replay/)]);
    expect(digest).toBe(await small.digest());
  });
});

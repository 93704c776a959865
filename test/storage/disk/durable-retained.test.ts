import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { DurablePast } from '../../../src/storage/disk/durable-past.ts';
import { DurableRetained } from '../../../src/storage/disk/durable-retained.ts';
import { openIndex } from '../../support/index.ts';
import { someSets } from '../../support/log.ts';

const never = new AbortController().signal;

async function open() {
  const opened = await openIndex();
  const retained = new DurableRetained(opened.log, opened.index, new DurablePast(opened.table, opened.log));
  await opened.take(someSets(20));
  return { ...opened, retained };
}

describe('retention without a readable index', () => {
  for (const event of ['opened again', 'rebuilt'] as const) {
    it(`writes no base file and reads no log while the index is ${event}`, async () => {
      const { log, index, table, retained, close } = await open();
      const sync = vi.spyOn(log, 'sync').mockImplementation(async () => {
        sync.mockRestore();
        if (event === 'rebuilt') await index.rebuild('damaged');
        else await table.detach();
        recent.mockClear();
      });
      const recent = vi.spyOn(log, 'recent');
      const expected = { code: 'LOG_UNAVAILABLE', message: expect.stringContaining('cannot be released yet') };
      await expect(retained.trim(10, true, never)).rejects.toMatchObject(expected);
      expect(recent).not.toHaveBeenCalled();
      expect(log.names()).toMatchObject({ base: 0, firsts: [1] });
      if (event === 'rebuilt') await retained.trim(10, true, never);
      expect(log.names().base).toBe(event === 'rebuilt' ? 10 : 0);
      await close();
    });
  }

  it('gives no instant, and reads no log', async () => {
    const { log, table, retained, close } = await open();
    const recent = vi.spyOn(log, 'recent');
    expect(retained.instantAt(10)).toBeTypeOf('number');
    await table.detach();
    expect(retained.instantAt(10)).toBeUndefined();
    expect(recent).not.toHaveBeenCalled();
    await close();
  });
});

describe('retention while the files are read', () => {
  it('removes them once the last reader has ended, and nothing if it is cancelled before', async () => {
    const { log, retained, close } = await open();
    const ends: (() => void)[] = [];
    const [first, second] = [1, 2].map(() =>
      log.holds.during(() => new Promise<void>((resolve) => ends.push(resolve))),
    );
    const released = vi.spyOn(log, 'release');
    const cancelled = new AbortController();
    const trimmed = retained.trim(10, true, cancelled.signal);
    await vi.waitFor(() => expect(readdirSync(join(log.path, 'base'))).toHaveLength(1));
    ends[0]?.();
    await first;
    cancelled.abort(new Error('enough'));
    await expect(trimmed).rejects.toThrow('enough');
    expect(released).not.toHaveBeenCalled();
    expect(log.names().base).toBe(0);
    const again = retained.trim(10, true, never);
    ends[1]?.();
    await Promise.all([second, again]);
    expect(released).toHaveBeenCalledTimes(1);
    expect(log.names().base).toBe(10);
    await close();
  });
});

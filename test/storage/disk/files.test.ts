import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { createWhole } from '../../../src/storage/disk/files.ts';
import { FaultFiles } from '../../support/fault-files.ts';
import { tempDir } from '../../support/temp-dir.ts';

describe('creating a file as a whole', () => {
  for (const failing of ['write', 'sync', 'rename'] as const) {
    it(`leaves nothing, and no open file, if ${failing} fails`, async () => {
      const files = new FaultFiles();
      if (failing === 'write') files.decide = () => 'torn';
      else files.refuse = (call) => call === failing;
      const directory = await tempDir('files');
      const created = createWhole(files, directory, 'a', false, (file) => file.write([Buffer.alloc(1000, 1)], 0));
      await expect(created).rejects.toThrow('injected');
      expect(await readdir(directory)).toEqual([]);
      expect(files.openFiles).toBe(0);
    });
  }

  it('keeps the error of the write if the unfinished file cannot be removed', async () => {
    const files = new FaultFiles();
    files.refuse = (call) => call === 'rename' || call === 'remove';
    const directory = await tempDir('files');
    const created = createWhole(files, directory, 'a', false, (file) => file.write([Buffer.alloc(1000, 1)], 0));
    await expect(created).rejects.toThrow('injected: cannot rename');
    expect(await readdir(directory)).toEqual(['a.new']);
  });
});

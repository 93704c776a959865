import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AgentContextCache, verifyDirectory } from '../../../src/index.ts';
import { serve } from '../../support/cli.ts';
import { tempDir } from '../../support/temp-dir.ts';

const open = (dataDir: string) => AgentContextCache.open({ dataDir, natsUrl: null });

describe('a directory that is open', () => {
  it('names this process if it is the holder', async () => {
    const dataDir = await tempDir('locked');
    await using _cache = await open(dataDir);
    const expected = {
      code: 'DIRECTORY_LOCKED',
      message: `${dataDir} is in use by this process. Share the cache that has it open, or await its shutdown() first.`,
    };
    await expect(open(dataDir)).rejects.toMatchObject(expected);
    await expect(verifyDirectory(dataDir)).rejects.toMatchObject(expected);
  });

  it('is refused under another name as well, and stays usable', async () => {
    const dataDir = await tempDir('locked');
    const link = join(await tempDir('locked'), 'link');
    await symlink(dataDir, link);
    await using cache = await open(dataDir);
    await expect(open(link)).rejects.toMatchObject({ code: 'DIRECTORY_LOCKED' });
    await expect(verifyDirectory(link)).rejects.toMatchObject({ code: 'DIRECTORY_LOCKED' });
    await cache.set('k', 1);
    expect(cache.get('k')).toBe(1);
  });

  it('names the other process that holds it', async () => {
    const dataDir = join(await tempDir('locked'), 'data');
    await using server = await serve(dataDir);
    const holder = process.platform === 'linux' ? `process ${server.pid}` : 'another process';
    for (const attempt of [open, verifyDirectory]) {
      await expect(attempt(dataDir)).rejects.toMatchObject({
        code: 'DIRECTORY_LOCKED',
        message: expect.stringContaining(`${dataDir} is in use by ${holder}. Stop it, or let it serve`),
      });
    }
  });
});

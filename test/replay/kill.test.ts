import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { beforeAll, expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import { AgentContextCache, replay } from '../../src/index.ts';
import { StagedDirectory } from '../../src/storage/disk/staged-directory.ts';
import { closing } from '../support/cache.ts';
import { buildDist, projectRoot } from '../support/dist.ts';
import { replayed } from '../support/replay.ts';
import { tempDir } from '../support/temp-dir.ts';

const UPDATES = 40_000;

/** An export that takes a while. */
async function longLog(): Promise<string> {
  const path = join(await tempDir('replay'), 'long.ndjson');
  const lines = Array.from({ length: UPDATES }, (_, index) => {
    const [position, namespace] = [index + 1, `n${index % 10}`];
    const value = `${position}:${'x'.repeat(200)}`;
    return JSON.stringify({
      position,
      namespace,
      version: 1 + Math.floor(index / 10),
      operation: 'set',
      key: `k${index % 500}`,
      value,
      at: 1_000,
      agent: null,
    });
  });
  await writeFile(path, `${lines.join('\n')}\n`);
  return path;
}

beforeAll(buildDist);

/**
 * After this many lines of output beyond the one at which it is killed, the process waits: the signal cannot be too
 * late.
 */
const AHEAD = 5;

/** Replays in a separate process and kills it at this line of its output, or lets it end by itself. */
async function killAt(source: string, dataDir: string, line: number): Promise<string> {
  const script = join(import.meta.dirname, 'kill-child.mjs');
  const args = [script, join(projectRoot, 'dist'), source, dataDir, String(line + AHEAD)];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close');
  let lines = 0;
  let last = '';
  for await (const text of createInterface(child.stdout)) {
    last = text;
    lines += 1;
    if (lines === line) child.kill('SIGKILL');
  }
  await ended;
  return last;
}

it('a process killed half-way leaves no database, and the next replay fills the directory', async () => {
  const source = await longLog();
  const dataDir = join(await tempDir('replay'), 'new');
  for (const line of [1, 5, 10, 20]) {
    await killAt(source, dataDir, line);
    expect(await readdir(dataDir)).toEqual(['replaying']);
    await expect(replay(dataDir)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  }
  await (await replay(source, { dataDir })).cache.shutdown();
  expect(await readdir(dataDir)).toContain('db');
  expect((await replayed(dataDir)).report).toMatchObject({ position: UPDATES, updates: UPDATES });
});

it('a process killed at its end leaves a complete database', async () => {
  const source = await longLog();
  const dataDir = join(await tempDir('replay'), 'new');
  expect(await killAt(source, dataDir, Number.POSITIVE_INFINITY)).toBe('done');
  const cache = closing(await AgentContextCache.open({ dataDir }));
  expect(cache.position).toBe(UPDATES);
  expect(cache.get('k499', 'n9')).toContain(`${UPDATES}:`);
});

it('a second replay into the same directory is refused', async () => {
  const dataDir = join(await tempDir('replay'), 'new');
  const staged = await StagedDirectory.create(dataDir, { clock: systemClock });
  await expect(replay([], { dataDir })).rejects.toMatchObject({ code: 'DIRECTORY_LOCKED' });
  await staged.finish();
  await expect(replay([], { dataDir })).rejects.toMatchObject({ code: 'NOT_EMPTY' });
  expect(closing(await AgentContextCache.open({ dataDir })).position).toBe(0);
});

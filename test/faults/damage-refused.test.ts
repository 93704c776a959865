import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, open, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { beforeAll, describe, expect, it } from 'vitest';
import { AgentContextCache } from '../../src/index.ts';
import { encodeFrame, MAGIC, NOTE } from '../../src/storage/disk/log/frame.ts';
import { buildDist, projectRoot } from '../support/dist.ts';
import { tempDir } from '../support/temp-dir.ts';

const NOBODY = 65_534;
/** Processor time of a refusal, in milliseconds: the best of some tries. No timer fires meanwhile. */
const REFUSED_MS = 1_000;
const TRIES = 5;

interface Said {
  readonly opened?: true;
  readonly code?: string;
  readonly message?: string;
  readonly ms?: number;
}

function start(dataDir: string, what: 'try' | 'hold' | 'fill', uid?: number): ChildProcess {
  const script = join(import.meta.dirname, 'damage-child.mjs');
  const args = [script, join(projectRoot, 'dist'), dataDir, what];
  const user = uid === undefined ? {} : { uid, gid: uid };
  return spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'], cwd: '/', ...user });
}

async function said(child: ChildProcess): Promise<Said> {
  const lines = createInterface(child.stdout as NodeJS.ReadableStream);
  for await (const line of lines) return JSON.parse(line) as Said;
  throw new Error('The child said nothing.');
}

async function end(child: ChildProcess): Promise<void> {
  // The child may have ended already.
  child.stdin?.on('error', () => {});
  child.stdin?.end('\n');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

async function refusal(dataDir: string, uid?: number): Promise<Said> {
  let best: Said = { ms: Number.POSITIVE_INFINITY };
  for (let i = 0; i < TRIES && (best.ms ?? 0) >= REFUSED_MS; i += 1) {
    const child = start(dataDir, 'try', uid);
    const answer = await said(child);
    await end(child);
    expect(answer.opened).toBeUndefined();
    if ((answer.ms ?? 0) < (best.ms ?? 0)) best = answer;
  }
  expect(best.ms).toBeLessThan(REFUSED_MS);
  expect(best.message).toContain(dataDir);
  return best;
}

async function filled(): Promise<string> {
  const dataDir = join(await tempDir('refused'), 'data');
  const cache = await AgentContextCache.open({ dataDir, natsUrl: null });
  await cache.set('k', 'v');
  await cache.shutdown();
  return dataDir;
}

async function isWhole(dataDir: string): Promise<boolean> {
  const cache = await AgentContextCache.open({ dataDir, natsUrl: null });
  const value = cache.get('k');
  await cache.shutdown();
  return value === 'v';
}

beforeAll(buildDist, 300_000);

describe('refuses a directory within a second, with the remedy,', () => {
  it('if another process holds it', async () => {
    const dataDir = await filled();
    const holder = start(dataDir, 'hold');
    expect(await said(holder)).toEqual({ opened: true });
    expect(await refusal(dataDir)).toMatchObject({
      code: 'DIRECTORY_LOCKED',
      message: expect.stringMatching(/Stop it/),
    });
    await end(holder);
    expect(await isWhole(dataDir)).toBe(true);
  });

  it('if this process holds it', async () => {
    const dataDir = await filled();
    const cache = await AgentContextCache.open({ dataDir, natsUrl: null });
    await expect(AgentContextCache.open({ dataDir, natsUrl: null })).rejects.toMatchObject({
      code: 'DIRECTORY_LOCKED',
    });
    await cache.shutdown();
  });

  it.skipIf(process.getuid?.() !== 0)(
    'if permission is missing (needs to be root, to become another user)',
    async () => {
      const dataDir = await filled();
      await chmod(join(dataDir, '..'), 0o755);
      const remedy = { code: 'LOG_UNAVAILABLE', message: expect.stringMatching(/Check the disk.* the permissions/) };
      expect(await refusal(dataDir, NOBODY)).toMatchObject(remedy);
      // It can be read but not written.
      for (const path of ['', ...(await readdir(dataDir, { recursive: true }))]) {
        const isDirectory = (await stat(join(dataDir, path))).isDirectory();
        await chmod(join(dataDir, path), isDirectory ? 0o755 : 0o644);
      }
      expect(await refusal(dataDir, NOBODY)).toMatchObject(remedy);
      expect(await refusal(join(dataDir, 'new'), NOBODY)).toMatchObject(remedy);
      expect(await isWhole(dataDir)).toBe(true);
    },
  );

  it('if a newer version or another program has written it', async () => {
    const newer = await filled();
    const [first] = await readdir(join(newer, 'db/log'));
    const file = await open(join(newer, 'db/log', first as string), 'r+');
    await file.write(Buffer.from('context-cache 5\n'), 0, 16, 0);
    await file.close();
    const version = { code: 'FORMAT_UNSUPPORTED', message: expect.stringMatching(/format 4.*or a newer one/) };
    expect(await refusal(newer)).toMatchObject(version);
    const older = await tempDir('refused');
    await mkdir(join(older, 'db'));
    await writeFile(join(older, 'db/CURRENT'), 'MANIFEST-000001\n');
    const before = { code: 'FORMAT_UNSUPPORTED', message: expect.stringMatching(/format 1.*the version/) };
    expect(await refusal(older)).toMatchObject(before);
    const other = await tempDir('refused');
    await mkdir(join(other, 'db/log'), { recursive: true });
    const heading = { product: 'a browser', log: 'x', begin: 0, shift: 0, checkpoints: {}, settings: {} };
    const frame = encodeFrame({ position: 0, flags: NOTE, synced: 0, count: 0 }, (to) => to.value(heading));
    await writeFile(join(other, 'db/log/0000000000000001.log'), Buffer.concat([MAGIC, frame]));
    const program = { code: 'FORMAT_UNSUPPORTED', message: expect.stringMatching(/Use a separate directory/) };
    expect(await refusal(other)).toMatchObject(program);
  });
});

it('makes files and directories accessible to their owner alone, whatever the umask', async () => {
  const dataDir = join(await tempDir('modes'), 'data');
  const child = start(dataDir, 'fill');
  expect(await said(child)).toEqual({ opened: true });
  expect(await wideOpen(dataDir, 'directories')).toEqual([]);
  await end(child);
  const files = await readdir(dataDir, { recursive: true });
  // A clean end merges the tables of so many writes; what it writes is looked at as well.
  expect(files.filter((file) => file.endsWith('.ldb')).length).toBeGreaterThan(0);
  expect(files.filter((file) => file.startsWith('backups/')).length).toBeGreaterThan(1);
  expect(await wideOpen(dataDir, 'all')).toEqual([]);
});

async function wideOpen(dataDir: string, which: 'directories' | 'all'): Promise<string[]> {
  const wide: string[] = [];
  for (const name of ['', ...(await readdir(dataDir, { recursive: true }))]) {
    const found = await stat(join(dataDir, name)).catch(() => undefined);
    if (found === undefined || (which === 'directories' && !found.isDirectory())) continue;
    if ((found.mode & 0o777) !== (found.isDirectory() ? 0o700 : 0o600)) wide.push(`${name} ${found.mode.toString(8)}`);
  }
  return wide;
}

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { AgentContextCache, replay } from '../../src/index.ts';
import { tempDir } from '../support/temp-dir.ts';

it('recovers what is left of a directory that is too damaged to be opened, and reports what is missing', async () => {
  const dataDir = await tempDir('damaged');
  const cache = await AgentContextCache.open({ dataDir, natsUrl: null });
  for (let i = 1; i <= 300; i += 1) await cache.set(`k${i % 40}`, { i, text: 'some text '.repeat(40) }, 'n');
  await cache.shutdown();
  const [log = ''] = (await readdir(join(dataDir, 'db', 'log'))).filter((file) => file.endsWith('.log'));
  const path = join(dataDir, 'db', 'log', log);
  const bytes = await readFile(path);
  for (let at = 10_000; at < bytes.length / 2; at += 20_000) bytes[at] = (bytes[at] ?? 0) ^ 1;
  await writeFile(path, bytes);

  await expect(AgentContextCache.open({ dataDir, natsUrl: null })).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
  await expect(replay(dataDir)).rejects.toMatchObject({ code: 'LOG_CORRUPT', problem: { kind: 'unreadable' } });
  const { cache: mended, report } = await replay(dataDir, { repair: true });
  expect(report.missing).toBeGreaterThan(0);
  expect(report.updates + report.missing).toBe(300);
  expect(mended.get('k20', 'n')).toMatchObject({ i: 300 });
  await mended.shutdown();
});

it('replays a directory whose newest heading is damaged, after its base', async () => {
  const dataDir = await tempDir('damaged');
  await using cache = new AgentContextCache();
  await cache.set('before', 1, 'n');
  await using branch = await cache.fork({ dataDir });
  await branch.set('after', 2, 'n');
  await branch.shutdown();
  const [log = ''] = await readdir(join(dataDir, 'db', 'log'));
  const path = join(dataDir, 'db', 'log', log);
  const bytes = await readFile(path);
  bytes[30] = (bytes[30] ?? 0) ^ 1;
  await writeFile(path, bytes);
  await expect(replay(dataDir)).rejects.toMatchObject({ code: 'LOG_CORRUPT', problem: { kind: 'unreadable' } });
  const { cache: mended } = await replay(dataDir, { repair: true });
  expect([mended.get('before', 'n'), mended.get('after', 'n')]).toEqual([1, 2]);
  await mended.shutdown();
});

it('refuses a directory of format 1, and leaves it as it is', async () => {
  const dataDir = await tempDir('format');
  await mkdir(join(dataDir, 'db'));
  await writeFile(join(dataDir, 'db', 'CURRENT'), 'MANIFEST-000001\n');
  await expect(replay(dataDir)).rejects.toMatchObject({ code: 'FORMAT_UNSUPPORTED' });
  expect(await readdir(join(dataDir, 'db'))).toEqual(['CURRENT']);
});

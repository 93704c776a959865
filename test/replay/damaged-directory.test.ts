import { readdir, readFile, writeFile } from 'node:fs/promises';
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

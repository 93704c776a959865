import { expect, test } from 'vitest';
import { z } from 'zod';
import { AgentContextCache } from '../../src/index.ts';
import { tempDir } from '../support/temp-dir.ts';

test('processes that share a directory are briefed about each other, and check schemas against all that was written', async () => {
  const dataDir = await tempDir('share');
  const share = () =>
    AgentContextCache.share(dataDir, { natsUrl: null, backup: { enabled: false }, onError: () => {} });
  await using holder = await share();
  await using other = await share();
  await holder.set('hotel', 'Adler', 'trip', { agent: 'booker' });
  await other.set('train', 904, 'trip', { agent: 'scout' });
  for (const sharer of [other, holder]) {
    const { changes } = await sharer.as({ agent: 'planner' }).briefing({ namespaces: ['trip'], advance: false });
    expect(changes.map(({ key, agent }) => [key, agent])).toEqual([
      ['train', 'scout'],
      ['hotel', 'booker'],
    ]);
    const report = await sharer.checkSchemas({ trip: z.string() });
    expect(report).toMatchObject({ ok: false, refused: { recorded: 1, present: 1 } });
    expect(report.present).toMatchObject([{ key: 'train', position: 2, agent: 'scout' }]);
  }
});

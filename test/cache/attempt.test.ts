import { expect, it } from 'vitest';
import { attempt } from '../../src/cache/attempt.ts';
import { AgentContextCache } from '../../src/index.ts';

it('counts a conflict of a command that was parsed from text, as of any other', async () => {
  await using cache = new AgentContextCache();
  await cache.set('k', 1, 'n');
  const stale = { type: 'context.set', namespace: 'n', key: 'k', value: 2, ifVersion: 9 } as const;
  expect(() => attempt(cache, stale)).toThrow(expect.objectContaining({ code: 'VERSION_CONFLICT' }));
  await expect(cache.ask(stale)).rejects.toMatchObject({ code: 'VERSION_CONFLICT' });
  expect(cache.inspection.conflicts.count).toBe(2);
});

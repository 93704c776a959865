import { expect, test } from 'vitest';
import { MAX_GRANTS } from '../../src/core/grants.ts';
import { Access } from '../../src/engine/access.ts';
import { MemoryConfigStore } from '../../src/storage/config-store.ts';

test('grants of a cluster above the maximum, which nodes have added at once, give no rights', () => {
  const access = new Access({
    clock: { now: () => 0 },
    sequencer: undefined,
    config: new MemoryConfigStore(),
    options: {},
  });
  const grants = Array.from({ length: MAX_GRANTS + 1 }, (_, index) => ({ agent: `a${index}`, read: ['**'] }));
  access.adopt(grants, true);
  expect(access.list).toHaveLength(MAX_GRANTS);
  expect(access.may(`a${MAX_GRANTS - 1}`, 'read', 'trip', 'plan')).toBe(true);
  expect(access.may(`a${MAX_GRANTS}`, 'read', 'trip', 'plan')).toBe(false);
});

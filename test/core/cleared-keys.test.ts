import { expect, it } from 'vitest';
import { apply } from '../../src/core/apply.ts';
import {
  bytesOfKeys,
  clearableParts,
  joined,
  MAX_CLEARED_BYTES,
  MAX_CLEARED_KEYS,
  withDeletes,
} from '../../src/core/cleared-keys.ts';
import { decide } from '../../src/core/decide.ts';
import { NamespaceState } from '../../src/core/namespace-state.ts';
import { createUpdate } from '../../src/core/update.ts';
import { door } from '../support/request.ts';

it('removes very many keys with several updates of bounded size, and each key once', () => {
  const state = new NamespaceState('n');
  const keys = Array.from({ length: 2 * MAX_CLEARED_KEYS + 1 }, (_, i) => `m:${String(i).padStart(6, '0')}`);
  for (const [index, key] of [...keys, 'other'].entries())
    apply(
      state,
      createUpdate({ namespace: 'n', version: index + 1, operation: 'set', key, value: 1, at: 1, bytes: 8 }),
    );
  const { version } = state;
  const updates = decide(state, door.request(2, { type: 'context.clear', namespace: 'n', prefix: 'm:' }), 0);
  expect(updates.map((update) => update.keys?.length)).toEqual([MAX_CLEARED_KEYS, MAX_CLEARED_KEYS, 1]);
  expect(updates.map((update) => update.version)).toEqual([version + 1, version + 2, version + 3]);
  expect(updates.flatMap((update) => update.keys)).toEqual(keys);
  for (const update of updates) apply(state, update);
  expect([...state.entries.keys()]).toEqual(['other']);
});

it('bounds the bytes of the keys of one update', () => {
  const long = Array.from({ length: 1_000 }, (_, i) => String(i).padEnd(4_000, 'é'));
  const parts = [...clearableParts([...long, 'x'.repeat(MAX_CLEARED_BYTES), 'last'])];
  expect(parts.flat()).toHaveLength(1_002);
  for (const part of parts) expect(part.length === 1 || bytesOfKeys(part) <= MAX_CLEARED_BYTES).toBe(true);
  expect([...clearableParts([])]).toEqual([]);
});

it('becomes a delete for each key, and these one clear again', () => {
  const clear = createUpdate({ namespace: 'n', version: 3, operation: 'clear', at: 1, keys: ['a', 'b'], bytes: 36 });
  clear.position = 7;
  const set = createUpdate({ namespace: 'n', version: 4, operation: 'set', key: 'a', value: 1, at: 1, bytes: 8 });
  set.position = 8;
  const deletes = withDeletes([clear, set]);
  expect(deletes).toMatchObject([
    { operation: 'delete', key: 'a', position: 7, version: 3, bytes: 0 },
    { operation: 'delete', key: 'b', position: 7, version: 3, bytes: 0 },
    { operation: 'set' },
  ]);
  expect(deletes[0]).not.toHaveProperty('keys');
  expect(joined(deletes)).toEqual([clear, set]);
});

import { expect, test } from 'vitest';
import { ContextCacheError, type Entry } from '../../src/index.ts';
import { checkedStore, type Served } from '../../src/remote/checked-store.ts';

/** A served cache whose migration fails for every entry. Counts the views that are opened and released. */
function failing(keys: readonly string[], late: string) {
  const views = { opened: 0, released: 0 };
  const failure = () => new ContextCacheError('MIGRATION_FAILED', 'The step to version 2 failed.');
  const served = {
    // biome-ignore lint/correctness/useYield: it fails at its first entry
    async *entries() {
      throw failure();
    },
    listKeys: async (_: string, { after }: { after?: string }) =>
      keys.filter((key) => after === undefined || key > after).slice(0, 1),
    entry: async () => {
      throw failure();
    },
    health: async () => ({ log: { first: 1, head: keys.length } }),
    at: async () => {
      views.opened += 1;
      const isFirst = views.opened === 1;
      return {
        entry: async (key: string) =>
          isFirst && key === late ? undefined : ({ key, namespace: 'n', value: 1, version: 1 } as Entry),
        [Symbol.asyncDispose]: async () => {
          views.released += 1;
        },
      };
    },
  };
  return { store: checkedStore(served as unknown as Served), views };
}

test('a client reads all entries for which a step fails from one view, and from another only if one is younger', async () => {
  const keys = Array.from({ length: 50 }, (_, index) => `k${String(index).padStart(2, '0')}`);
  const { store, views } = failing(keys, 'k30');
  const found: string[] = [];
  for await (const { key } of store.entries('n', {})) found.push(key);
  expect(found).toEqual(keys);
  expect(views).toEqual({ opened: 2, released: 2 });
});

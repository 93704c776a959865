import fc from 'fast-check';
import { expect, it } from 'vitest';
import { WatchHub } from '../../src/actors/watch-hub.ts';
import { bytesOfKeys } from '../../src/core/cleared-keys.ts';
import { PrefixMap } from '../../src/core/tables/prefix-map.ts';
import { createUpdate, type PendingUpdate, type Update } from '../../src/core/update.ts';
import { UpdateFilter, type WatchFilter } from '../../src/core/update-filter.ts';
import { MemoryLog } from '../../src/storage/memory/memory-log.ts';
import { fcOptions } from '../support/property.ts';

const name = fc.constantFrom('a', 'ab', 'abc', 'b', 'ba', 'a/', 'a/b', '🦊', '🦊a');
const prefix = fc.oneof(name, fc.constant(''));
const filter: fc.Arbitrary<WatchFilter> = fc
  .tuple(
    fc.oneof(
      fc.constant({}),
      fc.record({ namespace: fc.oneof(name, fc.array(name, { maxLength: 3 })) }),
      fc.record({ namespacePrefix: prefix }),
    ),
    fc.oneof(
      fc.constant({}),
      fc.record({ keys: fc.array(prefix, { maxLength: 3 }) }),
      fc.record({ keyPrefix: prefix }),
    ),
  )
  .map(([namespaces, keys]) => ({ ...namespaces, ...keys }));
const update = fc
  .record({ namespace: name, key: fc.option(prefix), keys: fc.uniqueArray(prefix) })
  .map(({ namespace, key, keys }): PendingUpdate => {
    if (key === null && keys.length > 0)
      return createUpdate({ namespace, version: 1, operation: 'clear', at: 1, keys, bytes: bytesOfKeys(keys) });
    return createUpdate({ namespace, version: 1, operation: key === null ? 'clear_namespace' : 'set', key, at: 1 });
  });
/** A watcher starts, the n-th one stops, or updates are committed. */
const step = fc.oneof(
  fc.record({ filter }),
  fc.record({ stop: fc.nat(9) }),
  fc.record({ updates: fc.array(update, { minLength: 1, maxLength: 5 }) }),
);

/** The meaning of a filter, written down without an index. */
function selected({ namespace, namespacePrefix, keys, keyPrefix }: WatchFilter, update: Update): Update[] {
  if (namespace !== undefined && ![namespace].flat().includes(update.namespace)) return [];
  if (!update.namespace.startsWith((namespacePrefix ?? '') as string)) return [];
  const hasKey = (key: string) => (keys === undefined || keys.includes(key)) && key.startsWith(keyPrefix ?? '');
  if (update.operation === 'clear') {
    const left = (update.keys ?? []).filter(hasKey);
    return left.length === 0 ? [] : [{ ...update, keys: left, bytes: bytesOfKeys(left) }];
  }
  const isSelected = update.key === null ? keys === undefined || keys.length > 0 : hasKey(update.key);
  return isSelected ? [update] : [];
}

it('gives each watcher exactly the updates that its filter selects, once and in order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const log = new MemoryLog();
      const hub = new WatchHub(log, (error) => expect.fail(String(error)));
      const watchers: { filter: WatchFilter; got: Update[]; wanted: Update[]; stop: (() => void) | undefined }[] = [];
      for (const each of steps) {
        if ('filter' in each) {
          const got: Update[] = [];
          const stop = hub.add(each.filter, (update) => got.push(update));
          watchers.push({ filter: each.filter, got, wanted: [], stop });
        } else if ('stop' in each) {
          const watcher = watchers[each.stop];
          watcher?.stop?.();
          if (watcher !== undefined) watcher.stop = undefined;
        } else {
          const updates = each.updates.map((update) => ({ ...update }));
          log.append(updates);
          await log.flush();
          for (const { filter, wanted, stop } of watchers) {
            if (stop !== undefined) wanted.push(...updates.flatMap((update) => selected(filter, update)));
          }
        }
      }
      for (const { got, wanted } of watchers) expect(got).toEqual(wanted);
      const all = steps.flatMap((each) => ('updates' in each ? each.updates : []));
      for (const { filter } of watchers) {
        const tests = new UpdateFilter(filter);
        for (const update of all) expect([tests.of(update) ?? []].flat()).toEqual(selected(filter, update));
      }
      for (const { stop } of watchers) stop?.();
      expect(hub.size).toBe(0);
    }),
    fcOptions(300),
  );
});

it('finds exactly the prefixes of a name', () => {
  const change = fc.record({ prefix, value: fc.option(fc.nat()) });
  fc.assert(
    fc.property(fc.array(change), name, (changes, of) => {
      const map = new PrefixMap<number>();
      const model = new Map<string, number>();
      for (const { prefix, value } of changes) {
        if (value === null) {
          map.delete(prefix);
          model.delete(prefix);
        } else {
          map.set(prefix, value);
          model.set(prefix, value);
        }
      }
      const found: number[] = [];
      map.visit(of, (value) => found.push(value));
      const wanted = [...model].filter(([prefix]) => of.startsWith(prefix)).map(([, value]) => value);
      expect(found.sort()).toEqual(wanted.sort());
      expect(map.size).toBe(model.size);
    }),
    fcOptions(300),
  );
});

import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UNSEALED } from '../../src/core/sealed.ts';
import { createUpdate } from '../../src/core/update.ts';
import { ChangesReader } from '../../src/engine/changes-reader.ts';
import { AgentContextCache, InMemoryContextCache, type Update } from '../../src/index.ts';
import { Activity } from '../../src/monitoring/activity.ts';
import { MemoryLog } from '../../src/storage/memory/memory-log.ts';
import { NamespaceRegistry } from '../../src/storage/namespace-registry.ts';
import type { PastSource } from '../../src/storage/past-source.ts';
import type { ChangesOptions } from '../../src/types.ts';
import { anyStep, codeOf, makeCache, simulatedClock } from '../support/cache.ts';
import { fcOptions } from '../support/property.ts';
import { tempDir } from '../support/temp-dir.ts';

/** A copy of values by namespace and key, to which changes are applied. */
type Copy = Map<string, Map<string, unknown>>;

function apply(copy: Copy, { namespace, key, operation, value, keys = [] }: Update): void {
  if (operation === 'clear') for (const each of keys) copy.get(namespace)?.delete(each);
  else if (key === null) copy.delete(namespace);
  else if (operation === 'set') copy.set(namespace, (copy.get(namespace) ?? new Map()).set(key, value));
  else copy.get(namespace)?.delete(key);
}

const contentOf = (copy: Copy): unknown =>
  [...copy]
    .filter(([, keys]) => keys.size > 0)
    .map(([name, keys]) => [name, [...keys].sort(([a], [b]) => (a < b ? -1 : 1))])
    .sort();

/** The entries of a cache, expired or not, as a copy. */
function presentOf(cache: AgentContextCache, namespaces: readonly string[]): unknown {
  using view = cache.at(cache.position);
  return contentOf(
    new Map(namespaces.map((name) => [name, new Map(view.entries(name).map(({ key, value }) => [key, value]))])),
  );
}

/** Reads all pages, checks each, and applies them. */
async function catchUp(cache: AgentContextCache, copy: Copy, options: ChangesOptions): Promise<number> {
  let { since } = options;
  const seen = new Set<string>();
  for (;;) {
    const { changes, next, more } = await cache.changes({ ...options, since });
    let last = since;
    for (const update of changes) {
      expect(update.position).toBeGreaterThan(last);
      last = update.position;
      for (const key of update.keys ?? [update.key]) {
        const id = JSON.stringify([update.namespace, key]);
        expect(seen.has(id)).toBe(false);
        seen.add(id);
      }
      apply(copy, update);
    }
    expect(next).toBeGreaterThanOrEqual(last);
    expect(changes.length).toBeLessThanOrEqual(options.limit ?? 1_000);
    since = next;
    if (!more) return next;
    expect(changes.length).toBeGreaterThan(0);
  }
}

describe('changes', () => {
  test.each([
    ['in memory', false],
    ['with a data directory', true],
  ])('bring any number of copies up to date, however they are read: %s', async (_what, isDurable) => {
    const readers = fc.record({
      limit: fc.integer({ min: 1, max: 5 }),
      select: fc.constantFrom<Pick<ChangesOptions, 'namespace' | 'prefix'>>({}, { namespace: 'a:b' }, { prefix: '' }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(anyStep, { maxLength: 25 }), { minLength: 1, maxLength: 4 }),
        fc.array(readers, { minLength: 1, maxLength: 3 }),
        async (lives, readers) => {
          const clock = simulatedClock();
          const dataDir = join(await tempDir('changes'), 'data');
          const open = () =>
            AgentContextCache.open({
              ...{ natsUrl: null, clock, onError: () => {} },
              ...(isDurable ? { dataDir, sync: false, maxResidentNamespaces: 1 } : {}),
            });
          let cache = await open();
          const copies = readers.map((options) => ({ ...options, copy: new Map() as Copy, since: 0 }));
          for (const steps of lives) {
            for (const step of steps) {
              if ('wait' in step) clock.increment(step.wait);
              else cache.supervisor.send(step);
            }
            // Meanwhile the updates are being written.
            for (const each of copies) {
              each.since = await catchUp(cache, each.copy, { ...each.select, since: each.since, limit: each.limit });
            }
            await cache.flush();
            for (const each of copies) {
              each.since = await catchUp(cache, each.copy, { ...each.select, since: each.since, limit: each.limit });
              const names = each.select.namespace === undefined ? cache.listNamespaces() : ['a:b'];
              expect(contentOf(each.copy)).toEqual(presentOf(cache, names));
              expect(each.since).toBe(cache.position);
            }
            if (!isDurable) continue;
            await cache.shutdown();
            cache = await open();
          }
          await cache.shutdown();
        },
      ),
      fcOptions(isDurable ? 12 : 60),
    );
  });

  test('show each key once: its present value, or how it went', async () => {
    await using cache = new AgentContextCache({ natsUrl: null });
    for (let step = 0; step < 100; step += 1) await cache.set('busy', step, 'n', { agent: `a${step}` });
    await cache.set('touched', 'value', 'n');
    await cache.set('gone', 1, 'n');
    const { position } = await cache.delete('gone', 'n', { agent: 'tidy' });
    await cache.touch('touched', 'n', { expiresAt: 4_102_444_800_000, agent: 'keeper' });
    await cache.set('elsewhere', 1, 'm');
    const { changes, next, more } = await cache.changes({ since: 0, namespace: 'n' });
    expect({ next, more }).toEqual({ next: 105, more: false });
    expect(changes).toMatchObject([
      { position: 100, operation: 'set', key: 'busy', value: 99, version: 100, agent: 'a99' },
      { position, operation: 'delete', key: 'gone', value: null, agent: 'tidy' },
      { operation: 'set', key: 'touched', value: 'value', agent: 'keeper', expiresAt: 4_102_444_800_000, version: 104 },
    ]);
    const first = await cache.changes({ since: 0, namespace: 'n', limit: 1 });
    expect([first.changes.length, first.next, first.more]).toEqual([1, 100, true]);
    await cache.clearNamespace('n');
    expect(await cache.changes({ since: 0, namespace: 'n' })).toMatchObject({
      changes: [{ operation: 'clear_namespace', key: null }],
      next: 106,
    });
  });

  test('show no value before it is committed', async () => {
    const dataDir = join(await tempDir('changes'), 'data');
    await using cache = await AgentContextCache.open({ natsUrl: null, dataDir });
    await cache.set('k', 'first', 'n');
    await cache.set('l', 'first', 'n');
    await cache.changes({ since: 0, namespace: 'n' });
    const second = cache.set('k', 'second', 'n');
    const { changes, next } = await cache.changes({ since: 0, namespace: 'n' });
    // With its first position, a copy would have a value that a crash may still lose.
    expect(changes).not.toContainEqual(expect.objectContaining({ position: 1, value: 'second' }));
    const rest = await cache.changes({ since: next, namespace: 'n' });
    await second;
    const all = [...changes, ...rest.changes, ...(await cache.changes({ since: rest.next, namespace: 'n' })).changes];
    expect(all.map(({ position, value }) => [position, value])).toEqual([
      [2, 'first'],
      [3, 'second'],
    ]);
  });

  test('end a page at 4 MiB of values', async () => {
    const { cache } = makeCache();
    for (let key = 0; key < 5; key += 1) await cache.set(`k${key}`, 'x'.repeat(1_500_000));
    const { changes, next, more } = await cache.changes({ since: 0 });
    expect([changes.length, next, more]).toEqual([2, 2, true]);
  });

  test('say that they are no longer known once the updates are discarded, deletions too', async () => {
    await using cache = new AgentContextCache({ natsUrl: null, log: { capacityUpdates: 10 } });
    await cache.set('early', 1);
    await cache.delete('early');
    const late = await cache.changes({ since: 0 });
    expect(late.changes).toMatchObject([{ operation: 'delete', key: 'early' }]);
    for (let step = 0; step < 20; step += 1) await cache.set('k', step);
    for (const selection of [{}, { namespace: 'default' }, { prefix: 'd' }]) {
      const refused = cache.changes({ since: 11, ...selection });
      await expect(refused).rejects.toMatchObject({
        code: 'POSITION_UNAVAILABLE',
        message: expect.stringContaining('kept from position 13 on'),
      });
      expect(await cache.changes({ since: 12, ...selection })).toMatchObject({ changes: [{ value: 19 }], next: 22 });
    }
  });

  test('are no longer known before the past that retention keeps, and still known after it', async () => {
    const dataDir = join(await tempDir('changes'), 'data');
    await using cache = await AgentContextCache.open({ natsUrl: null, dataDir, sync: false });
    for (let step = 0; step < 3_000; step += 1) void cache.set(`k${step % 50}`, step, 'n');
    await cache.flush();
    await cache.changes({ since: 0, namespace: 'n' });
    await cache.compact({ keepUpdates: 100 });
    expect(await codeOf(cache.changes({ since: 0, namespace: 'n' }))).toBe('POSITION_UNAVAILABLE');
    expect((await cache.changes({ since: 2_960, namespace: 'n' })).changes).toHaveLength(40);
  });

  test('reach into the parent of a branch, for a namespace', async () => {
    await using cache = new AgentContextCache({ natsUrl: null });
    await cache.set('a', 1, 'n');
    await using branch = await cache.fork();
    await branch.set('b', 2, 'n');
    await cache.set('later', 3, 'n');
    const { changes } = await branch.changes({ since: 0, namespace: 'n' });
    expect(changes.map(({ key }) => key)).toEqual(['a', 'b']);
    expect(await codeOf(branch.changes({ since: 0 }))).toBe('POSITION_UNAVAILABLE');
    expect((await branch.changes({ since: 1 })).changes).toHaveLength(1);
  });

  test('forget the index used longest ago, and keep no watcher', async () => {
    const { cache } = makeCache();
    for (let name = 0; name < 70; name += 1) await cache.set('k', name, `n${name}`);
    for (let round = 0; round < 2; round += 1) {
      for (let name = 0; name < 70; name += 1) {
        await cache.set('k', round, `n${name}`);
        const { changes } = await cache.changes({ since: 0, namespace: `n${name}` });
        expect(changes).toMatchObject([{ value: round }]);
      }
    }
    expect(cache.health().watchers).toBe(0);
  });

  test('need a cache that keeps the values, and that is open', async () => {
    class Primary extends InMemoryContextCache {}
    const own = new AgentContextCache({ natsUrl: null, primaryCache: new Primary() });
    expect(await codeOf(own.changes({ since: 0 }))).toBe('INVALID_OPTION');
    await own.shutdown();
    const cache = new AgentContextCache({ natsUrl: null });
    await cache.changes({ since: 0 });
    await cache.shutdown();
    expect(await codeOf(cache.changes({ since: 0 }))).toBe('CLOSED');
  });
});

test('forgets an index that grows beyond the bound between questions, and builds it again', async () => {
  const log = new MemoryLog();
  const clock = simulatedClock();
  const reader = new ChangesReader({
    subjects: UNSEALED,
    ...{ log, clock, report: () => {}, hasPrimary: false, maxChanges: 10_000 },
    past: { reach: 0 } as PastSource,
    registry: new NamespaceRegistry(),
    activity: new Activity({ clock, log: log.id, details: false }),
  });
  let version = 0;
  const append = async (count: number) => {
    for (let i = 0; i < count; i += 1) {
      version += 1;
      log.append([createUpdate({ namespace: 'n', version, operation: 'delete', key: `k${version}`, at: version })]);
    }
    await log.flush();
  };
  await append(1);
  await reader.read({ since: 0 });
  expect(reader.size).toBe(1);
  await append(8_000);
  expect(reader.size).toBe(8_001);
  await append(8_000);
  await Promise.resolve();
  expect(reader.size).toBe(0);
  const { changes, next, more } = await reader.read({ since: 16_000 });
  expect({ positions: changes.map(({ position }) => position), next, more }).toEqual({
    ...{ positions: [16_001], next: 16_001, more: false },
  });
});

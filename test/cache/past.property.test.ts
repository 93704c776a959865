import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { CacheView, Entry, OpenOptions, Update } from '../../src/index.ts';
import { AgentContextCache } from '../../src/index.ts';
import { ManualClock } from '../log/manual-clock.ts';
import { fcOptions } from '../support/property.ts';
import { removeTempDir, tempDir } from '../support/temp-dir.ts';
import { type Folded, foldTo, logOf } from './past-support.ts';

const opened: AgentContextCache[] = [];

async function open(options: OpenOptions): Promise<AgentContextCache> {
  const cache = await AgentContextCache.open({ sync: false, durability: 'memory', onError: () => {}, ...options });
  opened.push(cache);
  return cache;
}

afterEach(async () => {
  for (const cache of opened.splice(0)) await cache.shutdown({ timeoutMs: 5_000 });
});

const NAMES = ['default', 'a', '__proto__', 'p/1:a/0\0é'];
const KEYS = ['k0', 'k1', 'k2', '__proto__'];

type Command = (cache: AgentContextCache, clock: ManualClock) => void;

/** Whatever changes a cache; also what changes nothing. */
const command: fc.Arbitrary<Command> = fc
  .record({
    kind: fc.constantFrom(
      'set',
      'set',
      'set',
      'set',
      'ttl',
      'delete',
      'clear',
      'drop',
      'batch',
      'touch',
      'wait',
      'passivate',
    ),
    namespace: fc.constantFrom(...NAMES),
    key: fc.constantFrom(...KEYS),
    value: fc.oneof(fc.nat(9), fc.constant(null), fc.constant({ a: [1, { b: 'c' }] })),
    ms: fc.integer({ min: 0, max: 400 }),
  })
  .map(({ kind, namespace, key, value, ms }) => (cache, clock) => {
    const agent = `agent-${ms % 3}`;
    if (kind === 'set') void cache.set(key, value, namespace, { agent });
    if (kind === 'ttl') void cache.set(key, value, namespace, { ttl: ms + 1 });
    if (kind === 'delete') void cache.delete(key, namespace, { agent });
    if (kind === 'clear') void cache.clearNamespace(namespace);
    if (kind === 'drop') void cache.dropNamespace(namespace);
    if (kind === 'touch') void cache.touch(key, namespace, { ttl: ms + 100 });
    if (kind === 'wait') clock.advance(ms);
    if (kind === 'passivate') cache.supervisor.send({ type: 'namespace.passivate', namespace });
    if (kind !== 'batch') return;
    const steps = KEYS.map((each) => ({ operation: 'set' as const, key: each, value }));
    void cache.batch([...steps, { operation: 'delete', key }], namespace, { agent });
  });

const plan = fc.array(fc.array(command, { maxLength: 40 }), { minLength: 1, maxLength: 4 });

function expectFold(view: CacheView, folded: Folded): void {
  expect(view.listNamespaces()).toEqual(folded.names());
  for (const namespace of NAMES) {
    const entries = folded.entries(namespace);
    expect(sorted(view.entries(namespace))).toEqual(entries);
    expect([...view.listKeys(namespace)].sort()).toEqual(entries.map(({ key }) => key));
    for (const key of KEYS) {
      const entry = entries.find((each) => each.key === key);
      expect(view.entry(key, namespace)).toEqual(entry);
      expect(view.get(key, namespace)).toEqual(entry?.value);
      expect(view.has(key, namespace)).toBe(entry !== undefined);
    }
    expect(view.getMany(KEYS, namespace)).toEqual(KEYS.map((key) => view.get(key, namespace)));
  }
}

function sorted(entries: readonly Entry[]): Entry[] {
  return [...entries].sort((a, b) => (a.key < b.key ? -1 : 1));
}

async function expectPast(cache: AgentContextCache): Promise<Update[]> {
  await cache.flush();
  const log = await logOf(cache);
  for (let position = 0; position <= cache.position; position += 1) {
    using view = cache.at(position);
    expect(view.position).toBe(position);
    expectFold(view, foldTo(log, position));
  }
  for (const namespace of NAMES) {
    for (const key of KEYS) {
      const versions = [];
      for await (const version of cache.history(key, namespace)) versions.push(version);
      expect(versions).toEqual(foldTo(log, cache.position).history(key, namespace));
    }
  }
  return log;
}

async function expectDifferences(
  cache: AgentContextCache,
  log: readonly Update[],
  a: number,
  b: number,
): Promise<void> {
  const [before, after] = [foldTo(log, a), foldTo(log, b)];
  for (const namespace of [undefined, 'a']) {
    const difference = await cache.diff(a, b, { namespace });
    const names = namespace === undefined ? NAMES : [namespace];
    const all = (fold: Folded) =>
      new Map(names.flatMap((name) => fold.entries(name)).map((each) => [`${each.namespace}|${each.key}`, each]));
    const [old, now] = [all(before), all(after)];
    const found = (entries: readonly Entry[]) =>
      new Map(entries.map((each) => [`${each.namespace}|${each.key}`, each]));
    expect(found(difference.added)).toEqual(new Map([...now].filter(([key]) => !old.has(key))));
    expect(found(difference.removed)).toEqual(new Map([...old].filter(([key]) => !now.has(key))));
    const changed = [...now].filter(
      ([key, each]) => old.has(key) && JSON.stringify(old.get(key)) !== JSON.stringify(each),
    );
    expect(found(difference.changed.map(({ after: to }) => to))).toEqual(new Map(changed));
    expect(found(difference.changed.map(({ before: from }) => from))).toEqual(
      new Map(changed.map(([key]) => [key, old.get(key)])),
    );
  }
}

async function checkpointed(cache: AgentContextCache, clock: ManualClock): Promise<void> {
  await vi.waitFor(() => {
    clock.advance(600);
    expect(cache.health().followers.find(({ name }) => name === 'checkpointer')?.checkpoint).toBe(cache.position);
  });
}

describe('any moment again', () => {
  it('is in memory what the log says, at every position', async () => {
    const scenario = fc.asyncProperty(plan, fc.nat(), fc.nat(), async (batches, a, b) => {
      const clock = new ManualClock();
      const cache = await open({ clock });
      for (const each of batches.flat()) each(cache, clock);
      const log = await expectPast(cache);
      await expectDifferences(cache, log, a % (cache.position + 1), b % (cache.position + 1));
    });
    await fc.assert(scenario, fcOptions(60));
  });

  it('is in a data directory what the log says, at every position, before and after checkpoints and a restart', async () => {
    const scenario = fc.asyncProperty(plan, fc.nat(), fc.nat(), fc.boolean(), async (batches, a, b, reopen) => {
      const clock = new ManualClock();
      const dataDir = await tempDir('past');
      const options = { clock, dataDir, passivateAfterMs: 50, log: { capacityUpdates: 7 } };
      let cache = await open(options);
      const views: (readonly [CacheView, Folded])[] = [];
      for (const batch of batches) {
        for (const each of batch) each(cache, clock);
        const kept = cache.at(cache.position);
        const before = await expectPast(cache);
        views.push([kept, foldTo(before, kept.position)]);
        if (reopen) {
          await cache.shutdown();
          cache = await open(options);
          views.length = 0;
        } else await checkpointed(cache, clock);
        const log = await expectPast(cache);
        for (const [view, folded] of views) expectFold(view, folded);
        await expectDifferences(cache, log, a % (cache.position + 1), b % (cache.position + 1));
      }
      await cache.shutdown();
      removeTempDir(dataDir);
    });
    await fc.assert(scenario, fcOptions(25));
  }, 120_000);

  it('finds the first update after which a predicate fails, by halving', async () => {
    const scenario = fc.asyncProperty(
      fc.integer({ min: 1, max: 300 }),
      fc.nat(),
      fc.boolean(),
      async (count, n, durable) => {
        const clock = new ManualClock();
        const cache = await open({ clock, dataDir: durable ? await tempDir('bisect') : undefined });
        const planted = 1 + (n % count);
        for (let i = 1; i <= count; i += 1)
          void cache.set(`k${i % 7}`, i === planted ? 'broken' : i, `n${i % 5}`, { agent: `a${i}` });
        void cache.set('sound', true);
        let views = 0;
        const culprit = await cache.bisect((view) => {
          views += 1;
          return view.position < planted;
        });
        expect(culprit).toMatchObject({ position: planted, views, update: { value: 'broken', agent: `a${planted}` } });
        expect(views).toBeLessThanOrEqual(Math.log2(count + 1) + 2);
        expect(await cache.bisect(() => true)).toBeUndefined();
        expect(await cache.bisect(() => false)).toMatchObject({ position: 0, update: undefined });
        const found = await cache.bisect((view) => !view.has('sound'), { from: 1 });
        expect(found?.position).toBe(count + 1);
        await cache.shutdown();
      },
    );
    await fc.assert(scenario, fcOptions(25));
  }, 60_000);
});

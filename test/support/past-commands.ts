import fc from 'fast-check';
import { expect, vi } from 'vitest';
import type { AgentContextCache, CacheView, Entry, Update } from '../../src/index.ts';
import type { ManualClock } from './manual-clock.ts';
import { type Folded, foldTo } from './past.ts';

export const NAMES = ['default', 'a', '__proto__', 'p/1:a/0\0é'];
export const KEYS = ['k0', 'k1', 'k2', '__proto__'];

export type Command = (cache: AgentContextCache, clock: ManualClock) => void;

/** Any command that may change a cache, including some that change nothing. */
export const command: fc.Arbitrary<Command> = fc
  .record({
    kind: fc.constantFrom(
      'set',
      'set',
      'set',
      'set',
      'ttl',
      'delete',
      'clear',
      'clear k',
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
    if (kind === 'set') void cache.set(key, value, namespace, ms % 2 === 0 ? { agent } : { agent, meta: { ms } });
    if (kind === 'ttl') void cache.set(key, value, namespace, { ttl: ms + 1 });
    if (kind === 'delete') void cache.delete(key, namespace, { agent });
    if (kind === 'clear') void cache.clearNamespace(namespace);
    if (kind === 'clear k') void cache.clearNamespace(namespace, { prefix: 'k', agent, meta: { ms } });
    if (kind === 'drop') void cache.dropNamespace(namespace);
    if (kind === 'touch') void cache.touch(key, namespace, { ttl: ms + 100, meta: { ms } });
    if (kind === 'wait') clock.advance(ms);
    if (kind === 'passivate') cache.supervisor.send({ type: 'namespace.passivate', namespace });
    if (kind !== 'batch') return;
    const steps = KEYS.map((each) => ({ operation: 'set' as const, key: each, value }));
    void cache.batch([...steps, { operation: 'delete', key }], namespace, { agent });
  });

/** Checks that the view shows what the log says. */
export function expectFold(view: CacheView, folded: Folded): void {
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

export async function expectDifferences(
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

/** Waits until the state table has reached the end of the log. */
export async function checkpointed(cache: AgentContextCache, clock: ManualClock): Promise<void> {
  await vi.waitFor(
    () => {
      clock.advance(600);
      expect(cache.health().followers.find(({ name }) => name === 'index')?.checkpoint).toBe(cache.position);
    },
    { timeout: 30_000 },
  );
}

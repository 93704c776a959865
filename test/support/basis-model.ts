import fc from 'fast-check';
import type { Reading } from '../../src/core/basis.ts';
import type { AgentContextCache, Update } from '../../src/index.ts';

export const NAMES = ['n', 'm'];
const KEYS = ['a', 'ab', 'b'];

/** Writes with bases, and the links between them as a walk over the log finds them. */

/** A write with a basis that names versions by how many versions before the present they are. */
export const writes = fc.record({
  kind: fc.constantFrom('set', 'set', 'set', 'delete', 'touch', 'increment', 'clear', 'prefix', 'drop'),
  namespace: fc.constantFrom(...NAMES),
  key: fc.constantFrom(...KEYS),
  agent: fc.constantFrom('one', 'two', 'three'),
  basis: fc.option(
    fc.array(
      fc.record({
        namespace: fc.constantFrom(...NAMES),
        key: fc.constantFrom(...KEYS),
        back: fc.nat(6),
        form: fc.constantFrom('entry', 'entry', 'entry', 'entry', 'range', 'position'),
      }),
      { maxLength: 3 },
    ),
    { nil: undefined },
  ),
});

type Write = typeof writes extends fc.Arbitrary<infer Value> ? Value : never;

/** Makes a write. */
export async function execute(
  cache: AgentContextCache,
  { kind, namespace, key, agent, basis: given }: Write,
): Promise<void> {
  const basis = given?.map(({ form, back, ...of }): Reading => {
    if (form === 'position') return { position: Math.max(0, cache.position - back) };
    const present = [...cache.inspection.namespaces()].find(({ name }) => name === of.namespace)?.version ?? 0;
    const version = Math.max(0, present - back);
    if (form === 'entry') return { ...of, version };
    return { namespace: of.namespace, prefix: of.key, from: Math.max(0, version - 2), to: version };
  });
  const options = { agent, basis };
  if (kind === 'set') await cache.set(key, cache.position, namespace, options);
  else if (kind === 'delete') await cache.delete(key, namespace, options);
  else if (kind === 'touch') await cache.touch(key, namespace, { ...options, ttl: '1h' });
  else if (kind === 'increment') await cache.increment(`${key}+`, 1, namespace, options);
  else if (kind === 'clear') await cache.clearNamespace(namespace, options);
  else if (kind === 'prefix') await cache.clearNamespace(namespace, { ...options, prefix: key });
  else await cache.dropNamespace(namespace, options);
}

/** A link between two updates. */
export interface Link {
  readonly cause: number;
  readonly effect: number;
  readonly certain: boolean;
}

/** All links of a log, found by comparing each update with all before it. */
export function linksOf(updates: readonly Update[]): Link[] {
  const links = new Map<string, Link>();
  const add = (cause: Update | undefined, effect: Update, certain: boolean) => {
    const id = `${cause?.position}-${effect.position}`;
    if (cause === undefined || (links.has(id) && !certain)) return;
    links.set(id, { cause: cause.position, effect: effect.position, certain });
  };
  const isOf = ({ key, keys }: Update, name: string) =>
    key === null ? keys === undefined || keys.includes(name) : key === name;
  for (const [index, effect] of updates.entries()) {
    const before = updates.slice(0, index);
    const named = (namespace: string, key: string, version: number) => {
      const last = before.findLast((update) => update.namespace === namespace && update.version === version);
      if (last !== undefined && isOf(last, key)) add(last, effect, true);
    };
    if (effect.operation === 'touch') named(effect.namespace, effect.key as string, effect.replaced);
    for (const reading of effect.basis ?? []) {
      if ('position' in reading) {
        for (const cause of before) if (cause.position <= reading.position) add(cause, effect, false);
      } else if ('key' in reading) named(reading.namespace as string, reading.key, reading.version);
      else {
        const own = before.filter(({ namespace }) => namespace === reading.namespace);
        const begin = own.findLastIndex(({ drop }) => drop) + 1;
        // A basis that was read before the namespace was dropped names the one before, if nothing was written since.
        for (const cause of own.slice(begin)) {
          const isIn = reading.from <= cause.version && cause.version <= reading.to;
          const prefix = reading.prefix ?? '';
          const names = cause.keys ?? (cause.key === null ? undefined : [cause.key]);
          if (isIn && (names === undefined || names.some((name) => name.startsWith(prefix)))) add(cause, effect, false);
        }
      }
    }
  }
  return [...links.values()];
}

/** Returns what is reached from a position over links. */
export function reached(
  links: readonly Link[],
  start: number,
  from: 'cause' | 'effect',
  to: 'cause' | 'effect',
): Set<number> {
  const found = new Set([start]);
  for (const position of found) for (const link of links) if (link[from] === position) found.add(link[to]);
  return found;
}

import fc from 'fast-check';
import type { MergeConflict } from '../../src/core/conflict.ts';
import type { AgentContextCache, JsonValue } from '../../src/index.ts';
import type { ManualClock } from './manual-clock.ts';

export const NAMES = ['default', 'a', 'b', '__proto__'];
export const KEYS = ['k0', 'k1', 'k2', '__proto__'];

interface Held {
  readonly value: JsonValue;
  readonly expiresAt: number | null;
  /** A value that no other write uses. */
  readonly stamp: string;
}

interface Step {
  readonly kind: string;
  readonly namespace: string;
  readonly key: string;
  readonly value: JsonValue;
  readonly ms: number;
}

/** A model of what a cache must hold, without code of the package. */
export class Model {
  #spaces: Map<string, Map<string, Held>>;

  constructor(spaces: Map<string, Map<string, Held>> = new Map()) {
    this.#spaces = spaces;
  }

  copy(): Model {
    return new Model(new Map(Array.from(this.#spaces, ([name, space]) => [name, new Map(space)])));
  }

  live(namespace: string, key: string, now: number): Held | undefined {
    const held = this.#spaces.get(namespace)?.get(key);
    return held !== undefined && held.expiresAt !== null && held.expiresAt <= now ? undefined : held;
  }

  run({ kind, namespace, key, value, ms }: Step, now: number, stamp: string): void {
    const space = this.#spaces.get(namespace) ?? new Map<string, Held>();
    if (kind === 'set') space.set(key, { value, expiresAt: null, stamp });
    if (kind === 'ttl') space.set(key, { value, expiresAt: now + ms + 1, stamp });
    if (kind === 'delete') space.delete(key);
    if (kind === 'clear' || kind === 'drop') space.clear();
    if (kind === 'clear k') for (const each of space.keys()) if (each.startsWith('k')) space.delete(each);
    const present = this.live(namespace, key, now);
    if (kind === 'touch' && present !== undefined) space.set(key, { ...present, expiresAt: now + ms + 100, stamp });
    if (kind === 'batch') for (const each of KEYS) space.set(each, { value, expiresAt: null, stamp });
    if (kind === 'batch') space.delete(key);
    this.#spaces.set(namespace, space);
  }

  put(namespace: string, key: string, held: Held | undefined): void {
    const space = this.#spaces.get(namespace) ?? new Map<string, Held>();
    if (held === undefined) space.delete(key);
    else space.set(key, held);
    this.#spaces.set(namespace, space);
  }

  values(now: number): Record<string, Record<string, unknown>> {
    const seen: Record<string, Record<string, unknown>> = {};
    for (const name of NAMES) {
      for (const key of KEYS) {
        const held = this.live(name, key, now);
        if (held === undefined) continue;
        seen[`ns ${name}`] ??= {};
        (seen[`ns ${name}`] as Record<string, unknown>)[`key ${key}`] = [held.value, held.expiresAt];
      }
    }
    return seen;
  }
}

/** Returns the values of a cache or a view in the form of {@link Model.values}. */
export function valuesOf(cache: Pick<AgentContextCache, 'entries' | 'get'>): Record<string, Record<string, unknown>> {
  const seen: Record<string, Record<string, unknown>> = {};
  for (const name of NAMES) {
    for (const entry of cache.entries(name)) {
      seen[`ns ${name}`] ??= {};
      (seen[`ns ${name}`] as Record<string, unknown>)[`key ${entry.key}`] = [entry.value, entry.expiresAt];
    }
  }
  return seen;
}

export type Policy = 'ours' | 'theirs' | 'value';
export const MERGED = 'made of both';

/** Computes the result of a merge, and the keys that both have changed. */
export function merged(base: Model, ours: Model, theirs: Model, now: number, policy: Policy) {
  const result = ours.copy();
  const conflicts: string[] = [];
  for (const name of NAMES) {
    for (const key of KEYS) {
      const [before, mine, other] = [base, ours, theirs].map((model) => model.live(name, key, now));
      const isChanged = before?.stamp !== other?.stamp;
      const isAlike =
        (mine === undefined) === (other === undefined) &&
        mine?.expiresAt === other?.expiresAt &&
        JSON.stringify(mine?.value) === JSON.stringify(other?.value);
      if (!isChanged || isAlike) continue;
      if (before?.stamp === mine?.stamp) {
        result.put(name, key, other);
        continue;
      }
      conflicts.push(`${name}|${key}`);
      if (policy === 'theirs') result.put(name, key, other);
      if (policy === 'value') result.put(name, key, { value: MERGED, expiresAt: null, stamp: 'merge' });
    }
  }
  return { result, conflicts: conflicts.sort() };
}

export const placesOf = (conflicts: readonly MergeConflict[]): string[] =>
  conflicts.map(({ namespace, key }) => `${namespace}|${key}`).sort();

let writes = 0;

/** Applies a command to a cache and to its model. */
export type Command = (cache: AgentContextCache, model: Model, clock: ManualClock) => void;

const kinds = ['set', 'set', 'set', 'set', 'ttl', 'delete', 'clear', 'drop', 'batch', 'touch', 'wait', 'passivate'];

export const anyCommand: fc.Arbitrary<Command> = fc
  .record({
    kind: fc.constantFrom(...kinds),
    namespace: fc.constantFrom(...NAMES),
    key: fc.constantFrom(...KEYS),
    value: fc.oneof(fc.nat(3), fc.constant(null), fc.constant({ a: [1, { b: 'c' }] })),
    ms: fc.integer({ min: 0, max: 400 }),
  })
  .map((step) => (cache, model, clock) => {
    const { kind, namespace, key, value, ms } = step;
    writes += 1;
    const agent = `write ${writes}`;
    model.run(step, clock.now(), agent);
    if (kind === 'set') void cache.set(key, value, namespace, { agent });
    if (kind === 'ttl') void cache.set(key, value, namespace, { agent, ttl: ms + 1 });
    if (kind === 'delete') void cache.delete(key, namespace, { agent });
    if (kind === 'clear') void cache.clearNamespace(namespace, { agent });
    if (kind === 'drop') void cache.dropNamespace(namespace, { agent });
    if (kind === 'touch') void cache.touch(key, namespace, { agent, ttl: ms + 100 });
    if (kind === 'wait') clock.advance(ms);
    if (kind === 'passivate') cache.supervisor.send({ type: 'namespace.passivate', namespace });
    if (kind !== 'batch') return;
    const steps = KEYS.map((each) => ({ operation: 'set' as const, key: each, value }));
    void cache.batch([...steps, { operation: 'delete', key }], namespace, { agent });
  });

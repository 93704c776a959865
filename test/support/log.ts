import fc from 'fast-check';
import { apply } from '../../src/core/apply.ts';
import { bytesOfKeys } from '../../src/core/cleared-keys.ts';
import { beginsWith, nextVersion } from '../../src/core/decide.ts';
import { type EntryRecord, NamespaceState } from '../../src/core/namespace-state.ts';
import { floorAfter } from '../../src/core/remembered.ts';
import { createUpdate, type Operation, type PendingUpdate, type Update } from '../../src/core/update.ts';
import type { JsonValue } from '../../src/core/value.ts';

/** One action of an agent. Whether it makes an update depends on the state. */
export interface Step {
  readonly kind: 'set' | 'remove' | 'touch' | 'clear' | 'clear some' | 'drop';
  readonly namespace: string;
  readonly key: string;
  readonly value: JsonValue;
  readonly expiresAt: number | null;
}

export const NAMESPACES = ['a', '__proto__', 'p/1:a/0\0é'];
const REMOVALS: readonly Operation[] = ['delete', 'expire', 'evict'];

/** A random step over few names, so that steps meet. */
export function aStep(keys: number): fc.Arbitrary<Step> {
  return fc.record({
    kind: fc.oneof(
      { weight: 8, arbitrary: fc.constant<Step['kind']>('set') },
      { weight: 5, arbitrary: fc.constant<Step['kind']>('remove') },
      { weight: 3, arbitrary: fc.constant<Step['kind']>('touch') },
      { weight: 2, arbitrary: fc.constantFrom<Step['kind']>('clear', 'clear some', 'drop', 'drop') },
    ),
    namespace: fc.constantFrom(...NAMESPACES),
    key: fc.nat(keys - 1).map((n) => `k${n}`),
    value: fc.oneof(fc.nat(99), fc.constantFrom<JsonValue>(null, '', 'text', [1, [null]], { a: { b: true } })),
    expiresAt: fc.option(fc.integer({ min: 1_000, max: 9_999 }), { nil: null }),
  });
}

/** Returns the updates that a cache would make of the steps, and the state that they lead to. */
export class Cache {
  readonly namespaces = new Map<string, NamespaceState>();
  readonly #growth: number;
  #position = 0;
  #floor = 0;

  /** `growth`: by how many bytes each value is larger than the one before. Default 997, so that pages fill up. */
  constructor(growth = 997) {
    this.#growth = growth;
  }

  /** Number of keys. */
  get size(): number {
    let size = 0;
    for (const { entries } of this.namespaces.values()) size += entries.size;
    return size;
  }

  /** Returns the updates of the step: one or none. Their positions are those of a log that starts at 1. */
  take(step: Step): PendingUpdate[] {
    const state = this.namespaces.get(step.namespace) ?? new NamespaceState(step.namespace);
    const made = this.#make(step, state, state.entries.get(step.key));
    if (made === undefined) return [];
    this.#position += 1;
    made.position = this.#position;
    apply(state, made);
    this.#floor = floorAfter(this.#floor, made);
    if (made.drop) this.namespaces.delete(step.namespace);
    else this.namespaces.set(step.namespace, state);
    return [made];
  }

  takeAll(all: readonly Step[]): PendingUpdate[] {
    return all.flatMap((step) => this.take(step));
  }

  #make(step: Step, state: NamespaceState, previous: EntryRecord | undefined): PendingUpdate | undefined {
    const { kind, namespace, key, value, expiresAt } = step;
    const at = 1000 + this.#position;
    const agent = this.#position % 3 === 0 ? null : `agent-${this.#position % 3}`;
    const make = (operation: Operation, of: string | null, content: JsonValue, until: number | null, drop: boolean) => {
      const replaced = of === null ? 0 : (previous?.version ?? 0);
      const bytes = operation === 'set' ? 1 + this.#position * this.#growth : 0;
      const version = nextVersion(state, this.#floor);
      return createUpdate({
        namespace,
        version,
        begins: beginsWith(state, version, this.#floor),
        operation,
        key: of,
        value: content,
        at,
        agent,
        expiresAt: until,
        replaced,
        drop,
        bytes,
      });
    };
    if (kind === 'set') return make('set', key, value, expiresAt, false);
    if (kind === 'clear') return state.entries.size > 0 ? make('clear_namespace', null, null, null, false) : undefined;
    if (kind === 'clear some') {
      const keys = [...state.entries.keys()].filter((each) => each.startsWith(key.slice(0, 2))).sort();
      const clear = make('clear', null, null, null, false);
      return keys.length === 0 ? undefined : { ...clear, keys, bytes: bytesOfKeys(keys) };
    }
    if (kind === 'drop') return state.version > 0 ? make('clear_namespace', null, null, null, true) : undefined;
    if (previous === undefined) return undefined;
    if (kind === 'touch') return make('touch', key, null, expiresAt, false);
    return make(REMOVALS[this.#position % 3] ?? 'delete', key, null, null, false);
  }
}

/** The content of a user's destination: namespaces, values and expiries, without versions. */
export class Destination {
  readonly namespaces = new Set<string>();
  readonly entries = new Map<string, { value: JsonValue; expiresAt: number | null }>();

  take(updates: readonly Update[]): void {
    for (const update of updates) this.#apply(update);
  }

  #apply({ operation, namespace, key, value, expiresAt, drop, keys = [] }: Update): void {
    if (drop) this.namespaces.delete(namespace);
    else this.namespaces.add(namespace);
    const prefix = `${namespace.length}:${namespace}`;
    const name = `${prefix}${key}`;
    const known = this.entries.get(name);
    if (operation === 'clear') for (const each of keys) this.entries.delete(`${prefix}${each}`);
    else if (operation === 'set') this.entries.set(name, { value, expiresAt });
    // A repeated touch may find the key removed by a later update, which is repeated too.
    else if (operation === 'touch') known && this.entries.set(name, { ...known, expiresAt });
    else if (operation !== 'clear_namespace') this.entries.delete(name);
    else for (const each of this.entries.keys()) if (each.startsWith(prefix)) this.entries.delete(each);
  }
}

/** A set of a small value. */
export function aSet(namespace: string, version: number, key = `k${version}`): PendingUpdate {
  return createUpdate({
    namespace,
    version,
    operation: 'set',
    key,
    value: { version },
    at: 1000 + version,
    agent: 'agent',
    bytes: 16,
  });
}

/** Returns `count` sets of one namespace. */
export function someSets(count: number, first = 1): PendingUpdate[] {
  return Array.from({ length: count }, (_, index) => aSet('n', first + index));
}

export async function all(groups: AsyncIterable<readonly Update[]>): Promise<Update[]> {
  const updates: Update[] = [];
  for await (const group of groups) updates.push(...group);
  return updates;
}

export function positions(updates: readonly Update[]): number[] {
  return updates.map(({ position }) => position);
}

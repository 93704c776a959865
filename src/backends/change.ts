import type { Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';

/** What a backend is to do: an update reduced to what concerns it. */
export interface Change {
  readonly kind: 'set' | 'delete' | 'touch' | 'clear' | 'drop';
  readonly namespace: string;
  /** Empty for `clear` and `drop`. */
  readonly key: string;
  /** Of a `set`. */
  readonly value: JsonValue;
  /** Of `set` and `touch`; epoch milliseconds. */
  readonly expiresAt: number | null;
  /** Its place: ascending. A change that stands for several has that of the first. */
  readonly place: number;
}

/** An update as a change; its place is the position. */
export function changeOf(update: Update): Change {
  const { namespace, value, expiresAt, position: place } = update;
  return { kind: kindOf(update), namespace, key: update.key ?? '', value, expiresAt, place };
}

function kindOf(update: Update): Change['kind'] {
  switch (update.operation) {
    case 'set':
    case 'touch':
      return update.operation;
    case 'clear_namespace':
      return update.drop ? 'drop' : 'clear';
    default:
      return 'delete';
  }
}

/** What is left to do in one namespace. */
interface Rest {
  wiped: Change | undefined;
  keys: Map<string, Change>;
}

/**
 * Fewer changes with the same end: the last of every key, and of every namespace the last clear or drop with what
 * came after it. Ordered by the first change that each stands for.
 */
export function coalesce(changes: readonly Change[]): Change[] {
  const spaces = new Map<string, Rest>();
  for (const change of changes) {
    const rest = spaces.get(change.namespace);
    if (rest === undefined) spaces.set(change.namespace, startOf(change));
    else if (change.key === '') wipe(rest, change);
    else rest.keys.set(change.key, merge(rest.keys.get(change.key), change));
  }
  const left = [...spaces.values()].flatMap(({ wiped, keys }) => [...(wiped ? [wiped] : []), ...keys.values()]);
  return left.sort((a, b) => a.place - b.place);
}

function startOf(change: Change): Rest {
  return change.key === ''
    ? { wiped: change, keys: new Map() }
    : { wiped: undefined, keys: new Map([[change.key, change]]) };
}

function wipe(rest: Rest, change: Change): void {
  const first = rest.wiped ?? rest.keys.values().next().value ?? change;
  rest.wiped = { ...change, place: Math.min(first.place, change.place) };
  rest.keys = new Map();
}

function merge(earlier: Change | undefined, later: Change): Change {
  if (earlier === undefined) return later;
  const { place } = earlier;
  if (later.kind !== 'touch') return { ...later, place };
  return earlier.kind === 'delete' ? earlier : { ...earlier, expiresAt: later.expiresAt };
}

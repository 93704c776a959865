import type { Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';

/** A change of a backend: an update, reduced to the fields that a backend uses. */
export interface Change {
  readonly kind: 'set' | 'delete' | 'touch' | 'clear' | 'drop';
  readonly namespace: string;
  /** The empty text for `clear` and `drop`, which have no key. */
  readonly key: string;
  /** The value of a `set`; `null` for other kinds. */
  readonly value: JsonValue;
  /** Expiry of a `set` or a `touch`, epoch milliseconds; `null`: never. */
  readonly expiresAt: number | null;
  /** Its rank, ascending. A change that stands for several has the rank of the first. */
  readonly rank: number;
}

/** Returns an update as a change; its rank is the position. */
export function changeOf(update: Update): Change {
  const { namespace, value, expiresAt, position: rank } = update;
  return { kind: kindOf(update), namespace, key: update.key ?? '', value, expiresAt, rank };
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

/** Returns whether a change is about all keys of its namespace. */
function isWhole({ kind }: Change): boolean {
  return kind === 'clear' || kind === 'drop';
}

/** The changes that remain in one namespace. */
interface Rest {
  wiped: Change | undefined;
  keys: Map<string, Change>;
}

/**
 * Returns fewer changes with the same result: the last change of each key, and the last clear or drop of each namespace
 * with the changes after it. They are ordered by the first change that each stands for.
 */
export function coalesce(changes: readonly Change[]): Change[] {
  const spaces = new Map<string, Rest>();
  for (const change of changes) {
    const rest = spaces.get(change.namespace);
    if (rest === undefined) spaces.set(change.namespace, startOf(change));
    else if (isWhole(change)) wipe(rest, change);
    else rest.keys.set(change.key, merge(rest.keys.get(change.key), change));
  }
  const left = [...spaces.values()].flatMap(({ wiped, keys }) => [...(wiped ? [wiped] : []), ...keys.values()]);
  return left.sort((a, b) => a.rank - b.rank);
}

function startOf(change: Change): Rest {
  return isWhole(change)
    ? { wiped: change, keys: new Map() }
    : { wiped: undefined, keys: new Map([[change.key, change]]) };
}

function wipe(rest: Rest, change: Change): void {
  const first = rest.wiped ?? rest.keys.values().next().value ?? change;
  rest.wiped = { ...change, rank: Math.min(first.rank, change.rank) };
  rest.keys = new Map();
}

function merge(earlier: Change | undefined, later: Change): Change {
  if (earlier === undefined) return later;
  const { rank } = earlier;
  if (later.kind !== 'touch') return { ...later, rank };
  return earlier.kind === 'delete' ? earlier : { ...earlier, expiresAt: later.expiresAt };
}

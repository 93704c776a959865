import type { JsonValue } from './value.ts';

/** What can happen to a namespace. The first three are the names of the public message. */
export type Operation = 'set' | 'delete' | 'clear_namespace' | 'expire' | 'evict' | 'touch';

/**
 * What happened: one change of one namespace, in its one place in the log.
 *
 * Everything that shows, keeps or follows the cache is made of these; folding them with `apply` gives the state.
 */
export interface Update {
  /** Place in the whole log: 1, 2, 3, … without a gap. */
  readonly position: number;
  readonly namespace: string;
  /** Version of the namespace after this update: 1, 2, 3, … without a gap. */
  readonly version: number;
  readonly operation: Operation;
  /** `null` for `clear_namespace`. */
  readonly key: string | null;
  /** The new value of a `set`; `null` for every other operation. */
  readonly value: JsonValue;
  /** When it was asked for, epoch milliseconds. */
  readonly at: number;
  /** Who asked. */
  readonly agent: string | null;
  /** When the entry expires, epoch milliseconds; for `set` and `touch`. */
  readonly expiresAt: number | null;
  /** Version of the entry that this update replaced; 0 where the key was absent. 0 for `clear_namespace`. */
  readonly replaced: number;
  /** A `clear_namespace` that also takes the namespace off the list. The next update of that name has version 1. */
  readonly drop: boolean;
  /** Estimated bytes of `value`. */
  readonly bytes: number;
}

/** An update on its way into the log, which gives it its position. */
export type PendingUpdate = { -readonly [Field in keyof Update]: Update[Field] };

/**
 * Makes an update that has no position yet. One place makes them all, so that all have the same hidden class.
 */
export function createUpdate(
  namespace: string,
  version: number,
  operation: Operation,
  key: string | null,
  value: JsonValue,
  at: number,
  agent: string | null,
  expiresAt: number | null,
  replaced: number,
  drop: boolean,
  bytes: number,
): PendingUpdate {
  return { position: 0, namespace, version, operation, key, value, at, agent, expiresAt, replaced, drop, bytes };
}

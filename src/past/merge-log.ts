import type { TimeSlice } from '../core/time-slice.ts';
import type { Update } from '../core/update.ts';
import type { PastSource } from '../storage/past-source.ts';

/**
 * Calls back with the updates between two positions until one call returns `true`, and with `undefined` in place of those that the log
 * lacks. Resolves with whether one call did.
 */
export async function forEach(
  past: PastSource,
  after: number,
  through: number,
  slice: TimeSlice,
  each: (update: Update | undefined) => boolean,
): Promise<boolean> {
  let last = after;
  if (last >= through) return false;
  for await (const updates of past.updates(through, after)) {
    for (const update of updates) {
      if (update.position > last + 1 && each(undefined)) return true;
      last = update.position;
      if (each(update)) return true;
    }
    if (slice.over) await slice.pause();
  }
  return last < through && each(undefined);
}

/** Returns the list of a name, which the first call creates. */
export function pendingOf<Key, Item>(pending: Map<Key, Item[]>, name: Key): Item[] {
  let own = pending.get(name);
  if (own === undefined) {
    own = [];
    pending.set(name, own);
  }
  return own;
}

/** Returns the map of a name, which the first call creates. */
export function mapIn<Name, Key, Value>(maps: Map<Name, Map<Key, Value>>, name: Name): Map<Key, Value> {
  let own = maps.get(name);
  if (own === undefined) {
    own = new Map();
    maps.set(name, own);
  }
  return own;
}

import { ContextCacheError } from './errors.ts';
import type { NamespaceState } from './namespace-state.ts';
import type { Update } from './update.ts';

/**
 * Changes the state of a namespace by one update. The only fold: live writes, replay, restore and hydration use it, so
 * all of them arrive at the same state.
 *
 * @throws {ContextCacheError} `INVARIANT` if the update is not the next of the namespace. Nothing has changed then.
 */
export function apply(state: NamespaceState, update: Update): void {
  if (!follows(state.version, update)) {
    throw new ContextCacheError(
      'INVARIANT',
      `Update ${update.position} has version ${update.version} of its namespace, which is at version ${state.version}. ` +
        'The log and the state do not belong together.',
    );
  }
  if (update.operation === 'clear_namespace') state.clear();
  else if (update.operation === 'clear') for (const key of update.keys ?? []) state.remove(key);
  else applyToKey(state, update, update.key as string);
  // A dropped namespace counts as one that never existed.
  state.version = update.drop ? 0 : update.version;
  state.position = update.position;
}

/** Returns whether an update is the next of a namespace at a version; 0: the namespace does not exist. */
export function follows(version: number, update: Pick<Update, 'version' | 'begins'>): boolean {
  if (update.begins === true) return version === 0;
  return update.version === version + 1;
}

function applyToKey(state: NamespaceState, update: Update, key: string): void {
  switch (update.operation) {
    case 'set':
      state.set(key, update);
      return;
    case 'touch':
      state.touch(key, update);
      return;
    default:
      state.remove(key);
  }
}

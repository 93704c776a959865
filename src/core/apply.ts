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
  if (update.version !== state.version + 1) {
    throw new ContextCacheError(
      'INVARIANT',
      `Update ${update.position} has version ${update.version} of its namespace, which is at version ${state.version}. ` +
        'The log and the state do not belong together.',
    );
  }
  if (update.operation === 'clear_namespace') state.clear();
  else if (update.operation === 'clear') for (const key of update.keys ?? []) state.remove(key);
  else applyToKey(state, update, update.key as string);
  // A dropped namespace counts as one that never existed: its next update has version 1.
  state.version = update.drop ? 0 : update.version;
  state.position = update.position;
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

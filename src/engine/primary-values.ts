import type { BaseContextCache } from '../backends/base-context-cache.ts';
import type { NamespaceState } from '../core/namespace-state.ts';

/** Returns a function that fills in the values of a namespace which the primary keeps. */
export function valuesOf(primary: BaseContextCache): (state: NamespaceState) => Promise<NamespaceState> {
  return async (state) => {
    const keys = [...state.entries.keys()];
    const values = await primary.getMany(keys, state.name);
    for (const [index, key] of keys.entries()) {
      const entry = state.entries.get(key);
      const value = values[index];
      if (entry === undefined) continue;
      if (value === undefined) state.remove(key);
      else state.put(key, { ...entry, value });
    }
    return state;
  };
}

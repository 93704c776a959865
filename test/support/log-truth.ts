import { apply } from '../../src/core/apply.ts';
import { filled, NamespaceState } from '../../src/core/namespace-state.ts';
import type { Update } from '../../src/core/update.ts';
import { readBaseSync, writeBase } from '../../src/storage/disk/base/base-file.ts';
import type { Files } from '../../src/storage/disk/files.ts';
import type { DiskLog } from '../../src/storage/disk/log/disk-log.ts';
import { Segments } from '../../src/storage/disk/log/segments.ts';

/** The state of all namespaces. */
export type States = Map<string, NamespaceState>;

/** Folds updates into a state. */
export function fold(updates: Iterable<Update>, states: States = new Map()): States {
  for (const update of updates) {
    const state = states.get(update.namespace) ?? new NamespaceState(update.namespace);
    apply(state, update);
    if (update.drop) states.delete(update.namespace);
    else states.set(update.namespace, state);
  }
  return states;
}

/** Returns a state in a form that can be compared. */
export function contentOf(states: States): unknown {
  return [...states.values()]
    .map(({ name, version, position, entries }) => ({ name, version, position, entries: new Map(entries) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Writes the base file of a log at a position, and discards what it replaces: the steps of retention. */
export async function retain(
  files: Files,
  log: DiskLog,
  updates: readonly Update[],
  position: number,
  wholly: boolean,
): Promise<void> {
  await log.trim(position);
  const at = { log: log.id, position };
  await writeBase(files, `${log.path}/base`, at, fold(updates.slice(0, position)).values());
  await log.release(position, wholly);
}

/** Recomputes the state from the base file and the log, as an index that is rebuilt does. */
export async function recompute(files: Files, log: DiskLog): Promise<States> {
  const names = log.names();
  const states: States = new Map();
  const at = { log: log.id, position: names.base };
  for (const namespace of names.base === 0 ? [] : readBaseSync(files, `${log.path}/base`, at)) {
    states.set(namespace.name, filled(namespace));
  }
  const segments = new Segments(files, `${log.path}/log`, names.firsts);
  fold(segments.readAll(names.base + 1, log.committed), states);
  segments.close();
  return states;
}

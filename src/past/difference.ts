import { type Clock, systemClock } from '../core/clock.ts';
import { publicEntry } from '../core/decide.ts';
import { isEqual } from '../core/equal.ts';
import { ContextCacheError } from '../core/errors.ts';
import { checkName } from '../core/names.ts';
import type { Entry, NamespaceState } from '../core/namespace-state.ts';
import { openedEntry } from '../core/opened.ts';
import type { SubjectDoor } from '../core/sealed.ts';
import { TimeSlice } from '../core/time-slice.ts';
import { internalsOf } from '../engine/internals.ts';
import { sharedPosition } from '../storage/lineage.ts';
import type { StateView } from '../storage/past-source.ts';
import { DIFF_OPTIONS, type DifferenceOptions } from './difference-options.ts';
import { CacheView, stateViewOf, subjectsOfView } from './view.ts';

/** The differences between two states. Namespaces come in the order of their names, entries of one in no order. */
export interface Difference {
  readonly added: readonly Entry[];
  /** Entries that exist in both and differ in value, version, instants or agent. */
  readonly changed: readonly { readonly before: Entry; readonly after: Entry }[];
  readonly removed: readonly Entry[];
}

/**
 * Compares two states and resolves with what was added, changed and removed from `a` to `b`. Each is a cache (its
 * present) or a view; they may belong to one log, to branches and their parents, or to unrelated logs.
 *
 * @throws {ContextCacheError} (as a rejection) `INVALID_OPTION`, `CLOSED`.
 *
 * @example
 * ```ts
 * const { added, changed, removed } = await diff(cache, branch, { namespace: 'trip' });
 * ```
 */
export async function diff(
  a: Disposable | AsyncDisposable,
  b: Disposable | AsyncDisposable,
  options: DifferenceOptions = {},
): Promise<Difference> {
  const { namespace } = DIFF_OPTIONS.checked(options);
  const [before, after] = [shownBy(a), shownBy(b)];
  if (before === undefined || after === undefined) {
    const message = 'diff compares caches and views. To compare positions, call cache.diff(a, b).';
    throw new ContextCacheError('INVALID_OPTION', message);
  }
  try {
    return openedDifference(subjectsOf(b) ?? subjectsOf(a), await differences(before, after, namespace, systemClock));
  } finally {
    release(a, before);
    release(b, after);
  }
}

/** Releases a view, unless it belongs to a `CacheView` of the caller. */
export function release(shown: unknown, view: StateView): void {
  if (!(shown instanceof CacheView)) view.release?.();
}

function subjectsOf(shown: unknown): SubjectDoor | undefined {
  return shown instanceof CacheView ? subjectsOfView(shown) : internalsOf(shown)?.parts.subjects;
}

/** Returns a difference as readers see it. */
export function openedDifference(door: SubjectDoor | undefined, { added, changed, removed }: Difference): Difference {
  if (door === undefined) return { added, changed, removed };
  const opened = (entry: Entry) => openedEntry(door, entry);
  return {
    added: added.map(opened),
    changed: changed.map(({ before, after }) => ({ before: opened(before), after: opened(after) })),
    removed: removed.map(opened),
  };
}

/** Returns the view of a `CacheView` or of the present of a cache; `undefined` for any other value. */
export function shownBy(candidate: unknown): StateView | undefined {
  if (candidate instanceof CacheView) return stateViewOf(candidate);
  const inside = internalsOf(candidate);
  if (inside === undefined) return undefined;
  if (inside.parts.log.status === 'closed') throw new ContextCacheError('CLOSED', 'The cache is shut down.');
  return inside.past.present();
}

/** Yields the namespaces that may differ. */
export function* changedNamespaces(before: StateView, after: StateView, names: Iterable<string>): Generator<string> {
  // After the last shared position, the same number means different updates in the two logs.
  const shared = sharedPosition(before.lineage, after.lineage) ?? 0;
  for (const name of names) {
    const last = before.lastChange(name);
    if (last === 0 || last > shared || last !== after.lastChange(name)) yield name;
  }
}

/** Compares two views namespace by namespace, in time slices. */
export async function differences(
  before: StateView,
  after: StateView,
  only: string | undefined,
  clock: Clock,
): Promise<Difference> {
  if (only !== undefined) checkName('namespace', only);
  const names = only === undefined ? [...new Set([...before.names(), ...after.names()])].sort() : [only];
  const difference = { added: [], changed: [], removed: [] } satisfies Difference;
  const slice = new TimeSlice(clock);
  for (const name of changedNamespaces(before, after, names)) {
    if (slice.over) await slice.pause();
    compare(name, before.state(name), after.state(name), difference);
  }
  return difference;
}

interface Found {
  readonly added: Entry[];
  readonly changed: { readonly before: Entry; readonly after: Entry }[];
  readonly removed: Entry[];
}

function compare(
  name: string,
  before: NamespaceState | undefined,
  after: NamespaceState | undefined,
  { added, changed, removed }: Found,
): void {
  for (const [key, entry] of after?.entries ?? []) {
    const earlier = before?.entries.get(key);
    if (earlier === undefined) added.push(publicEntry(name, key, entry));
    else if (!isEqual(earlier, entry)) {
      changed.push({ before: publicEntry(name, key, earlier), after: publicEntry(name, key, entry) });
    }
  }
  for (const [key, entry] of before?.entries ?? []) {
    if (!after?.entries.has(key)) removed.push(publicEntry(name, key, entry));
  }
}

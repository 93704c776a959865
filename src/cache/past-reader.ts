import type { MaybePromise } from '../backends/base-context-cache.ts';
import { DEFAULT_NAMESPACE } from '../core/names.ts';
import { innardsOf } from '../engine/internals.ts';
import type { Difference, DifferenceOptions } from '../past/difference.ts';
import type { BisectOptions, Culprit, EntryVersion, History, PositionOrDate } from '../past/history.ts';
import { type MergeOptions, type MergeReport, merge } from '../past/merge.ts';
import type { CacheView } from '../past/view.ts';
import type { KeyOf, NamespaceOf, NamespaceTypes, ValueOf } from './types.ts';

/** What a cache tells of its past. */
export abstract class PastReader<S extends NamespaceTypes> {
  readonly #history: History;

  /** @internal */
  constructor(history: History) {
    this.#history = history;
  }

  /**
   * All namespaces as they were at a position, or at an instant: after the last update before the first one that was
   * asked for later. Costs nothing until it is read. 0 is the empty cache.
   *
   * @throws {ContextCacheError} `POSITION_UNAVAILABLE` for what is not kept any more (in memory: once the log has let go
   *   of its beginning) or has not been written yet; `INVALID_OPTION`, `CLOSED`.
   */
  at(moment: number | Date): CacheView<S> {
    return this.#history.at(moment) as unknown as CacheView<S>;
  }

  /** What became of an entry, newest first, as far back as the past is kept: each `set`, `touch`, and what ended it. */
  history<N extends NamespaceOf<S> = DefaultNamespace, K extends KeyOf<S, N> = KeyOf<S, N>>(
    key: K,
    namespace: N = DEFAULT_NAMESPACE as N,
  ): AsyncGenerator<EntryVersion<ValueOf<S, N, K>>, void, undefined> {
    return this.#history.versions(key, namespace) as AsyncGenerator<EntryVersion<ValueOf<S, N, K>>, void, undefined>;
  }

  /**
   * What was added, changed and removed from moment `a` to moment `b`, of which each may be a cache as it is now:
   * `parent.diff(parent, branch)`. Throws (as a rejection) as {@link at}.
   */
  diff(a: PositionOrDate, b: PositionOrDate, options: DifferenceOptions<NamespaceOf<S>> = {}): Promise<Difference> {
    return this.#history.diff(a, b, options.namespace);
  }

  /**
   * Brings what a branch has changed back here, as ordinary updates: what is different in it from what it began with, or
   * from when it was merged last, where it is not the same here already. A key that has been changed here as well is a
   * conflict. All of it is applied in one turn, so that no other writer of this process comes in between.
   *
   * The other cache may be any that has a past in common with this one: a branch, a branch of a branch, one of the same
   * parent, the parent.
   *
   * @throws {MergeConflictError} (as a rejection) with all `conflicts`, where these are to fail; nothing has changed then.
   * @throws {ContextCacheError} (as a rejection) `INVALID_OPTION` for a cache with no past in common; `CLOSED`;
   *   `POSITION_UNAVAILABLE` where neither can tell any more what they had in common; `NAMESPACE_UNAVAILABLE`,
   *   `LOG_UNAVAILABLE`, and the signal's reason, before anything has changed; as a write `INVALID_VALUE`,
   *   `SCHEMA_MISMATCH`, `OUTCOME_UNKNOWN`; `OVERLOADED` where the log cannot take all of it: merge again for the rest.
   */
  async merge(branch: PastReader<S>, options: MergeOptions = {}): Promise<MergeReport> {
    return merge(innardsOf(this), innardsOf(branch), options);
  }

  /**
   * The first position at which `holds` is false, and the update that made it so: it is true at the position before.
   * Looks at the log₂ of the number of positions, by halving; so where it is false and true by turns this is one of the
   * places where it becomes false. `undefined` where it is true at `to`; `from` itself, without an update, where it is
   * false there already. Throws (as a rejection) as {@link at}, and what `holds` throws.
   */
  bisect(
    holds: (view: CacheView<S>) => MaybePromise<boolean>,
    options: BisectOptions = {},
  ): Promise<Culprit | undefined> {
    return this.#history.bisect((view) => holds(view as unknown as CacheView<S>), options);
  }
}

type DefaultNamespace = typeof DEFAULT_NAMESPACE;

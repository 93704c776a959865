import type { Briefing, BriefingOptions } from '../core/briefing.ts';
import type { Contradictions, ContradictionsOptions } from '../core/contradiction.ts';
import type { DefaultNamespace, KeyArgument, NamespaceArgument, NamespaceTypes } from '../core/namespace-types.ts';
import type { RetractOptions, RetractReport } from '../core/retract-options.ts';
import type { Impact, ImpactOptions, OpenReading, Provenance, ProvenanceOptions, WriteTarget } from '../core/trace.ts';

/** The methods of a cache, its clients and its handles that answer what its writes have known and touched. */
export interface GovernanceMethods<S extends NamespaceTypes<S>> {
  /**
   * Resolves with the writes behind an entry: its last write, those that this one was based on, and so on, with their agents,
   * instants and `meta`, as a graph. `undefined` if the key is missing, or if the log no longer has the write. The basis of a write
   * is what its writer had read; see `as`. Each {@link OpenReading} says where the graph ends although there may be more.
   *
   * The first call of this or of `impact` reads the log once and creates an index in memory, which commits keep up to date. Once retention
   * has discarded half of the updates in it, the next call rebuilds it.
   *
   * @throws {ContextCacheError} (as a rejection) `INVALID_OPTION`, `INVALID_NAME`, `POSITION_UNAVAILABLE`.
   *
   * @example
   * ```ts
   * const provenance = await cache.provenance('hotel', 'trip');
   * for (const { position, key, agent } of provenance?.writes ?? []) console.log(position, key, agent);
   * ```
   */
  provenance<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
    options?: ProvenanceOptions,
  ): Promise<Provenance | undefined>;

  /**
   * Resolves with what a write has touched: every later write whose basis reaches it, directly or through others, and their
   * agents. The write is given by the position of its update, or as the last one of an entry. Costs what `provenance` costs.
   *
   * @throws {ContextCacheError} (as a rejection) `INVALID_OPTION`, `INVALID_NAME`; `NOT_FOUND` if the key is missing;
   *   `POSITION_UNAVAILABLE` if the log does not have the position.
   *
   * @example `const { writes, agents } = await cache.impact({ key: 'budget', namespace: 'trip' });`
   */
  impact(target: WriteTarget, options?: ImpactOptions): Promise<Impact>;

  /**
   * Takes a write back, given by the position of its update: its entry becomes what it was before, or is removed if the key was
   * missing. Value, `meta` and expiry come back with a new version; what has expired meanwhile does not. The `cascade` says what happens
   * to later writes that are based on the write. All is written in one transaction, and each update has `retraction` with position and
   * reason. Retracting the report's `position` takes the whole retraction back.
   *
   * Entries that other writes have changed since are left as they are and reported as `conflicts`. A `touch` and an expiry since then
   * count as parts of the write. Of a transaction only the update at this position is taken back.
   *
   * @throws {ContextCacheError} (as a rejection) `POSITION_UNAVAILABLE` if the log does not have the position, or no earlier state;
   *   `INVALID_COMMAND`, also for the position of an expiry, and if more than 10,000 writes are based on the write, or it
   *   cleared more than 10,000 keys; `INVALID_OPTION`,
   *   also with a primary of your own; `FORBIDDEN` for the record of a forgotten subject; `ACCESS_DENIED` unless the agent may write every entry
   *   that the retraction is about; the errors of a transaction, on a cluster also `INVALID_VALUE` if the retraction, which is one message, is
   *   larger than the servers' `max_payload`. Nothing has changed then.
   *
   * @example
   * ```ts
   * const { update } = (await cache.bisect((view) => view.get('gate', 'trip') !== 'closed')) ?? {};
   * if (update) await cache.retract(update.position, { reason: 'misread sign', agent: 'operator', cascade: 'restore' });
   * ```
   */
  retract(position: number, options?: RetractOptions): Promise<RetractReport>;

  /**
   * Resolves with pairs of writes that contradict each other: a key that an agent has written from a basis that did not know of the
   * write before it, which is another agent's and says something else. Both have a basis. What a basis only may
   * know (a range, a position) is not reported. Costs what `provenance` costs.
   *
   * @throws {ContextCacheError} (as a rejection) `INVALID_OPTION`, `INVALID_NAME`.
   *
   * @example
   * ```ts
   * const { contradictions } = await cache.contradictions({ namespace: 'trip' });
   * for (const { key, earlier, later } of contradictions) console.log(key, earlier.agent, later.agent);
   * ```
   */
  contradictions(options?: ContradictionsOptions): Promise<Contradictions>;

  /**
   * Resolves with what other agents have changed since this agent's last briefing, folded to the last change of each key, as data and
   * as text of at most `maxTokens`: the most important namespaces and the newest changes first. The end of the briefing is kept in the
   * namespace `briefing/cursors`, so that the next one, also of another process or session, starts there. An agent for which nothing
   * has changed writes nothing.
   *
   * The first briefing of an agent lists the present state. If the log no longer has the changes since the last one, so does this, with
   * `isComplete: false`.
   *
   * @throws {ContextCacheError} (as a rejection) `INVALID_OPTION`, the errors of `changes` and `update`.
   *
   * @example
   * ```ts
   * const { text } = await cache.as({ agent: 'planner' }).briefing({ namespaces: ['trip', 'flight/*'], maxTokens: 500 });
   * messages.push({ role: 'user', content: text });
   * ```
   */
  briefing(options?: BriefingOptions): Promise<Briefing>;
}

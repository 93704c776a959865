import type { Clock } from '../core/clock.ts';
import { type MergeConflict, MergeConflictError } from '../core/conflict.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { NamespaceState } from '../core/namespace-state.ts';
import { inheritedSubjects, openedEntry } from '../core/opened.ts';
import { optionNames } from '../core/options.ts';
import { type Origin, originOf } from '../core/origin.ts';
import { Request } from '../core/request.ts';
import { notedUntil } from '../core/retraction.ts';
import { isSealed } from '../core/sealed.ts';
import { TimeSlice } from '../core/time-slice.ts';
import type { JsonValue } from '../core/value.ts';
import type { Access } from '../engine/access.ts';
import { type Internals, type MergeMark, release } from '../engine/internals.ts';
import { sharedPosition } from '../storage/lineage.ts';
import type { PastSource, StateView } from '../storage/past-source.ts';
import { changedNamespaces } from './difference.ts';
import { MergeBases, partsInTurn } from './merge-bases.ts';
import {
  type NamespacePlan,
  type Policy,
  planNamespace,
  type Resolution,
  type ResolvedConflict,
  resolutionOf,
} from './merge-plan.ts';

/** Options of `merge`. */
export interface MergeOptions {
  /**
   * Decides a key that both sides changed since the fork, to different values. `fail` merges nothing; `ours` and
   * `theirs` take one side; a function decides each conflict, `{ value }` being a new value. The function must have no
   * effects: it is called again if a writer changes the key meanwhile. Default `fail`.
   */
  readonly onConflict?: 'fail' | 'ours' | 'theirs' | ((conflict: MergeConflict) => Resolution) | undefined;
  /**
   * Agent that merges, and of the updates for which the branch names none. With grants, it needs the right to write whatever the
   * merge changes, or the merge is refused with `ACCESS_DENIED`. Default: the owner of the cache merges, who may do everything.
   */
  readonly agent?: string | undefined;
  /** Aborts the merge before anything is applied. */
  readonly signal?: AbortSignal | undefined;
}

const MERGE_OPTIONS = optionNames<MergeOptions>('merge', { onConflict: true, agent: true, signal: true });

/** Result of a merge. */
export interface MergeReport {
  /** Number of updates; 0: nothing was missing. */
  readonly updates: number;
  /** Namespaces that were changed, sorted. */
  readonly namespaces: readonly string[];
  /** Position of the target cache after the merge. */
  readonly position: number;
  /** Keys that both sides changed, with their resolutions. */
  readonly conflicts: readonly ResolvedConflict[];
}

/** Plans made in time slices, before one is made in a single turn because writers keep overtaking them. */
const PATIENT_TRIES = 3;
const MAX_TRIES = 100;

/** Merges into one cache run one after another. */
const underWay = new WeakMap<Internals, Promise<unknown>>();

/** Applies to `into` what has changed in `from`. */
export function merge(
  into: Internals | undefined,
  from: Internals | undefined,
  options: MergeOptions,
): Promise<MergeReport> {
  MERGE_OPTIONS.check(options);
  const to = mergeable(into, from);
  const run = () => mergeNow(to.into, to.from, options);
  const merged = (underWay.get(to.into) ?? Promise.resolve()).then(run, run);
  underWay.set(to.into, merged);
  merged.catch(() => undefined);
  return merged;
}

async function mergeNow(into: Internals, from: Internals, options: MergeOptions): Promise<MergeReport> {
  const { signal, agent } = options;
  signal?.throwIfAborted();
  assertOpen(into, from);
  const { clock } = into.parts;
  // Refuses an invalid agent.
  const by = originOf({ agent });
  const policy = policyOf(into, from, options);
  const { before, forkedAt, isFirst } = commonViews(into, from);
  const fork = new ForkView(into, from, forkedAt);
  const theirs = from.past.present();
  const plans = new Plans({ into, before, theirs, policy, clock, signal });
  const sides = { into, from, before, theirs, forkedAt, fork: () => fork.view };
  let mark: MergeMark | undefined;
  try {
    const bases = await MergeBases.read(sides, new TimeSlice(clock, signal));
    const { acknowledged, report } = await plans.whenCurrent((current) => {
      const applied = applyAll(into, current, by, bases);
      const met = bases === undefined ? before.met : bases.met();
      mark = { into: into.past.present(), from: theirs, met };
      return applied;
    });
    await Promise.all(acknowledged);
    remember(from, into.parts.log.id, mark);
    return report;
  } catch (error) {
    mark?.into.release?.();
    theirs.release?.();
    throw error;
  } finally {
    fork.release();
    if (isFirst) release(before);
  }
}

function mergeable(into: Internals | undefined, from: Internals | undefined): { into: Internals; from: Internals } {
  if (into === undefined || from === undefined || from === into) {
    throw new ContextCacheError('INVALID_OPTION', 'merge takes another cache: a branch made by fork.');
  }
  if (into.parts.sequencer !== undefined) {
    const message = 'merge cannot write to a cluster, where others write between its plan and its end.';
    throw new ContextCacheError('INVALID_OPTION', `${message} Write the result of cache.diff in a transaction.`);
  }
  if (into.parts.primary === undefined) return { into, from };
  throw new ContextCacheError(
    'INVALID_OPTION',
    'merge does not support a primary of your own, which could refuse half of it. Write the result of cache.diff key by key.',
  );
}

function assertOpen(...caches: readonly Internals[]): void {
  if (caches.every(({ parts }) => parts.log.status !== 'closed')) return;
  throw new ContextCacheError('CLOSED', 'One of the two caches is shut down. Merge while both are open.');
}

/** Returns the last state that the two had in common, at the fork or at the last merge, and the position of the fork. */
function commonViews(
  into: Internals,
  from: Internals,
): { readonly before: MergeMark; readonly forkedAt: number; readonly isFirst: boolean } {
  const mark = from.merged.get(into.parts.log.id);
  const forkedAt = sharedPosition(into.past.lineage, from.past.lineage);
  if (forkedAt === undefined) {
    throw new ContextCacheError(
      'INVALID_OPTION',
      'The two caches have no past in common. Merge a branch into the cache it was forked from, or into another branch ' +
        'of that; of any other cache write what diff tells you.',
    );
  }
  if (mark !== undefined) return { before: mark, forkedAt, isFirst: false };
  const common = viewAt(from.past, into.past, forkedAt);
  return { before: { into: common, from: common, met: new Map() }, forkedAt, isFirst: true };
}

/** The state at the fork. */
class ForkView {
  readonly #make: () => StateView;
  #made: { readonly view: StateView | undefined } | undefined;

  constructor(into: Internals, from: Internals, position: number) {
    this.#make = () => viewAt(from.past, into.past, position);
  }

  /** Created by the first read; `undefined` if neither cache has it any more. */
  get view(): StateView | undefined {
    this.#made ??= { view: ifKept(this.#make) };
    return this.#made.view;
  }

  release(): void {
    this.#made?.view?.release?.();
  }
}

function ifKept(make: () => StateView): StateView | undefined {
  try {
    return make();
  } catch (error) {
    if (isUnavailable(error)) return undefined;
    throw error;
  }
}

function isUnavailable(error: unknown): boolean {
  return error instanceof ContextCacheError && error.code === 'POSITION_UNAVAILABLE';
}

/** Returns the view from either past, because retention may have discarded it in one. */
function viewAt(one: PastSource, other: PastSource, position: number): StateView {
  try {
    return one.at(position);
  } catch (error) {
    if (!isUnavailable(error)) throw error;
    return other.at(position);
  }
}

function policyOf(into: Internals, from: Internals, { onConflict = 'fail' }: MergeOptions): Policy {
  if (typeof onConflict !== 'function' && onConflict !== 'fail') resolutionOf(onConflict);
  const { admission, clock, reading } = into.parts;
  // A value admitted under the same rules is not validated again: a schema may transform it each time.
  const forkedAt = sharedPosition(into.past.lineage, from.past.lineage) ?? 0;
  const isAdmitted = into.options.schemas === from.options.schemas && into.options.limits === from.options.limits;
  return {
    resolve: (conflict) => {
      if (onConflict === 'fail') return undefined;
      return resolutionOf(typeof onConflict === 'function' ? onConflict(conflict) : onConflict);
    },
    shown: (entry) => openedEntry(reading, entry),
    shared: (meta) => notedUntil(meta, forkedAt),
    set: (namespace, key, value, { expiresAt, ifVersion, agent, meta, entry, conflict }) => {
      const given = { operation: 'set', key, expiresAt, ifVersion } as const;
      // A sealed value was checked before it was sealed.
      if (entry !== undefined && (isAdmitted || isSealed(entry.value))) {
        return { ...given, value: entry.value as JsonValue, bytes: entry.bytes, agent, meta };
      }
      const ours = inheritedSubjects({}, conflict?.ours, value);
      const about = ours.subjects === undefined ? inheritedSubjects({}, conflict?.theirs, value) : ours;
      const { steps } = admission.batch(clock.now(), namespace, [{ ...given, ...about, value }], undefined);
      const [step] = steps ?? [];
      if (step === undefined) throw new ContextCacheError('INVARIANT', 'A batch of one step has none.');
      return { ...step, agent, meta };
    },
  };
}

interface PlansInput {
  readonly into: Internals;
  readonly before: MergeMark;
  readonly theirs: StateView;
  readonly policy: Policy;
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
}

/** The plans of all namespaces, kept up to date while writers continue. */
class Plans {
  readonly #input: PlansInput;
  readonly #plans = new Map<string, { readonly plan: NamespacePlan; readonly lastChange: number }>();

  constructor(input: PlansInput) {
    this.#input = input;
  }

  /** Calls back in a turn in which all plans are current. */
  async whenCurrent<Result>(apply: (plans: NamespacePlan[]) => Result): Promise<Result> {
    const { before, theirs, clock, signal } = this.#input;
    const slice = new TimeSlice(clock, signal);
    const names = new Set([...before.from.names(), ...theirs.names()]);
    for (const name of changedNamespaces(before.from, theirs, names)) await this.#make(name, slice);
    for (let tries = 0; tries < MAX_TRIES; tries += 1) {
      signal?.throwIfAborted();
      const stale = this.#stale();
      if (stale.length === 0) return apply(Array.from(this.#plans.values(), ({ plan }) => plan));
      for (const name of stale) {
        if (tries < PATIENT_TRIES) await this.#make(name, slice);
        else this.#makeAtOnce(name);
      }
    }
    const message = 'onConflict writes to the keys that it decides, so the merge never ends. It must have no effects.';
    throw new ContextCacheError('INVALID_OPTION', message);
  }

  #stale(): string[] {
    const { into, clock } = this.#input;
    const now = clock.now();
    const isStale = (name: string, lastChange: number, { validUntil }: NamespacePlan) =>
      now >= validUntil || into.parts.registry.lastChange(name) !== lastChange;
    return [...this.#plans]
      .filter(([name, { plan, lastChange }]) => isStale(name, lastChange, plan))
      .map(([name]) => name);
  }

  async #make(name: string, slice: TimeSlice): Promise<void> {
    const { planning, lastChange } = this.#begin(name);
    for (;;) {
      if (slice.over) await slice.pause();
      const { done, value } = planning.next();
      if (done === true) {
        this.#plans.set(name, { plan: value, lastChange });
        return;
      }
    }
  }

  #makeAtOnce(name: string): void {
    const { planning, lastChange } = this.#begin(name);
    let step = planning.next();
    while (step.done !== true) step = planning.next();
    this.#plans.set(name, { plan: step.value, lastChange });
  }

  #begin(name: string) {
    const { into, before, theirs, policy, clock } = this.#input;
    const { registry } = into.parts;
    const lastChange = registry.lastChange(name);
    const theirsBefore = before.from.state(name);
    const oursBefore = before.into === before.from ? theirsBefore : before.into.state(name);
    const sides = { name, theirsBefore, oursBefore, theirs: theirs.state(name), ours: stateNow(into, name) };
    return { planning: planNamespace(sides, clock.now(), policy), lastChange };
  }
}

function stateNow({ parts: { registry } }: Internals, name: string): NamespaceState | undefined {
  if (!registry.has(name)) return undefined;
  const state = registry.stateInMemory(name) ?? registry.stateOnDisk(name);
  return state === undefined || state.version === 0 ? undefined : state;
}

/** Applies all plans in this turn; if a refusal is known beforehand, none. */
function applyAll(
  into: Internals,
  plans: readonly NamespacePlan[],
  by: Origin,
  bases: MergeBases | undefined,
): { acknowledged: Promise<unknown>[]; report: MergeReport } {
  if (by.agent !== null) requireMerge(into.parts.access, by.agent, plans);
  const unresolved = plans.flatMap((plan) => plan.unresolved);
  if (unresolved.length > 0) throw new MergeConflictError(unresolved);
  const { registry, log, clock } = into.parts;
  const changing = plans.filter(({ drop, steps }) => drop || steps.length > 0);
  for (const { name } of changing) {
    const status = registry.inMemory(name)?.status ?? 'resident';
    if (status !== 'resident') throw unavailable(name);
  }
  // Throws if the log accepts no updates at present.
  log.append([]);
  const now = clock.now();
  const acknowledged: Promise<unknown>[] = [];
  for (const { name, steps, basis } of bases?.parts(changing) ?? partsInTurn(changing)) {
    const request =
      steps === undefined
        ? Request.ofWhole('context.drop', name, now, { ...by, basis })
        : Request.ofWhole('context.batch', name, now, by, steps);
    acknowledged.push(into.writer.execute(request));
  }
  const report = {
    updates: changing.reduce((sum, { drop, steps }) => sum + (drop ? 1 : steps.length), 0),
    namespaces: changing.map(({ name }) => name).sort(),
    position: log.head,
    conflicts: plans.flatMap(({ resolved }) => resolved),
  };
  return { acknowledged, report };
}

/**
 * Checks that the agent that merges may make each change, also those that other agents made in the branch. The error names none
 * of them, because it may not know of them.
 *
 * @throws {AccessDeniedError}
 */
function requireMerge(access: Access, agent: string, plans: readonly NamespacePlan[]): void {
  if (!access.isOn) return;
  const mayWrite = (namespace: string, key: string) => access.may(agent, 'write', namespace, key);
  const mayDecide = ({ namespace, key }: MergeConflict) =>
    mayWrite(namespace, key) && access.may(agent, 'read', namespace, key);
  const isAllowed = plans.every(({ name, drop, steps, resolved, unresolved }) => {
    if (drop && !access.mayAll(agent, 'write', name)) return false;
    return steps.every(({ key }) => mayWrite(name, key)) && [...resolved, ...unresolved].every(mayDecide);
  });
  if (!isAllowed) access.deny({ agent, action: 'write', command: 'merge' });
}

function unavailable(name: string): ContextCacheError {
  const message = `Namespace ${JSON.stringify(name)} has crashed and takes no commands until it is restarted; nothing was merged. Try again.`;
  return new ContextCacheError('NAMESPACE_UNAVAILABLE', message);
}

function remember(from: Internals, log: string, mark: MergeMark | undefined): void {
  if (mark === undefined) return;
  const earlier = from.merged.get(log);
  from.merged.set(log, mark);
  if (earlier !== undefined) release(earlier);
}

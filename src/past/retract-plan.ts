import type { Clock } from '../core/clock.ts';
import type { Step } from '../core/command.ts';
import { VersionConflictError } from '../core/conflict.ts';
import { publicEntry } from '../core/decide.ts';
import { isEqual } from '../core/equal.ts';
import { ContextCacheError } from '../core/errors.ts';
import { invalidCommand } from '../core/invalid-command.ts';
import { compareNames } from '../core/names.ts';
import type { EntryRecord } from '../core/namespace-state.ts';
import type { DependentEntry, RetractConflict, RetractedEntry } from '../core/retract-options.ts';
import { notedMeta, type Retraction, retractionOf, type Stale, staleOf } from '../core/retraction.ts';
import { TimeSlice } from '../core/time-slice.ts';
import type { Update } from '../core/update.ts';
import type { NamespaceRegistry } from '../storage/namespace-registry.ts';
import type { PastSource } from '../storage/past-source.ts';
import { Lane, linkOf, type Withdrawn } from './retract-lane.ts';

/** The writes of a retraction, and the entries that it leaves. */
export interface RetractionPlan {
  /** Steps by namespace. */
  readonly steps: ReadonlyMap<string, readonly Step[]>;
  readonly restored: readonly RetractedEntry[];
  readonly marked: readonly DependentEntry[];
  readonly supported: readonly DependentEntry[];
  readonly conflicts: readonly RetractConflict[];
  /** @throws {VersionConflictError} if an entry that the plan decides about was written after the plan was begun. */
  requireCurrent(): void;
}

/** The parts of a cache that a plan is made from. */
export interface PlanDeps {
  readonly past: PastSource;
  readonly registry: Pick<NamespaceRegistry, 'record' | 'lastChange'>;
  readonly log: { readonly head: number };
  readonly clock: Clock;
}

/** An entry that stands again, as far as a retraction restores it. */
type Stood = Touch & Pick<EntryRecord, 'value' | 'bytes'>;
type Touch = Pick<EntryRecord, 'expiresAt' | 'version'> & Partial<Pick<EntryRecord, 'meta'>>;

/** Most entries that one retraction is about. */
const MAX_ENTRIES = 10_000;

const NOTHING_READ = Object.freeze([]);

/**
 * Plans what a retraction writes, as of the head at the call. Each step has the version of its entry as a condition. Planning takes
 * several turns: call {@link RetractionPlan.requireCurrent} in the turn in which the plan is executed.
 */
export async function planOf(
  deps: PlanDeps,
  given: Withdrawn,
  { position, reason }: Retraction,
): Promise<RetractionPlan> {
  const plan = new Plan(deps, given, reason === undefined ? { position } : { position, reason });
  const slice = new TimeSlice(deps.clock);
  const lanes = await lanesOf(deps.past, given, plan.head, slice);
  for (const [namespace, { own, older }] of sorted(lanes)) {
    for (const [key, lane] of sorted(own)) {
      if (slice.over) await slice.pause();
      const before = lane.isBack ? await standingOf(deps.past, lane, older.get(key)) : undefined;
      plan.add(namespace, key, lane, before);
    }
  }
  return plan;
}

class Plan implements RetractionPlan {
  readonly steps = new Map<string, Step[]>();
  readonly restored: RetractedEntry[] = [];
  readonly marked: DependentEntry[] = [];
  readonly supported: DependentEntry[] = [];
  readonly conflicts: RetractConflict[] = [];
  /** Position as of which everything is decided. */
  readonly head: number;
  /** Position of the last update of each namespace that is written to, as of the head. */
  readonly #lastChange = new Map<string, number>();
  /** Keys that are decided about, by namespace, without those that are only reported as written later. */
  readonly #decided = new Map<string, Set<string>>();
  readonly #deps: PlanDeps;
  readonly #given: Withdrawn;
  readonly #retraction: Retraction;
  readonly #stale: Stale;

  constructor(deps: PlanDeps, given: Withdrawn, retraction: Retraction) {
    this.#deps = deps;
    this.#given = given;
    this.#retraction = retraction;
    this.head = deps.log.head;
    for (const { namespace } of [...given.withdrawn.values(), ...given.marked.values()])
      if (!this.#lastChange.has(namespace)) this.#lastChange.set(namespace, deps.registry.lastChange(namespace));
    const { position: because, reason } = retraction;
    this.#stale = reason === undefined ? { because } : { because, reason };
  }

  /** Plans one entry. */
  add(namespace: string, key: string, lane: Lane, standing: Stood | undefined): void {
    const { registry, clock } = this.#deps;
    const { latest } = lane;
    if (latest === undefined) return;
    const now = clock.now();
    const present = living(registry.record(namespace, key), now);
    const isMarked = this.#given.marked.has(latest.position);
    if (isMarked || lane.isWithdrawn(latest)) this.#decide(namespace, key);
    if (lane.isWithdrawn(latest)) {
      const before = living(standing, now);
      this.#restore(namespace, key, present, before, lane.hasRoot);
      return;
    }
    if (isMarked && present !== undefined) this.#mark(namespace, key, present);
    const retraction = retractionOf(latest);
    // A repeated retraction finds what it has restored before.
    if (!lane.hasWithdrawn || retraction?.position === this.#retraction.position) return;
    const { position, operation, agent, at } = latest;
    this.conflicts.push({
      ...{ namespace, key, position, operation, agent, at },
      ...(retraction !== undefined && { retraction }),
    });
  }

  requireCurrent(): void {
    const { past, registry } = this.#deps;
    for (const [namespace, decided] of this.#decided) {
      if (registry.lastChange(namespace) === this.#lastChange.get(namespace)) continue;
      for (const update of past.backwards(namespace)) {
        if (update.position <= this.head) break;
        const keys = update.key === null ? (update.keys ?? decided) : [update.key];
        for (const key of keys) if (decided.has(key)) throw this.#overtaken(namespace, key, update.replaced);
      }
    }
  }

  #overtaken(namespace: string, key: string, expected: number): VersionConflictError {
    const record = this.#deps.registry.record(namespace, key);
    return new VersionConflictError(namespace, key, expected, record && publicEntry(namespace, key, record));
  }

  #decide(namespace: string, key: string): void {
    const own = this.#decided.get(namespace);
    if (own === undefined) this.#decided.set(namespace, new Set([key]));
    else own.add(key);
  }

  #mark(namespace: string, key: string, present: EntryRecord): void {
    if (staleOf(present)?.because === this.#stale.because) return;
    const meta = notedMeta(present.meta, { retraction: retractionOf(present), stale: this.#stale });
    const { expiresAt, version: ifVersion } = present;
    this.#step(namespace, { operation: 'touch', key, value: null, bytes: 0, expiresAt, ifVersion, meta });
    this.marked.push({ namespace, key });
  }

  /** Restores an entry. One that merely depends on the retracted write is left if it would be the same. */
  #restore(
    namespace: string,
    key: string,
    present: EntryRecord | undefined,
    before: Stood | undefined,
    isRoot: boolean,
  ): void {
    const retraction = this.#retraction;
    const ifVersion = present?.version ?? 0;
    if (before === undefined) {
      if (present === undefined) return;
      const meta = notedMeta(undefined, { retraction });
      const removal = { operation: 'delete', key, value: null, bytes: 0, expiresAt: null, ifVersion } as const;
      this.#step(namespace, { ...removal, meta, basis: NOTHING_READ });
    } else if (!isRoot && present !== undefined && isAlike(before, present)) {
      this.#support(namespace, key, present);
      return;
    } else {
      const { value = null, bytes, expiresAt, version } = before;
      const meta = notedMeta(before.meta, { retraction, stale: staleOf(before) });
      // Names the write that stands again, so that provenance leads to its writer.
      const basis = Object.freeze([Object.freeze({ namespace, key, version })]);
      this.#step(namespace, { operation: 'set', key, value, bytes, expiresAt, ifVersion, meta, basis });
    }
    this.restored.push({ namespace, key, removed: before === undefined });
  }

  /** Leaves an entry as it is, without the mark that it has because of the same write. */
  #support(namespace: string, key: string, present: EntryRecord): void {
    this.supported.push({ namespace, key });
    if (staleOf(present)?.because !== this.#stale.because) return;
    const meta = notedMeta(present.meta, { retraction: this.#retraction });
    const { expiresAt, version: ifVersion } = present;
    this.#step(namespace, { operation: 'touch', key, value: null, bytes: 0, expiresAt, ifVersion, meta });
  }

  #step(namespace: string, step: Step): void {
    const own = this.steps.get(namespace);
    if (own === undefined) this.steps.set(namespace, [step]);
    else own.push(step);
  }
}

/** The entries of a namespace that the retraction may write. */
interface Lanes {
  readonly own: Map<string, Lane>;
  /** Entries that stand and are older than the updates in their lanes. A missing one was missing. */
  readonly older: ReadonlyMap<string, Stood>;
}

/**
 * Resolves with the updates of each entry that the retraction may write, since the first one that is taken back or marked, up to the
 * head. Later ones would give a state that the entries did not have at any one position.
 */
async function lanesOf(
  past: PastSource,
  given: Withdrawn,
  head: number,
  slice: TimeSlice,
): Promise<Map<string, Lanes>> {
  const keys = new Map<string, Map<string, Lane>>();
  const firsts = new Map<string, number>();
  let count = 0;
  for (const update of [...given.withdrawn.values(), ...given.marked.values()]) {
    const { namespace, position } = update;
    const own = keys.get(namespace) ?? new Map<string, Lane>();
    keys.set(namespace, own);
    firsts.set(namespace, Math.min(firsts.get(namespace) ?? position, position));
    for (const key of keysOf(past, update)) {
      if (own.has(key)) continue;
      count += 1;
      if (count > MAX_ENTRIES) throw tooManyEntries();
      own.set(key, new Lane(given));
    }
    if (slice.over) await slice.pause();
  }
  const lanes = new Map<string, Lanes>();
  for (const [namespace, own] of keys) {
    const range = { first: firsts.get(namespace) as number, head };
    lanes.set(namespace, { own, older: await readLanes(past, namespace, own, range, slice) });
  }
  return lanes;
}

/**
 * Reads the updates of a namespace backwards, once: down to `first` for the lanes, and from there until every older entry that stands
 * is found. Resolves with these entries.
 */
async function readLanes(
  past: PastSource,
  namespace: string,
  own: ReadonlyMap<string, Lane>,
  { first, head }: { readonly first: number; readonly head: number },
  slice: TimeSlice,
): Promise<ReadonlyMap<string, Stood>> {
  const older = new Map<string, Stood>();
  let wanted: Map<string, Touch | undefined> | undefined;
  let lowest = first;
  for (const update of past.backwards(namespace)) {
    if (slice.over) await slice.pause();
    if (update.position > head) continue;
    lowest = update.position;
    if (lowest >= first) {
      const link = linkOf(update);
      const keys = update.key === null ? (update.keys ?? own.keys()) : [update.key];
      for (const key of keys) own.get(key)?.push(link);
      continue;
    }
    wanted ??= await wantedOf(own, slice);
    if (wanted.size === 0) return older;
    if (update.operation === 'clear_namespace') return older;
    for (const key of update.key === null ? (update.keys ?? []) : [update.key]) {
      if (!wanted.has(key)) continue;
      const touch = wanted.get(key);
      if (update.operation === 'touch') wanted.set(key, touch ?? update);
      else wanted.delete(key);
      if (update.operation === 'set') older.set(key, stood(update, touch));
    }
  }
  wanted ??= await wantedOf(own, slice);
  if (wanted.size === 0) return older;
  // They are older than what the log holds. Nothing of the namespace has changed between its start and the lowest position.
  const view = past.at(Math.min(lowest - 1, past.first));
  try {
    const find = view.finder(namespace);
    const state = find === undefined ? view.state(namespace) : undefined;
    for (const [key, touch] of wanted) {
      const record = find === undefined ? state?.entries.get(key) : find(key);
      if (record !== undefined) older.set(key, stood(record, touch));
    }
  } finally {
    view.release?.();
  }
  return older;
}

/** Resolves with the keys whose entries that stand are older than their lanes, each with its last `touch` in the lane. */
async function wantedOf(own: ReadonlyMap<string, Lane>, slice: TimeSlice): Promise<Map<string, Touch | undefined>> {
  const wanted = new Map<string, Touch | undefined>();
  for (const [key, lane] of own) {
    if (slice.over) await slice.pause();
    if (!lane.isBack) continue;
    const { position, touch } = lane.standing();
    if (position === undefined) wanted.set(key, touch);
  }
  return wanted;
}

/** Resolves with the entry that stands when the latest update of the lane is taken back; `undefined` if the key was missing. */
async function standingOf(past: PastSource, lane: Lane, older: Stood | undefined): Promise<Stood | undefined> {
  const { position, touch } = lane.standing();
  if (position === undefined) return older;
  if (position === 0) return undefined;
  const update = await past.updateAt(position);
  if (update !== undefined) return stood(update, touch);
  const message = `The log has released position ${position} meanwhile, so the entry it wrote cannot be restored.`;
  throw new ContextCacheError('POSITION_UNAVAILABLE', `${message} Nothing has changed.`);
}

function stood({ value, bytes, ...own }: Stood, { expiresAt, version, meta }: Touch = own): Stood {
  return { value, bytes, expiresAt, version, meta };
}

function tooManyEntries(): ContextCacheError {
  const problem = `The retraction is about more than ${MAX_ENTRIES.toLocaleString('en')} entries`;
  return invalidCommand(`${problem}. Write the earlier entries, which a view at the position before shows`);
}

/** Returns the keys that an update changed. A clear of a namespace removed all that were there. */
function keysOf(past: PastSource, { namespace, position, key, keys }: Update): Iterable<string> {
  if (key !== null) return [key];
  if (keys !== undefined) return keys;
  const view = past.at(position - 1);
  try {
    return [...(view.state(namespace)?.entries.keys() ?? [])];
  } finally {
    view.release?.();
  }
}

function living<Each extends Touch>(entry: Each | undefined, now: number): Each | undefined {
  return entry === undefined || entry.expiresAt === null || entry.expiresAt > now ? entry : undefined;
}

function isAlike(a: Stood, b: Stood): boolean {
  return a.expiresAt === b.expiresAt && isEqual(a.value, b.value);
}

function sorted<Value>(map: ReadonlyMap<string, Value>): [string, Value][] {
  return [...map].sort(([a], [b]) => compareNames(a, b));
}

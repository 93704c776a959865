import type { Basis, Reading } from '../core/basis.ts';
import type { Step } from '../core/command.ts';
import { isEqual } from '../core/equal.ts';
import { DEFAULT_NAMESPACE } from '../core/names.ts';
import type { EntryRecord } from '../core/namespace-state.ts';
import { joinedBasis } from '../core/read-set.ts';
import type { TimeSlice } from '../core/time-slice.ts';
import { readingsOf } from '../core/trace.ts';
import type { Update } from '../core/update.ts';
import type { Internals, MergeMark } from '../engine/internals.ts';
import type { StateView } from '../storage/past-source.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import { isAlike, type NamespacePlan } from './merge-plan.ts';

/** The two caches of a merge and what they had in common. */
export interface MergeSides {
  readonly into: Internals;
  readonly from: Internals;
  /** The last state that the two had in common. */
  readonly before: MergeMark;
  /** The state that is merged. */
  readonly theirs: StateView;
  /** The state at the last position that means the same in both logs; `undefined` if neither has it any more. */
  readonly fork: StateView | undefined;
}

/** An update of the branch since the common state. */
interface Write {
  readonly position: number;
  readonly namespace: string;
  /** `null` for an update of several keys. */
  readonly key: string | null;
  readonly keys: readonly string[] | undefined;
  readonly operation: Update['operation'];
  /** `false`: it has no basis, so nothing is known of what its writer had read. */
  readonly isKnown: boolean;
  readonly readings: readonly (Reading | Write)[];
  /** Its readings in terms of the target, once its turn has come. */
  basis: readonly Reading[];
  /** Version of the update in the target that has brought it. */
  version: number | undefined;
  /** `true` while the step that brings it waits. */
  isPending: boolean;
}

/** A part of a merge: the steps of a namespace that are written together. */
export interface MergePart {
  readonly name: string;
  /** `undefined`: the namespace is dropped. */
  readonly steps: readonly Step[] | undefined;
  /** The basis of a drop. */
  readonly basis?: Basis | undefined;
}

/** A step of a merge, and the write that it brings. */
interface Brought {
  readonly step: Step;
  /** `undefined`: it removes an entry, or stores something else than the branch. */
  readonly write: Write | undefined;
}

/** Anything up to the write that names it. Its position is known only when that write is made. */
const ANYTHING: Reading = Object.freeze({ position: Number.POSITIVE_INFINITY });

/** Returns what a merge writes if no write of the branch has a basis: the namespaces in turn. */
export function* partsInTurn(plans: readonly NamespacePlan[]): Generator<MergePart, void, undefined> {
  for (const { name, drop, steps } of plans) yield { name, steps: drop ? undefined : steps };
}

/**
 * The bases of the writes that a merge brings, in terms of the target. A reading of what both caches had before keeps its version. A
 * reading of a write that the merge brings names the update that brings it. A reading of any other write of the branch becomes what
 * that write was based on. What cannot be said so becomes a position, which is never less than what was read.
 */
export class MergeBases {
  readonly #sides: MergeSides;
  /** All writes of the branch, in order. */
  readonly #writes: Write[] = [];
  readonly #byVersion = new Map<string, Map<number, Write>>();
  /** The last write of each key, without a `touch` that keeps a write of the branch; of the clears of a whole namespace the last one. */
  readonly #last = new Map<string, Map<string, Write>>();
  readonly #cleared = new Map<string, Write>();
  /** Versions of namespaces in the common state. */
  readonly #versions = new Map<string, number>();
  /** Namespaces that the branch has dropped. */
  readonly #dropped = new Set<string>();
  /** `true` if the branch's log no longer has all its updates. */
  readonly #isCut: boolean;
  /** Namespaces that the target has dropped since the fork; `undefined` if its log no longer tells. */
  #droppedInto: Set<string> | undefined = new Set();
  /** Position up to which the target was searched for drops. */
  #searched: number;

  private constructor(sides: MergeSides) {
    this.#sides = sides;
    this.#isCut = sides.from.parts.log.first > sides.before.from.position + 1;
    this.#searched = (sides.fork ?? sides.before.into).position;
  }

  /** Reads what the branch has written. Resolves with `undefined` if none of it has a basis. */
  static async read(sides: MergeSides, slice: TimeSlice): Promise<MergeBases | undefined> {
    const { from, before, theirs, into } = sides;
    const { log } = from.parts;
    const read = (each: (update: Update) => boolean) =>
      forEach(log, before.from.position + 1, theirs.position, slice, each);
    await log.flush();
    if (!(await read(({ basis }) => basis !== undefined))) return undefined;
    const bases = new MergeBases(sides);
    await read((update) => bases.#add(update));
    await into.parts.log.flush();
    const { committed, first } = into.parts.log;
    if (first > bases.#searched + 1) bases.#droppedInto = undefined;
    await forEach(into.parts.log, bases.#searched + 1, committed, slice, ({ drop, namespace }) => {
      if (drop) bases.#droppedInto?.add(namespace);
      return false;
    });
    bases.#searched = committed;
    return bases;
  }

  /**
   * Yields what the merge writes, in such an order that each update follows those that its basis names. The caller executes each part
   * before it takes the next.
   */
  *parts(plans: readonly NamespacePlan[]): Generator<MergePart, void, undefined> {
    const pending = new Map<string, Brought[]>();
    const wanted = new Map<Write, { readonly plan: NamespacePlan; readonly step: Step | undefined }[]>();
    for (const plan of plans) {
      for (const step of plan.drop ? [undefined] : plan.steps) {
        const write = step === undefined ? this.#cleared.get(plan.name) : this.#lastOf(plan.name, step.key);
        if (write === undefined) {
          if (step === undefined) yield { name: plan.name, steps: undefined };
          else pendingOf(pending, plan.name).push({ step, write });
        } else {
          const own = wanted.get(write);
          if (own === undefined) wanted.set(write, [{ plan, step }]);
          else own.push({ plan, step });
        }
      }
    }
    const written = (name: string) => this.#written(name, pending);
    for (const write of this.#writes) {
      for (const reading of write.readings)
        if (isWrite(reading) && reading.isPending) yield* written(reading.namespace);
      write.basis = this.#inTarget(write.readings, wanted);
      for (const { plan, step } of wanted.get(write) ?? []) {
        // A range names the namespace as it was before a drop.
        const isLater = step === undefined || write.basis.includes(ANYTHING);
        if (isLater) for (const name of [...pending.keys()]) yield* written(name);
        if (step === undefined) {
          yield { name: plan.name, steps: undefined, basis: this.#basisOf(write) };
          continue;
        }
        const brought = this.#based(plan, step, write);
        pendingOf(pending, plan.name).push(brought);
        write.isPending = brought.write !== undefined;
      }
    }
    for (const name of [...pending.keys()]) yield* written(name);
  }

  /** Yields the steps of a namespace that wait, and notes the versions that they were given. */
  *#written(name: string, pending: Map<string, Brought[]>): Generator<MergePart, void, undefined> {
    const brought = pending.get(name);
    if (brought === undefined) return;
    pending.delete(name);
    yield { name, steps: brought.map(({ step }) => step) };
    const last = this.#sides.into.parts.registry.stateInMemory(name)?.version ?? 0;
    for (const [index, { write }] of brought.entries()) {
      if (write === undefined) continue;
      write.isPending = false;
      write.version = last - brought.length + index + 1;
    }
  }

  /** Returns a step with the basis of a write. */
  #based(plan: NamespacePlan, step: Step, write: Write): Brought {
    const { key, operation, ifVersion } = step;
    if (operation === 'delete') {
      // The removal of an entry that has expired in the branch is no decision of a writer.
      return { step: isSet(write) ? step : withBasis(step, this.#basisOf(write)), write: undefined };
    }
    const isNew = plan.resolved.some((each) => each.key === key && typeof each.resolution === 'object');
    if (!isNew) return { step: withBasis(step, this.#basisOf(write)), write };
    const ours = ifVersion > 0 ? [{ namespace: plan.name, key, version: ifVersion }] : [];
    return { step: withBasis(step, this.#basisOf(write, ours)), write: undefined };
  }

  /** Adds an update of the branch. Returns `false`. */
  #add(update: Update): boolean {
    const { namespace, key, keys, version, operation, position, drop } = update;
    const own = mapIn(this.#last, namespace);
    const write: Write = {
      ...{ position, namespace, key, keys, operation },
      isKnown: update.basis !== undefined,
      readings: readingsOf(update).flatMap((reading) => this.#resolved(reading)),
      ...{ basis: [], version: undefined, isPending: false },
    };
    this.#writes.push(write);
    mapIn(this.#byVersion, namespace).set(version, write);
    const before = key === null ? undefined : own.get(key);
    const isKept = operation === 'touch' && before !== undefined && isSet(before);
    if (key !== null && !isKept) own.set(key, write);
    for (const each of keys ?? []) own.set(each, write);
    if (key === null && keys === undefined) {
      own.clear();
      this.#cleared.set(namespace, write);
    }
    if (drop) this.#dropped.add(namespace);
    return false;
  }

  #lastOf(namespace: string, key: string): Write | undefined {
    return this.#last.get(namespace)?.get(key) ?? this.#cleared.get(namespace);
  }

  /** Returns what a reading names: a write of the branch, or a reading in terms of the target. */
  #resolved(reading: Reading): (Reading | Write)[] {
    const { before, fork } = this.#sides;
    if ('position' in reading) return [fork !== undefined && reading.position <= fork.position ? reading : ANYTHING];
    const { namespace = DEFAULT_NAMESPACE } = reading;
    const isFirst = before.from === before.into;
    if (!('key' in reading)) {
      const isBefore =
        isFirst && !this.#isCut && !this.#dropped.has(namespace) && reading.to <= this.#versionOf(namespace);
      return [isBefore ? reading : ANYTHING];
    }
    const { key, version } = reading;
    if (version === 0) return [reading];
    const write = this.#byVersion.get(namespace)?.get(version);
    if (write !== undefined) return isOf(write, key) ? [write] : [];
    if (this.#isCut) return [ANYTHING];
    // A greater version is one of before the namespace was dropped, before the fork.
    if (isFirst) return [version <= this.#versionOf(namespace) ? reading : { position: before.into.position }];
    const theirs = entryIn(before.from, namespace, key);
    if (theirs?.version !== version) return [ANYTHING];
    const ours = entryIn(before.into, namespace, key);
    if (ours !== undefined && isAlike(ours, theirs)) return [{ namespace, key, version: ours.version }];
    const isBefore = fork !== undefined && isEqual(entryIn(fork, namespace, key), theirs);
    return [isBefore ? reading : ANYTHING];
  }

  /** Returns the version of a namespace in the common state. */
  #versionOf(namespace: string): number {
    let version = this.#versions.get(namespace);
    if (version === undefined) {
      version = this.#sides.before.from.state(namespace)?.version ?? 0;
      this.#versions.set(namespace, version);
    }
    return version;
  }

  /** Returns readings in terms of the target. All writes among them have had their turn. */
  #inTarget(
    readings: readonly (Reading | Write)[],
    isBrought: Pick<ReadonlyMap<Write, unknown>, 'has'>,
  ): readonly Reading[] {
    const found = readings.flatMap((reading): readonly Reading[] => {
      if (!isWrite(reading)) return [this.#stillNamed(reading)];
      const { namespace, key, version, basis, isKnown } = reading;
      // A `touch` without a basis is brought without one, and keeps an entry all the same.
      if (key !== null && version !== undefined) return [{ namespace, key, version }, ...(isKnown ? [] : basis)];
      return isBrought.has(reading) ? basis : [...this.#alike(reading), ...basis];
    });
    return joinedBasis(found, ANYTHING);
  }

  /** Returns the reading of an entry that the target has already as the branch has written it. */
  #alike(write: Write): Reading[] {
    const { namespace, key } = write;
    if (key === null || !isSet(write) || this.#lastOf(namespace, key) !== write) return [];
    const ours = this.#sides.into.parts.registry.record(namespace, key);
    if (ours === undefined || !isAlike(ours, entryIn(this.#sides.theirs, namespace, key))) return [];
    return [{ namespace, key, version: ours.version }];
  }

  /** Returns a reading, or its position if the target has dropped the namespace since, so that the version may mean another write. */
  #stillNamed(reading: Reading): Reading {
    if ('position' in reading || ('version' in reading && reading.version === 0)) return reading;
    const { namespace = DEFAULT_NAMESPACE } = reading;
    return this.#isDroppedInto(namespace) ? { position: this.#sides.before.into.position } : reading;
  }

  #isDroppedInto(namespace: string): boolean {
    const { into } = this.#sides;
    if (this.#droppedInto === undefined || this.#droppedInto.has(namespace)) return true;
    if (into.parts.registry.lastChange(namespace) <= this.#searched) return false;
    for (const { position, drop } of into.past.backwards(namespace)) {
      if (position <= this.#searched) return false;
      if (drop) return true;
    }
    return false;
  }

  /** Returns the basis of the next update of the target, with further readings; `undefined` if that of the write is not known. */
  #basisOf({ isKnown, basis }: Write, more: readonly Reading[] = []): Basis | undefined {
    if (!isKnown) return undefined;
    const { head: position } = this.#sides.into.parts.log;
    const readings = [...more, ...basis].map((reading) => (reading === ANYTHING ? { position } : reading));
    return Object.freeze(joinedBasis(readings, { position }).map((reading) => Object.freeze(reading)));
  }
}

/** Calls back with the updates of a log between two positions, until one call returns `true`. Resolves with whether one did. */
async function forEach(
  log: UpdateLog,
  from: number,
  through: number,
  slice: TimeSlice,
  each: (update: Update) => boolean,
): Promise<boolean> {
  const first = Math.max(from, log.first);
  if (first > through) return false;
  for await (const updates of log.read(first, through)) {
    for (const update of updates) if (each(update)) return true;
    if (slice.over) await slice.pause();
  }
  return false;
}

function entryIn(view: StateView, namespace: string, key: string): EntryRecord | undefined {
  const find = view.finder(namespace);
  return find === undefined ? view.state(namespace)?.entries.get(key) : find(key);
}

function isWrite(reading: Reading | Write): reading is Write {
  return 'readings' in reading;
}

function isSet({ operation }: Write): boolean {
  return operation === 'set' || operation === 'touch';
}

function isOf({ key, keys }: Write, name: string): boolean {
  return key === null ? (keys?.includes(name) ?? true) : key === name;
}

function withBasis(step: Step, basis: Basis | undefined): Step {
  return basis === undefined ? step : { ...step, basis };
}

function pendingOf<Item>(pending: Map<string, Item[]>, name: string): Item[] {
  let own = pending.get(name);
  if (own === undefined) {
    own = [];
    pending.set(name, own);
  }
  return own;
}

function mapIn<Key, Value>(maps: Map<string, Map<Key, Value>>, name: string): Map<Key, Value> {
  let own = maps.get(name);
  if (own === undefined) {
    own = new Map();
    maps.set(name, own);
  }
  return own;
}

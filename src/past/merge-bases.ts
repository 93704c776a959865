import { type Basis, MAX_READINGS, type Reading } from '../core/basis.ts';
import type { Step } from '../core/command.ts';
import { isEqual } from '../core/equal.ts';
import { DEFAULT_NAMESPACE } from '../core/names.ts';
import type { EntryRecord, NamespaceState } from '../core/namespace-state.ts';
import { joinedBasis } from '../core/read-set.ts';
import type { TimeSlice } from '../core/time-slice.ts';
import { readingsOf } from '../core/trace.ts';
import type { Update } from '../core/update.ts';
import type { Internals, MergeMark, MetEntry } from '../engine/internals.ts';
import type { StateView } from '../storage/past-source.ts';
import { forEach, mapIn, pendingOf } from './merge-log.ts';
import { isAlike, type NamespacePlan } from './merge-plan.ts';
import { type Brought, hasRead, isOf, isSet, isWrite, type Wanted, type Write, withBasis } from './merge-writes.ts';

/** The two caches of a merge and what they had in common. */
export interface MergeSides {
  readonly into: Internals;
  readonly from: Internals;
  /** The last state that the two had in common. */
  readonly before: MergeMark;
  /** The state that is merged. */
  readonly theirs: StateView;
  /** The last position that means the same in both logs. */
  readonly forkedAt: number;
  /** Returns the state at that position; `undefined` if neither cache has it any more. */
  readonly fork: () => StateView | undefined;
}

/** A part of a merge: the steps of a namespace that are written together. */
export interface MergePart {
  readonly name: string;
  /** `undefined`: the namespace is dropped. */
  readonly steps: readonly Step[] | undefined;
  /** The basis of a drop. */
  readonly basis?: Basis | undefined;
}

/** Anything up to the write that names it. Its position is known only when that write is made. */
const ANYTHING: Reading = Object.freeze({ position: Number.POSITIVE_INFINITY });

/** Most readings to join for one write, which bounds the time of a turn. If there are more, it may have read anything. */
const MAX_JOINED = 16 * MAX_READINGS;

/** Most readings that a mark keeps for the next merge. If there are more, each entry of the branch may stand for anything. */
const MAX_MET = 64 * MAX_READINGS;

const NO_STEPS: ReadonlyMap<Write, readonly Wanted[]> = new Map();

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
  /** Anything up to the common state. */
  readonly #common: Reading;
  /** All writes of the branch in order; if its log lacks some, those after them. */
  readonly #writes: Write[] = [];
  readonly #byVersion = new Map<string, Map<number, Write>>();
  /** The last write of each key, without a `touch` that keeps a write of the branch; of the clears of a whole namespace the last one. */
  readonly #last = new Map<string, Map<string, Write>>();
  readonly #cleared = new Map<string, Write>();
  /** Versions of namespaces in the common state. */
  readonly #versions = new Map<string, number>();
  /** Each reading once, so that equal ones are the same object. */
  readonly #readings = new Map<string, Reading>();
  /** States that have no finder. */
  readonly #states = new Map<StateView, Map<string, NamespaceState | undefined>>();
  /** Namespaces of ranges. */
  readonly #ranged = new Set<string>();
  /** Those that the target may have dropped since the common state: a range means what was written since a drop. */
  readonly #dropped = new Set<string>();
  /** Position up to which the target was searched for drops. */
  #searched: number;
  /** Stands for the writes that the branch's log lacks; `undefined` if it has all. */
  #unseen: Write | undefined;
  /** `true` once a write has a basis, or the log lacks some. */
  #isOrdered = false;
  /** Steps of each write that the merge brings. */
  #wanted = NO_STEPS;

  private constructor(sides: MergeSides) {
    this.#sides = sides;
    this.#searched = sides.before.into.position;
    this.#common = Object.freeze({ position: sides.before.into.position });
  }

  /** Reads what the branch has written. Resolves with `undefined` if its log has all of it, and no update of it has read anything. */
  static async read(sides: MergeSides, slice: TimeSlice): Promise<MergeBases | undefined> {
    const { from, before, theirs } = sides;
    const read = (each: (update: Update | undefined) => boolean) =>
      forEach(from.past, before.from.position, theirs.position, slice, each);
    await from.parts.log.flush();
    if (!(await read((update) => update === undefined || hasRead(update)))) return undefined;
    const bases = new MergeBases(sides);
    await read((update) => {
      if (update === undefined) bases.#skip();
      else bases.#add(update);
      return false;
    });
    if (bases.#ranged.size > 0) await bases.#searchDrops(slice);
    return bases;
  }

  /**
   * Yields what the merge writes, in such an order that each update follows those that its basis names. The caller executes each part
   * before it takes the next.
   */
  *parts(plans: readonly NamespacePlan[]): Generator<MergePart, void, undefined> {
    if (!this.#isOrdered) {
      yield* partsInTurn(plans);
      for (const write of this.#writes) write.basis = this.#inTarget(write.readings);
      return;
    }
    const { registry } = this.#sides.into.parts;
    for (const name of this.#ranged) if (registry.lastChange(name) > this.#searched) this.#dropped.add(name);
    const pending = new Map<string, Brought[]>();
    const wanted = new Map<Write, Wanted[]>();
    this.#wanted = wanted;
    for (const { name, drop, steps, resolved } of plans) {
      const values = resolved.filter(({ resolution }) => typeof resolution === 'object');
      const isNew = new Set(values.map(({ key }) => key));
      for (const step of drop ? [undefined] : steps) {
        const write = step === undefined ? this.#cleared.get(name) : this.#lastOf(name, step.key);
        const each = { name, step, isNew: step !== undefined && isNew.has(step.key) };
        if (write !== undefined) pendingOf(wanted, write).push(each);
        else if (step === undefined) yield this.#drop(name, this.#unseen);
        else pendingOf(pending, name).push(this.#based({ ...each, step }, this.#unseen));
      }
    }
    const written = (name: string) => this.#written(name, pending);
    for (const write of this.#writes) {
      for (const reading of write.readings)
        if (isWrite(reading) && reading.isPending) yield* written(reading.namespace);
      write.basis = this.#inTarget(write.readings);
      for (const { name, step, isNew } of wanted.get(write) ?? []) {
        // A range names the namespace as it was before a drop.
        const isLater = step === undefined || write.basis.includes(ANYTHING);
        if (isLater) for (const each of [...pending.keys()]) yield* written(each);
        if (step === undefined) {
          yield this.#drop(name, write);
          continue;
        }
        const brought = this.#based({ name, step, isNew }, write);
        pendingOf(pending, name).push(brought);
        write.isPending = brought.write !== undefined;
      }
    }
    for (const name of [...pending.keys()]) yield* written(name);
  }

  /** Returns the entries of the branch that stand for more than an entry of the target, after the last part. */
  met(): MergeMark['met'] {
    const { into, before } = this.#sides;
    if (before.met === undefined || this.#unseen !== undefined) return undefined;
    const present = new Map<string, Map<string, Write | MetEntry>>();
    for (const [namespace, own] of before.met) present.set(namespace, new Map(own));
    for (const write of this.#writes) {
      const { namespace, key, keys } = write;
      const own = mapIn(present, namespace);
      for (const each of key === null ? (keys ?? [...own.keys()]) : [key]) own.delete(each);
      if (key !== null && isSet(write)) own.set(key, write);
    }
    const now: Reading = Object.freeze({ position: into.parts.log.head });
    const met = new Map<string, Map<string, MetEntry>>();
    let count = 0;
    for (const [namespace, own] of present) {
      for (const [key, entry] of own) {
        const readings = isWrite(entry) ? this.#insteadOf(entry) : entry.readings;
        if (isWrite(entry) && this.#isEntry(readings, namespace, key)) continue;
        count += readings.length + 1;
        if (count > MAX_MET) return undefined;
        // The target may drop the namespace of a range before the next merge.
        const said = readings.map((reading) => (reading === ANYTHING || 'from' in reading ? now : reading));
        mapIn(met, namespace).set(key, { version: entry.version, readings: [...new Set(said)] });
      }
    }
    return met;
  }

  /** Returns whether the readings are that of the target's entry and no other. */
  #isEntry([reading, ...others]: readonly Reading[], namespace: string, key: string): boolean {
    if (reading === undefined || !('key' in reading) || others.length > 0) return false;
    if (reading.namespace !== namespace || reading.key !== key) return false;
    return this.#sides.into.parts.registry.record(namespace, key)?.version === reading.version;
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
      const version = last - brought.length + index + 1;
      if (write.key !== null) write.named = Object.freeze({ namespace: name, key: write.key, version });
    }
  }

  /** Returns the part that drops a namespace. */
  #drop(name: string, write: Write | undefined): MergePart {
    const basis = write && this.#basisOf(write);
    this.#dropped.add(name);
    return { name, steps: undefined, basis };
  }

  /** Returns a step with the basis of a write. */
  #based({ name, step, isNew }: Wanted & { readonly step: Step }, write: Write | undefined): Brought {
    if (write === undefined) return { step, write };
    const { key, operation, ifVersion } = step;
    if (operation === 'delete') {
      // The removal of an entry that has expired in the branch is no decision of a writer.
      return { step: isSet(write) ? step : withBasis(step, this.#basisOf(write)), write: undefined };
    }
    const isBrought = !isNew && write !== this.#unseen;
    const ours = isNew && ifVersion > 0 ? [this.#one({ namespace: name, key, version: ifVersion })] : [];
    return { step: withBasis(step, this.#basisOf(write, ours)), write: isBrought ? write : undefined };
  }

  /** Forgets what was added: the branch's log lacks writes after it, which may have replaced any of it. */
  #skip(): void {
    const { from, before } = this.#sides;
    this.#isOrdered = true;
    const readings = [this.#common];
    this.#unseen = {
      ...{
        position: before.from.position,
        version: 0,
        namespace: from.parts.log.id,
        key: null,
        keys: undefined,
        operation: 'clear',
      },
      ...{ isKnown: true, readings, basis: readings, named: undefined, alike: undefined, isPending: false },
    };
    this.#writes.length = 0;
    for (const each of [this.#byVersion, this.#last, this.#cleared]) each.clear();
  }

  /** Notes the namespaces of ranges that the target has dropped since the common state. */
  async #searchDrops(slice: TimeSlice): Promise<void> {
    const { log } = this.#sides.into.parts;
    await log.flush();
    const { committed } = log;
    await forEach(this.#sides.into.past, this.#searched, committed, slice, (update) => {
      if (update === undefined) for (const name of this.#ranged) this.#dropped.add(name);
      else if (update.drop) this.#dropped.add(update.namespace);
      return false;
    });
    this.#searched = committed;
  }

  /** Adds an update of the branch. */
  #add(update: Update): void {
    const { namespace, key, keys, version, operation, position } = update;
    const own = mapIn(this.#last, namespace);
    const readings = readingsOf(update).flatMap((reading) => this.#resolved(reading));
    this.#isOrdered ||= update.basis !== undefined;
    // A `touch` may keep the entry of a write that the log lacks.
    const isOfUnseen = this.#unseen !== undefined && operation === 'touch' && readings.at(-1) === ANYTHING;
    const write: Write = {
      ...{ position, version, namespace, key, keys, operation, readings },
      isKnown: update.basis !== undefined || isOfUnseen,
      ...{ basis: [], named: undefined, alike: undefined, isPending: false },
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
  }

  #lastOf(namespace: string, key: string): Write | undefined {
    return this.#last.get(namespace)?.get(key) ?? this.#cleared.get(namespace);
  }

  /** Returns what a reading names: a write of the branch, or readings in terms of the target. */
  #resolved(reading: Reading): Reading | Write | readonly Reading[] {
    const { before, forkedAt, fork } = this.#sides;
    if ('position' in reading) return reading.position <= forkedAt ? this.#one(reading) : ANYTHING;
    const { namespace = DEFAULT_NAMESPACE } = reading;
    const isFirst = before.from === before.into;
    if (!('key' in reading)) {
      if (!isFirst || reading.to > this.#versionOf(namespace)) return ANYTHING;
      this.#ranged.add(namespace);
      return this.#one(reading);
    }
    const { key, version } = reading;
    if (version === 0) return this.#one(reading);
    const write = this.#byVersion.get(namespace)?.get(version);
    if (write !== undefined) return isOf(write, key) ? write : this.#common;
    if (isFirst && version <= this.#versionOf(namespace)) return this.#one(reading);
    if (this.#unseen !== undefined) return ANYTHING;
    // A greater version is one of before the namespace was dropped, before the fork.
    if (isFirst) return this.#common;
    const theirs = this.#entryIn(before.from, namespace, key);
    if (theirs?.version !== version) return ANYTHING;
    const met = before.met?.get(namespace)?.get(key);
    if (met?.version === version) return met.readings.map((each) => this.#one(each));
    const ours = this.#entryIn(before.into, namespace, key);
    const isSame = ours !== undefined && isAlike(ours, theirs);
    if (isSame && ours.version === version && before.met !== undefined) return this.#one(reading);
    const view = fork();
    const isBefore = view !== undefined && isEqual(this.#entryIn(view, namespace, key), theirs);
    const own = isBefore ? this.#one(reading) : ANYTHING;
    if (!isSame) return own;
    // The target's entry says the same, and the version of one from before the fork still names that write.
    const named = this.#one({ namespace, key, version: ours.version });
    if (before.met === undefined) return [named, this.#common];
    return isBefore ? [named, own] : named;
  }

  /** Returns the object that stands for all readings equal to this one. */
  #one(reading: Reading): Reading {
    const id = JSON.stringify(reading);
    const known = this.#readings.get(id);
    if (known !== undefined) return known;
    this.#readings.set(id, reading);
    return reading;
  }

  #entryIn(view: StateView, namespace: string, key: string): EntryRecord | undefined {
    const find = view.finder(namespace);
    if (find !== undefined) return find(key);
    const states = mapIn(this.#states, view);
    if (!states.has(namespace)) states.set(namespace, view.state(namespace));
    return states.get(namespace)?.entries.get(key);
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
  #inTarget(readings: readonly (Reading | Write)[]): Basis {
    const found = new Set<Reading>();
    let joined = 0;
    for (const reading of new Set(readings)) {
      for (const each of isWrite(reading) ? this.#insteadOf(reading) : [reading]) {
        joined += 1;
        if (joined > MAX_JOINED) return [ANYTHING];
        found.add(each);
      }
    }
    return joinedBasis([...found], ANYTHING);
  }

  /** Returns the readings in terms of the target that take the place of a reading of a write. */
  #insteadOf(write: Write): readonly Reading[] {
    const { named, basis, isKnown } = write;
    // A `touch` without a basis is brought without one, and keeps an entry all the same.
    if (named !== undefined) return isKnown ? [named] : [named, ...basis];
    if (this.#wanted.has(write)) return basis;
    write.alike ??= this.#alike(write);
    return [...write.alike, ...basis];
  }

  /** Returns the reading of an entry that the target has already as the branch has written it. */
  #alike(write: Write): Reading[] {
    const { namespace, key } = write;
    if (key === null || !isSet(write) || this.#lastOf(namespace, key) !== write) return [];
    const ours = this.#sides.into.parts.registry.record(namespace, key);
    if (ours === undefined || !isAlike(ours, this.#entryIn(this.#sides.theirs, namespace, key))) return [];
    return [this.#one({ namespace, key, version: ours.version })];
  }

  /** Returns the basis of the next update of the target, with further readings; `undefined` if that of the write is not known. */
  #basisOf({ isKnown, basis }: Write, more: readonly Reading[] = []): Basis | undefined {
    if (!isKnown) return undefined;
    const now: Reading = { position: this.#sides.into.parts.log.head };
    const readings = [...more, ...basis].map((reading) => {
      if (reading === ANYTHING) return now;
      return 'from' in reading && this.#dropped.has(reading.namespace ?? DEFAULT_NAMESPACE) ? this.#common : reading;
    });
    return Object.freeze(joinedBasis([...new Set(readings)], now).map((reading) => Object.freeze(reading)));
  }
}

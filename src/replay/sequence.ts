import { apply } from '../core/apply.ts';
import { beginsWith, nextVersion } from '../core/decide.ts';
import { NamespaceState } from '../core/namespace-state.ts';
import { floorAfter } from '../core/remembered.ts';
import { createUpdate, type PendingUpdate } from '../core/update.ts';
import type { Candidate, ReadUpdate } from './candidate.ts';
import { type ReplayProblem, type ReplayProblemKind, ReplayRefusedError } from './problem.ts';
import { type ReplayReport, ReportBuilder } from './report.ts';
import type { ReplayBase } from './source.ts';

/** The end of a replay: a position, or an instant in epoch milliseconds. */
export interface Until {
  readonly position: number;
  readonly at: number;
}

/** Options of a {@link Sequence}. */
export interface SequenceOptions {
  /** The state that the replay starts from, as of its `position`. */
  readonly base?: ReplayBase | undefined;
  /** Returns whether the source may repeat a record. */
  readonly repeats: () => boolean;
  readonly until: Until;
  readonly repair: boolean;
}

/**
 * Decides which recorded updates follow each other, and folds them. Returns a log without a gap, whose fold is {@link
 * Sequence.states}.
 *
 * A record must have the next position, and the next version of its namespace; a namespace that begins does so above the floor,
 * the highest version that a dropped one has had. With `repair`:
 *
 * 1. A record that cannot be read, belongs to another log, or has a position that occurred before is left out.
 * 2. Everything after a gap is taken, because a `set` is a whole value and needs nothing before it. Positions and
 *   versions are renumbered without a gap, the versions of each namespace from its own gap on.
 * 3. A version that falls, or a record that begins its namespace, means that the namespace was dropped and created again. If the
 *   drop is missing, it is inserted, so that nothing from before remains.
 * 4. A `set` without its value becomes an `evict`, so that no older value remains.
 * 5. A clear of which messages are missing removes the keys that are known.
 */
export class Sequence {
  readonly states = new Map<string, NamespaceState>();
  /** Position assigned last. */
  position: number;
  readonly #options: SequenceOptions;
  readonly #report = new ReportBuilder();
  /** Difference between the recorded and the assigned versions of a namespace. Only repairs add to it. */
  readonly #ahead = new Map<string, number>();
  /** The floor by the assigned versions, and by the recorded ones. */
  #floor: number;
  #recordedFloor: number;
  /** Last recorded position. */
  #recorded: number;
  /** The log that the messages belong to; `null` if no message has named one. */
  #log: string | null = null;
  /** `true` if records have their own positions. */
  #numbered: boolean | undefined;
  #ended = false;

  constructor(options: SequenceOptions) {
    this.#options = options;
    this.position = options.base?.position ?? 0;
    this.#recorded = this.position;
    this.#floor = options.base?.floor ?? 0;
    this.#recordedFloor = this.#floor;
    for (const state of options.base?.states ?? []) this.states.set(state.name, state);
    this.#ended = this.#recorded >= options.until.position;
  }

  /** `true` if the end of the replay is reached; nothing more needs to be read. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Last recorded position. */
  get recorded(): number {
    return this.#recorded;
  }

  /**
   * Takes the next record of the source, adds the resulting updates to `updates`, and folds them.
   *
   * @throws {ReplayRefusedError} without `repair`, if the record does not follow.
   */
  take(candidate: Candidate, updates: PendingUpdate[]): void {
    if (this.#ended) return;
    if ('problem' in candidate) this.#drop(candidate.problem);
    else if (this.#belongs(candidate) && this.#isNext(candidate) && !this.#isBeyond(candidate.update)) {
      this.#follow(candidate, updates);
    }
  }

  report(): ReplayReport {
    return this.#report.finish(this.position, this.#recorded, this.states.size);
  }

  #belongs(candidate: ReadUpdate): boolean {
    const numbered = candidate.update.position > 0;
    this.#numbered ??= numbered;
    this.#log ??= candidate.log;
    const due = this.#options.base?.log;
    if (due !== undefined && candidate.log !== null && candidate.log !== due) {
      const reason = 'It belongs to another log than the snapshot.';
      return this.#drop(problemOf('foreign', candidate, reason));
    }
    if (numbered !== this.#numbered) {
      const reason = 'Some messages have positions and some have none; they belong to different caches.';
      return this.#drop(problemOf('foreign', candidate, reason));
    }
    if (candidate.log === this.#log) return true;
    const reason = 'It belongs to another log than those before it; capture the topics of one cache.';
    return this.#drop(problemOf('foreign', candidate, reason));
  }

  /** Returns whether the record comes after the last one; without `repair`, whether it is the next. */
  #isNext(candidate: ReadUpdate): boolean {
    const { update } = candidate;
    const due = this.#recorded + 1;
    if (update.position === due || !this.#numbered) return true;
    if (update.position > due) return this.#afterGap(candidate, due);
    // The state that the replay starts from contains these updates.
    if (update.position <= (this.#options.base?.position ?? 0)) return false;
    if (this.#options.repeats()) {
      this.#report.repeated += 1;
      return false;
    }
    const reason = `Position ${update.position} comes after position ${this.#recorded}: it is there twice, or out of order.`;
    return this.#drop(problemOf('duplicate', candidate, reason));
  }

  #afterGap(candidate: ReadUpdate, due: number): boolean {
    const { position } = candidate.update;
    this.#note({ ...problemOf('gap', candidate, gapReason(due, position, this.#options.repeats())), position: due });
    this.#report.missing += Math.min(position, this.#options.until.position + 1) - due;
    return true;
  }

  #isBeyond({ position, at }: PendingUpdate): boolean {
    const { until } = this.#options;
    const recorded = this.#numbered ? position : this.#recorded + 1;
    this.#ended = recorded > until.position || at > until.at;
    return this.#ended;
  }

  #follow(candidate: ReadUpdate, updates: PendingUpdate[]): void {
    const { update } = candidate;
    const recorded = this.#numbered ? update.position : this.#recorded + 1;
    if (candidate.valueMissing) this.#evict(candidate);
    this.#mustBeWhole(candidate);
    let state = this.#stateOf(update.namespace);
    if (this.#numbered) state = this.#nextOf(state, candidate, updates);
    if (this.#renumbers(state, update, recorded)) this.#report.renumberedFrom ??= recorded;
    this.#recorded = recorded;
    this.#recordedFloor = floorAfter(this.#recordedFloor, update);
    this.#report.updates += 1;
    this.#give(state, update, updates);
    if (recorded >= this.#options.until.position) this.#ended = true;
  }

  #renumbers(state: NamespaceState, { version }: PendingUpdate, recorded: number): boolean {
    return this.#numbered === true && (recorded !== this.position + 1 || version !== nextVersion(state, this.#floor));
  }

  /** Returns the state that the update's version follows. With `repair` it may insert a drop first. */
  #nextOf(state: NamespaceState, candidate: ReadUpdate, updates: PendingUpdate[]): NamespaceState {
    const { update } = candidate;
    const isNew = state.version === 0;
    const due = isNew ? this.#recordedFloor + 1 : state.version + 1 + (this.#ahead.get(state.name) ?? 0);
    const isDropMissing = !isNew && (update.version < due || update.begins === true);
    if (update.version !== due || isDropMissing) {
      const at = isNew ? `begins above version ${due - 1}` : `is at version ${due - 1}`;
      const reason = `Its namespace ${at}, so it must have version ${due}, not ${update.version}.`;
      this.#note(problemOf('version', candidate, reason));
    }
    let follows = state;
    if (isDropMissing) {
      this.#give(state, dropOf(state, update.at), updates);
      this.#report.inserted += 1;
      follows = this.#stateOf(state.name);
    }
    if (update.begins === true) this.#recordedFloor = Math.max(this.#recordedFloor, update.version - 1);
    if (isNew || update.version !== due || isDropMissing)
      this.#ahead.set(state.name, update.version - nextVersion(follows, this.#floor));
    return follows;
  }

  /** Assigns a position to the update, folds it and hands it out. */
  #give(state: NamespaceState, update: PendingUpdate, updates: PendingUpdate[]): void {
    this.position += 1;
    update.position = this.position;
    update.version = nextVersion(state, this.#floor);
    const begins = beginsWith(state, update.version, this.#floor);
    if (begins !== undefined || update.begins !== undefined) update.begins = begins;
    update.replaced = update.key === null ? 0 : state.versionOf(update.key);
    apply(state, update);
    updates.push(update);
    this.#floor = floorAfter(this.#floor, update);
    if (state.version > 0) return;
    this.states.delete(state.name);
    this.#ahead.delete(state.name);
  }

  #stateOf(namespace: string): NamespaceState {
    let state = this.states.get(namespace);
    if (state === undefined) {
      state = new NamespaceState(namespace);
      this.states.set(namespace, state);
    }
    return state;
  }

  #evict(candidate: ReadUpdate): void {
    const reason = 'The message came without its value, which was too large for the topic.';
    this.#note(problemOf('value-missing', candidate, reason));
    const { update } = candidate;
    update.operation = 'evict';
    update.value = null;
    update.bytes = 0;
    update.expiresAt = null;
  }

  #mustBeWhole(candidate: ReadUpdate): void {
    const { clearKeys, update } = candidate;
    const missing = clearKeys === undefined ? 0 : clearKeys - (update.keys?.length ?? 0);
    if (missing === 0) return;
    const reason = `${missing} of the ${clearKeys} messages of a clear are missing: they were lost, or the capture began late.`;
    this.#note(problemOf('gap', candidate, reason));
  }

  #drop(problem: ReplayProblem): false {
    this.#note(problem);
    this.#report.dropped += 1;
    return false;
  }

  #note(problem: ReplayProblem): void {
    if (!this.#options.repair) throw new ReplayRefusedError(problem);
    this.#report.add(problem);
  }
}

function problemOf(kind: ReplayProblemKind, { line, update }: ReadUpdate, reason: string): ReplayProblem {
  const { position } = update;
  return { kind, reason, ...(line > 0 ? { line } : {}), ...(position > 0 ? { position } : {}) };
}

function gapReason(due: number, found: number, messages: boolean): string {
  const what = found - due === 1 ? `Position ${due} is missing` : `Positions ${due} to ${found - 1} are missing`;
  if (messages) {
    return `${what}: messages were lost, the capture began late, or these updates have no message (a touch has none).`;
  }
  const why =
    due === 1 ? 'was it exported with --from or --namespace?' : 'lines were lost, or it was exported in part.';
  return `${what}; ${why}`;
}

function dropOf({ name, version }: NamespaceState, at: number): PendingUpdate {
  return createUpdate({ namespace: name, version: version + 1, operation: 'clear_namespace', at, drop: true });
}

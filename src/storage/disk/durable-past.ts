import { apply } from '../../core/apply.ts';
import { type EntryRecord, NamespaceState } from '../../core/namespace-state.ts';
import type { Update } from '../../core/update.ts';
import { type Lineage, lineageOf } from '../lineage.ts';
import { beforeThePast, beyondTheLog, tooEarly } from '../log-errors.ts';
import type { PastSource, StateView } from '../past-source.ts';
import { readUpdate } from '../update-log.ts';
import type { LevelLog } from './log/level-log.ts';
import { stateAfter, wholly } from './past/past-state.ts';
import { CHUNK_UPDATES, type PastSummary } from './records/past-records.ts';
import type { StateTable } from './state/state-table.ts';

/** A user of the past: it needs every state from a position on. */
export interface Pinned {
  /** The oldest position whose state it reads. */
  readonly needs: number;
}

/** Dead references are removed when there are twice as many references as were alive last time, plus this number. */
const SWEEP = 64;

/** The present users of the past, held weakly: a user that has become garbage pins nothing. */
export class Pins {
  readonly #refs = new Set<WeakRef<Pinned>>();
  #sweepAt = SWEEP;

  /** Adds a user. Returns a function that removes it before it is garbage. */
  add(pinned: Pinned): () => void {
    const ref = new WeakRef(pinned);
    this.#refs.add(ref);
    if (this.#refs.size >= this.#sweepAt) {
      for (const each of this.#refs) if (each.deref() === undefined) this.#refs.delete(each);
      this.#sweepAt = 2 * this.#refs.size + SWEEP;
    }
    return () => void this.#refs.delete(ref);
  }

  /** The oldest position whose state is needed; `undefined` without a user. */
  get oldest(): number | undefined {
    let oldest: number | undefined;
    for (const ref of this.#refs) {
      const needs = ref.deref()?.needs;
      if (needs === undefined) this.#refs.delete(ref);
      else oldest = Math.min(oldest ?? needs, needs);
    }
    return oldest;
  }
}

/** The part of a log that a view uses; a `LevelLog` with `keepRecent` fits. */
interface RecentLog {
  /** Returns updates after the state table's checkpoint. */
  recent(from: number, to: number): Update[];
}

/**
 * The past in a data directory: read from the state table, and from the log for what the table does not contain yet.
 */
export class DurablePast implements PastSource {
  readonly lineage: Lineage;
  readonly #table: StateTable;
  readonly #log: LevelLog;
  readonly #pins = new Pins();

  /**
   * `log` belongs to the same directory and keeps what is after the table's checkpoint; `ancestors` are those of the
   * log.
   */
  constructor(table: StateTable, log: LevelLog, ancestors: Lineage = []) {
    this.lineage = lineageOf(log.id, ancestors);
    this.#table = table;
    this.#log = log;
  }

  get first(): number {
    return this.#table.since;
  }

  get pinned(): number | undefined {
    return this.#pins.oldest;
  }

  at(position: number): StateView {
    if (position > this.#log.head) throw beyondTheLog(position, this.#log.head);
    if (position < this.first) throw beforeThePast(position, this.first);
    return new DurableView(this.#table, this.#log, position, this.lineage, this.#pins);
  }

  present(): StateView {
    return this.at(this.#log.head);
  }

  positionAt(instant: number): number {
    const { past, begins, since, checkpoint } = this.#table;
    // Includes the last released update: the state before it can no longer be read.
    const gone = since - begins;
    const count = past.times.countUntil(instant, Math.max(0, gone - 1));
    if (count < gone) throw tooEarly(instant, since);
    if (begins + count < checkpoint) return begins + count;
    const later = this.#log.recent(checkpoint + 1, this.#log.head).find(({ at }) => at > instant);
    return later === undefined ? this.#log.head : later.position - 1;
  }

  *backwards(namespace: string): Generator<Update> {
    const { past, checkpoint } = this.#table;
    const view = this.at(this.first);
    try {
      const recent = this.#log.recent(checkpoint + 1, this.#log.head);
      const { count, firstChunk } = past.summary(namespace) ?? { count: 0, firstChunk: 0 };
      let reached = Number.POSITIVE_INFINITY;
      for (const update of recent.reverse()) {
        if (update.namespace !== namespace) continue;
        yield update;
        reached = update.position;
      }
      const chunks = past.reader();
      for (let ordinal = count - 1; ordinal >= firstChunk * CHUNK_UPDATES; ordinal -= 1) {
        // While the reader is slow, retention may remove the whole past of a namespace that has not changed since the
        // view. Updates that follow are then numbered from 0 again.
        if (ordinal >= (past.summary(namespace)?.count ?? 0)) return;
        const update = past.updateAt(namespace, ordinal, chunks);
        if (update.position <= view.position || update.position >= reached) return;
        yield update;
        reached = update.position;
      }
    } finally {
      view.release?.();
    }
  }

  updateAt(position: number): Promise<Update | undefined> {
    return readUpdate(this.#log, position);
  }
}

/** The updates after the state on disk, as of the first read. */
interface Beyond {
  readonly after: number;
  readonly updates: ReadonlyMap<string, readonly Update[]>;
}

/** A view of a position. Reads the state table, and the log for what the table does not contain yet. */
export class DurableView implements StateView, Pinned {
  readonly position: number;
  readonly lineage: Lineage;
  readonly release: () => void;
  readonly #table: StateTable;
  readonly #log: RecentLog;
  #known: Beyond | undefined;

  constructor(table: StateTable, log: RecentLog, position: number, lineage: Lineage, pins: Pins) {
    this.lineage = lineage;
    this.#table = table;
    this.#log = log;
    this.position = position;
    this.release = pins.add(this);
  }

  get needs(): number {
    // Once the table has reached the position it contains everything, so nothing from before is needed.
    if (this.#table.checkpoint >= this.position) this.#known = undefined;
    return this.#known?.after ?? this.position;
  }

  *names(): Generator<string> {
    const { after, updates } = this.#beyond();
    for (const name of this.#table.names()) {
      if (this.#table.past.last(name) === undefined && !updates.has(name)) yield name;
    }
    for (const summary of this.#table.past.summaries()) {
      if (!updates.has(summary.name) && this.#isThere(summary, after)) yield summary.name;
    }
    for (const [name, own] of updates) if (own.at(-1)?.drop === false) yield name;
  }

  has(namespace: string): boolean {
    const { after, updates } = this.#beyond();
    const last = updates.get(namespace)?.at(-1);
    if (last !== undefined) return !last.drop;
    const summary = this.#table.past.summary(namespace);
    return summary === undefined ? this.#table.has(namespace) : this.#isThere(summary, after);
  }

  /** Reads from the state table if the namespace has not changed since. */
  finder(namespace: string): ((key: string) => EntryRecord | undefined) | undefined {
    const { after, updates } = this.#beyond();
    if (updates.has(namespace) || !this.#table.keepsValues) return undefined;
    const last = this.#table.past.last(namespace);
    if (last !== undefined && last > after) return undefined;
    return (key) => this.#table.get(namespace, key);
  }

  state(namespace: string): NamespaceState | undefined {
    const { after, updates } = this.#beyond();
    const own = updates.get(namespace);
    let state = this.#stateAt(namespace, after);
    if (own !== undefined) {
      state ??= new NamespaceState(namespace);
      for (const update of own) apply(state, update);
    }
    return state === undefined || state.version === 0 ? undefined : state;
  }

  lastChange(namespace: string): number {
    const { after, updates } = this.#beyond();
    const last = updates.get(namespace)?.at(-1);
    if (last !== undefined) return last.position;
    const { past } = this.#table;
    const summary = past.summary(namespace);
    // The namespace has not changed since the start of the past.
    if (summary === undefined) return this.#table.summary(namespace)?.position ?? 0;
    const chunks = past.reader();
    const count = past.countAt(summary, after, chunks);
    if (count === 0) return past.frameAt(summary, 0)?.position ?? 0;
    return past.updateAt(namespace, count - 1, chunks).position;
  }

  /** Computed once: the checkpoint moves on, but what is before it now stays readable in the table. */
  #beyond(): Beyond {
    if (this.#known !== undefined) return this.#known;
    const after = Math.min(this.#table.checkpoint, this.position);
    const updates = new Map<string, Update[]>();
    for (const update of after < this.position ? this.#log.recent(after + 1, this.position) : []) {
      const own = updates.get(update.namespace);
      if (own === undefined) updates.set(update.namespace, [update]);
      else own.push(update);
    }
    this.#known = { after, updates };
    return this.#known;
  }

  #isThere(summary: PastSummary, position: number): boolean {
    const { name, lives, livedBefore } = summary;
    const ended = lives.findIndex((at) => at > position);
    const passed = ended === -1 ? lives.length : ended;
    if (passed > 0 || !livedBefore) return passed % 2 === 1;
    const { past } = this.#table;
    const chunks = past.reader();
    const count = past.countAt(summary, position, chunks);
    return count > 0 && !past.updateAt(name, count - 1, chunks).drop;
  }

  /** Reads the state at a position that the table has reached. */
  #stateAt(namespace: string, position: number): NamespaceState | undefined {
    const { past, keepsValues } = this.#table;
    const summary = past.summary(namespace);
    const isNow = summary === undefined || summary.last <= position;
    if (isNow && keepsValues) return this.#table.hydrate(namespace);
    if (summary === undefined) return undefined;
    return wholly(stateAfter(past, summary, past.countAt(summary, position, past.reader())));
  }
}

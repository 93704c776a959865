import { apply } from '../../core/apply.ts';
import { type EntryRecord, NamespaceState } from '../../core/namespace-state.ts';
import type { Update } from '../../core/update.ts';
import { type Lineage, lineageOf } from '../lineage.ts';
import { beforeThePast, beyondTheLog, closed, tooEarly } from '../log-errors.ts';
import type { PastSource, StateView } from '../past-source.ts';
import { type LogStatus, readUpdate } from '../update-log.ts';
import { stateAfter, wholly } from './index/past/past-state.ts';
import { CHUNK_UPDATES, type PastSummary } from './index/records/past-records.ts';
import type { StateTable } from './index/state/state-table.ts';
import type { DiskLog } from './log/disk-log.ts';

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

/** The part of a log that a view uses; a `DiskLog` fits. */
interface RecentLog {
  readonly status: LogStatus;
  /** Returns the updates between two positions after the base, both inclusive. */
  recent(from: number, to: number): Update[];
}

/** Number of updates that are read from the log at a time, where the index does not answer. */
const READ = 4096;
/**
 * A view keeps up to this many updates that the index lacks in memory. If it lacks more, each namespace is read from base
 * and log.
 */
const KEPT = 65_536;

/**
 * The past in a data directory: read from the index, and from the log for what the index does not contain yet or cannot
 * answer.
 */
export class DurablePast implements PastSource {
  readonly lineage: Lineage;
  readonly #table: StateTable;
  readonly #log: DiskLog;
  readonly #pins = new Pins();

  /** `log` belongs to the same directory; `ancestors` are those of the log. */
  constructor(table: StateTable, log: DiskLog, ancestors: Lineage = []) {
    this.lineage = lineageOf(log.id, ancestors);
    this.#table = table;
    this.#log = log;
  }

  get first(): number {
    return this.#table.since;
  }

  get reach(): number {
    return this.first;
  }

  get pinned(): number | undefined {
    return this.#pins.oldest;
  }

  at(position: number): StateView {
    assertOpen(this.#log);
    if (position > this.#log.head) throw beyondTheLog(position, this.#log.head);
    if (position < this.first) throw beforeThePast(position, this.first);
    return new DurableView(this.#table, this.#log, position, this.lineage, this.#pins);
  }

  present(): StateView {
    return this.at(this.#log.head);
  }

  positionAt(instant: number): number {
    assertOpen(this.#log);
    const { past, begins, since, checkpoint } = this.#table;
    // Includes the last released update: the state before it can no longer be read.
    const gone = since - begins;
    const inIndex = () => begins + past.times.countUntil(instant, Math.max(0, gone - 1));
    const position = this.#table.readOr<number | undefined>(inIndex, () => undefined);
    if (position !== undefined && position < since) throw tooEarly(instant, since);
    if (position !== undefined && position < checkpoint) return position;
    const { head } = this.#log;
    for (let from = (position === undefined ? since : checkpoint) + 1; from <= head; from += READ) {
      const later = this.#log.recent(from, Math.min(head, from + READ - 1)).find(({ at }) => at > instant);
      if (later !== undefined) return later.position - 1;
    }
    return head;
  }

  *backwards(namespace: string): Generator<Update> {
    const view = this.at(this.first);
    try {
      // Read together: the index goes on while the reader is slow.
      const { checkpoint, generation, past } = this.#table;
      const { count = 0 } = past.summary(namespace) ?? {};
      yield* this.#inLog(namespace, checkpoint, this.#log.head);
      const reached = yield* this.#inIndex(namespace, view.position, { checkpoint, generation, count });
      if (reached !== undefined) yield* this.#inLog(namespace, view.position, reached);
    } finally {
      view.release?.();
    }
  }

  updates(through: number, after = 0): AsyncIterable<readonly Update[]> {
    return this.#log.read(Math.max(this.#log.first, after + 1), through);
  }

  updateAt(position: number): Promise<Update | undefined> {
    return readUpdate(this.#log, position);
  }

  /**
   * Yields the updates after `since` from the index as it was: up to `checkpoint`, with `count` updates of the namespace.
   * Returns `undefined` if it could, otherwise the position up to which updates are missing.
   */
  *#inIndex(
    namespace: string,
    since: number,
    {
      checkpoint,
      generation,
      count,
    }: { readonly checkpoint: number; readonly generation: number; readonly count: number },
  ): Generator<Update, number | undefined> {
    const { past } = this.#table;
    const { firstChunk } = past.summary(namespace) ?? { firstChunk: 0 };
    const chunks = past.reader.chunks();
    let reached = checkpoint + 1;
    for (let ordinal = count - 1; ordinal >= firstChunk * CHUNK_UPDATES; ordinal -= 1) {
      // While the reader is slow, the index may be rebuilt. Ordinals then belong to other updates.
      if (this.#table.generation !== generation) return reached - 1;
      // Retention may remove the whole past of a namespace that has not changed since the view. Updates that follow are
      // then numbered from 0 again.
      if (ordinal >= (past.summary(namespace)?.count ?? 0)) return undefined;
      const read = (): Update | 'end' => {
        const position = past.reader.positionAt(namespace, ordinal, chunks);
        return position <= since || position >= reached ? 'end' : past.reader.updateAt(namespace, ordinal, chunks);
      };
      const update = this.#table.readOr<Update | 'end' | undefined>(read, () => undefined);
      if (update === undefined) return reached - 1;
      if (update === 'end') return undefined;
      yield update;
      reached = update.position;
    }
    return this.#table.generation === generation && this.#table.isReadable ? undefined : reached - 1;
  }

  /** Yields the updates of a namespace after `since` and up to `until`, latest first. */
  *#inLog(namespace: string, since: number, until: number): Generator<Update> {
    for (let to = until; to > since; to -= READ) {
      const updates = this.#log.recent(Math.max(since + 1, to - READ + 1), to);
      for (const update of updates.reverse()) {
        if (update.namespace !== namespace) continue;
        // It may have been closed since the last one.
        assertOpen(this.#log);
        yield update;
      }
    }
  }
}

/** The updates after the state on disk, as of the first read. */
interface Beyond {
  readonly after: number;
  /** Generation of the table. */
  readonly generation: number;
  readonly updates: ReadonlyMap<string, readonly Update[]>;
}

/**
 * A view of a position. Reads the index, and the log for what the index does not contain yet. If the index cannot
 * answer, it reads base and log.
 */
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
    assertOpen(this.#log);
    if (this.#isFar) {
      yield* this.#table.truth.names(this.position);
      return;
    }
    const { after, updates } = this.#beyond();
    const { past } = this.#table;
    for (const name of this.#table.names()) {
      if (past.last(name) === undefined && !updates.has(name)) yield name;
    }
    for (const summary of past.summaries()) {
      if (!updates.has(summary.name) && this.#isThere(summary, after)) yield summary.name;
    }
    for (const [name, own] of updates) if (own.at(-1)?.drop === false) yield name;
  }

  has(namespace: string): boolean {
    assertOpen(this.#log);
    if (this.#isFar) return this.#table.truth.summaryAt(namespace, this.position) !== undefined;
    const { after, updates } = this.#beyond();
    const last = updates.get(namespace)?.at(-1);
    if (last !== undefined) return !last.drop;
    const summary = this.#table.past.summary(namespace);
    return summary === undefined ? this.#table.has(namespace) : this.#isThere(summary, after);
  }

  /** Reads from the state table if the namespace has not changed since. */
  finder(namespace: string): ((key: string) => EntryRecord | undefined) | undefined {
    assertOpen(this.#log);
    if (this.#isFar || !this.#table.keepsValues) return undefined;
    const { after, updates } = this.#beyond();
    if (updates.has(namespace)) return undefined;
    const last = this.#table.past.last(namespace);
    if (last !== undefined && last > after) return undefined;
    return (key) => this.#table.get(namespace, key);
  }

  state(namespace: string): NamespaceState | undefined {
    assertOpen(this.#log);
    if (this.#isFar) return this.#table.truth.stateAt(namespace, this.position);
    const { after, updates } = this.#beyond();
    const own = updates.get(namespace);
    let state = this.#table.readOr(
      () => this.#stateAt(namespace, after),
      () => this.#table.truth.stateAt(namespace, after),
    );
    if (own !== undefined) {
      state ??= new NamespaceState(namespace);
      for (const update of own) apply(state, update);
    }
    return state === undefined || state.version === 0 ? undefined : state;
  }

  lastChange(namespace: string): number {
    assertOpen(this.#log);
    const { truth } = this.#table;
    if (this.#isFar) return truth.lastChange(namespace, this.position);
    const { after, updates } = this.#beyond();
    const last = updates.get(namespace)?.at(-1);
    if (last !== undefined) return last.position;
    return this.#table.readOr(
      () => this.#lastChange(namespace, after),
      () => truth.lastChange(namespace, after),
    );
  }

  #lastChange(namespace: string, position: number): number {
    const { past } = this.#table;
    const summary = past.summary(namespace);
    // The namespace has not changed since the start of the past.
    if (summary === undefined) return this.#table.summary(namespace)?.position ?? 0;
    const chunks = past.reader.chunks();
    const count = past.reader.countAt(summary, position, chunks);
    if (count === 0) return past.reader.frameAt(summary, 0)?.position ?? 0;
    return past.reader.positionAt(namespace, count - 1, chunks);
  }

  /** `true` if the table lacks too many updates, or everything. */
  get #isFar(): boolean {
    return !this.#table.isLoaded || this.position - this.#table.checkpoint > KEPT;
  }

  /**
   * Computed once: the checkpoint moves on, but what is before it now stays readable in the table, unless the index is
   * rebuilt.
   */
  #beyond(): Beyond {
    const { generation, checkpoint } = this.#table;
    if (this.#known?.generation === generation) return this.#known;
    const after = Math.min(checkpoint, this.position);
    const updates = new Map<string, Update[]>();
    for (const update of after < this.position ? this.#log.recent(after + 1, this.position) : []) {
      const own = updates.get(update.namespace);
      if (own === undefined) updates.set(update.namespace, [update]);
      else own.push(update);
    }
    this.#known = { after, generation, updates };
    return this.#known;
  }

  #isThere(summary: PastSummary, position: number): boolean {
    const { name, lives, livedBefore } = summary;
    const ended = lives.findIndex((at) => at > position);
    const passed = ended === -1 ? lives.length : ended;
    if (passed > 0 || !livedBefore) return passed % 2 === 1;
    const { past, truth } = this.#table;
    const inIndex = () => {
      const chunks = past.reader.chunks();
      const count = past.reader.countAt(summary, position, chunks);
      return count > 0 && !past.reader.isDropAt(name, count - 1, chunks);
    };
    return this.#table.readOr(inIndex, () => truth.summaryAt(name, position) !== undefined);
  }

  /** Reads the state at a position that the table has reached. */
  #stateAt(namespace: string, position: number): NamespaceState | undefined {
    const { past, keepsValues } = this.#table;
    const summary = past.summary(namespace);
    const isNow = summary === undefined || summary.last <= position;
    if (isNow && keepsValues) return this.#table.hydrate(namespace);
    if (summary === undefined) return undefined;
    const count = past.reader.countAt(summary, position, past.reader.chunks());
    const state = wholly(stateAfter(past.reader, summary, count));
    return state.version === 0 ? undefined : state;
  }
}

/** Refuses to read a log that was closed, also what is still in memory. */
function assertOpen({ status }: { readonly status: LogStatus }): void {
  if (status === 'closed') throw closed();
}

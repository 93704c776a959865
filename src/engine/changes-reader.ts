import { WatchHub } from '../actors/watch-hub.ts';
import type { Changes, ChangesOptions, PlainChanges } from '../core/changes.ts';
import { plainChanges } from '../core/changes.ts';
import { joined, narrowed } from '../core/cleared-keys.ts';
import type { Clock } from '../core/clock.ts';
import { ContextCacheError } from '../core/errors.ts';
import { openedUpdate } from '../core/opened.ts';
import type { Report } from '../core/report.ts';
import { withNotes } from '../core/retraction.ts';
import type { SubjectDoor } from '../core/sealed.ts';
import { ChangeOrder } from '../core/tables/change-order.ts';
import { TimeSlice } from '../core/time-slice.ts';
import type { Update } from '../core/update.ts';
import { type See, UpdateFilter } from '../core/update-filter.ts';
import type { Activity } from '../monitoring/activity.ts';
import { closed } from '../storage/log-errors.ts';
import type { NamespaceRegistry } from '../storage/namespace-registry.ts';
import type { PastSource } from '../storage/past-source.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import type { Sequencer } from './sequencer.ts';

/** Indexes that are kept: those that were used last. */
const KEPT_ORDERS = 64;
/** Changes in all indexes together. */
const KEPT_CHANGES = 1_000_000;
/** Their number is checked after this many updates that were taken into an index. */
const CHECKED_CHANGES = 4096;
/** Bytes of values in a page, unless one alone is larger. */
const PAGE_BYTES = 4 * 1024 * 1024;
/** Times that a page waits for updates that are being written, before it ends ahead of them. */
const WAITS = 3;

/** Dependencies of a {@link ChangesReader}. */
export interface ChangesParts {
  readonly log: UpdateLog;
  readonly past: PastSource;
  readonly registry: NamespaceRegistry;
  readonly clock: Clock;
  readonly report: Report;
  readonly activity: Activity;
  readonly subjects: SubjectDoor;
  /** `true` if a primary of the user's own keeps the values. */
  readonly hasPrimary: boolean;
  /** Changes in all indexes together; more make the reader forget the index that was used longest ago. Default 1,000,000. */
  readonly maxChanges?: number | undefined;
  /** The node of a cluster. Once it has left service, no read is answered. */
  readonly sequencer?: Pick<Sequencer, 'failure'> | undefined;
}

/** The index of the changes of one selection of namespaces. */
interface Kept {
  readonly order: ChangeOrder;
  /** The index holds every change after this position. */
  readonly floor: number;
  /** `true` for the changes of several namespaces, which are read from the log. */
  readonly ofSeveral: boolean;
  /** The index holds every change up to this position; `Infinity` as long as it is kept up to date. */
  until: number;
  /** Stops keeping it up to date. */
  readonly stop: () => void;
}

/**
 * Answers which keys have changed since a position. The first question about a selection of namespaces reads their updates
 * since then once: those of one namespace through the index of its past, those of several from the log. From then on an
 * index in memory is kept up to date by commits, so that an answer costs as much as it holds.
 */
export class ChangesReader {
  readonly #parts: ChangesParts;
  /** Keeps the indexes up to date. They do not count as watchers of the cache. */
  readonly #commits: WatchHub;
  /** By selection; the one used last is at the end. */
  readonly #kept = new Map<string, Kept>();
  /** Indexes that are being built. */
  readonly #building = new Map<string, Promise<Kept>>();
  /** Updates taken into an index since the number of changes was checked. */
  #uncheckedChanges = 0;

  constructor(parts: ChangesParts) {
    this.#parts = parts;
    this.#commits = new WatchHub(parts.log, parts.report);
  }

  /** Number of changes in all indexes. */
  get size(): number {
    return [...this.#kept.values()].reduce((sum, { order }) => sum + order.size, 0);
  }

  /** Reads a page of changes; see {@link ChangesOptions}. Opens and returns of each change what `see` returns. */
  read(options: ChangesOptions, see?: See): Promise<Changes> {
    const { activity } = this.#parts;
    const meter = activity.meter('context.changes');
    const run = () => this.#read(options, see);
    return meter.begins() ? activity.read(meter, {}, run, ({ changes }) => changes.length) : run();
  }

  async #read(options: ChangesOptions, see: See | undefined): Promise<Changes> {
    const failure = this.#parts.sequencer?.failure;
    if (failure !== undefined) throw failure;
    const plain = plainChanges(options);
    const { log, hasPrimary } = this.#parts;
    if (log.status === 'closed') throw closed();
    if (hasPrimary) {
      const remedy = 'Read the values from it, and watch with since.';
      throw invalid(`changes is not available with a primary of your own, which keeps the values. ${remedy}`);
    }
    const { since } = plain;
    if (since > log.head) throw invalid(`since must be a position of this log, from 0 to ${log.head}.`);
    for (let waits = 0; ; waits += 1) {
      // Looked for again after each wait: it may have been forgotten meanwhile.
      const page = this.#page(await this.#orderOf(plain), plain, see);
      if (!page.isCut || waits === WAITS) return { changes: page.changes, next: page.next, more: page.more };
      await log.flush();
    }
  }

  /** `isCut`: the page ends at a key with an update that is being written, or with the last update of a forgotten index. */
  #page(
    { order, until }: Kept,
    { since, limit }: PlainChanges,
    see: See | undefined,
  ): Changes & { readonly isCut: boolean } {
    const changes: Update[] = [];
    let bytes = 0;
    let next = since;
    let count = 0;
    for (const change of order.after(since)) {
      // The keys of one clear stay together.
      const isNext = change.position !== next;
      const isFull = isNext && (count === limit || (bytes > 0 && bytes + change.bytes > PAGE_BYTES));
      const seen = see === undefined ? change : see(change);
      const update = isFull ? undefined : this.#present(seen ?? change, seen !== undefined);
      // Its value is not committed yet: it comes with a later position, or not at all.
      if (update === undefined) return { changes: joined(changes), next, more: true, isCut: !isFull };
      if (seen !== undefined) changes.push(update);
      if (isNext) count += 1;
      bytes += update.bytes;
      next = change.position;
    }
    const { committed } = this.#parts.log;
    const isCut = until < committed;
    return { changes: joined(changes), next: Math.max(since, Math.min(until, committed)), more: isCut, isCut };
  }

  /** Returns a change as a caller sees it, opened only if it is seen; `undefined` if the entry has changed since the last commit. */
  #present(change: Update, isSeen: boolean): Update | undefined {
    const { namespace, key, operation, version } = change;
    if (key === null || (operation !== 'set' && operation !== 'touch')) return withNotes({ ...change });
    const entry = this.#parts.registry.record(namespace, key);
    if (entry?.version !== version) return undefined;
    const present = { ...change, operation: 'set', value: entry.value ?? null, bytes: entry.bytes } as const;
    return isSeen ? openedUpdate<Update>(this.#parts.subjects, present) : present;
  }

  async #orderOf(plain: PlainChanges): Promise<Kept> {
    const selection = JSON.stringify([plain.namespace ?? null, plain.prefix ?? null]);
    for (;;) {
      this.#mustBeKept(plain);
      const building = this.#building.get(selection);
      if (building === undefined) break;
      // A failure is that of another call.
      await building.catch(() => {});
    }
    const known = this.#kept.get(selection);
    if (known !== undefined && known.floor <= plain.since) {
      this.#keep(selection, known);
      return known;
    }
    const built = this.#build(plain).finally(() => this.#building.delete(selection));
    this.#building.set(selection, built);
    const kept = await built;
    this.#keep(selection, kept);
    return kept;
  }

  async #build(plain: PlainChanges): Promise<Kept> {
    const { log } = this.#parts;
    const { since, namespace, prefix } = plain;
    const filter = new UpdateFilter({ namespace, namespacePrefix: prefix });
    const order = new ChangeOrder();
    let waiting: Update[] | undefined = [];
    const through = log.committed;
    const stop = this.#commits.add(filter.plain, (update) => {
      if (waiting !== undefined) waiting.push(update);
      else {
        order.add(update);
        this.#count();
      }
    });
    try {
      if (namespace !== undefined) await this.#readNamespace(namespace, since, through, order);
      else if (since < through) await this.#readLog(filter, since, through, order);
      // Retention may have discarded meanwhile what was read.
      this.#mustBeKept(plain);
    } catch (error) {
      stop();
      throw error;
    }
    for (const update of waiting) order.add(update);
    waiting = undefined;
    const kept: Kept = {
      ...{ order, floor: since, ofSeveral: namespace === undefined, until: Number.POSITIVE_INFINITY },
      stop: () => {
        stop();
        kept.until = log.committed;
      },
    };
    return kept;
  }

  async #readNamespace(namespace: string, since: number, through: number, order: ChangeOrder): Promise<void> {
    const slice = new TimeSlice(this.#parts.clock);
    const changes: Update[] = [];
    const seen = new Set<string>();
    for (const update of this.#parts.past.backwards(namespace)) {
      if (slice.over) await slice.pause();
      const { position, key, operation } = update;
      if (position <= since) break;
      if (position > through || (key !== null && seen.has(key))) continue;
      const last = operation === 'clear' ? narrowed(update, (each) => !seen.has(each)) : update;
      if (last !== undefined) changes.push(last);
      // Nothing before a clear of the namespace is the last update of a key.
      if (operation === 'clear_namespace') break;
      for (const each of update.keys ?? [key as string]) seen.add(each);
    }
    for (const change of changes.reverse()) order.add(change);
  }

  async #readLog(filter: UpdateFilter, since: number, through: number, order: ChangeOrder): Promise<void> {
    const { log, clock } = this.#parts;
    const slice = new TimeSlice(clock);
    for await (const updates of log.read(since + 1, through)) {
      for (const update of updates) if (filter.of(update) !== undefined) order.add(update);
      if (slice.over) await slice.pause();
    }
  }

  /** Makes an index the one used last. */
  #keep(selection: string, kept: Kept): void {
    const before = this.#kept.get(selection);
    if (before !== kept) before?.stop();
    this.#kept.delete(selection);
    kept.order.trim(this.#floorOf(kept.ofSeveral));
    this.#kept.set(selection, kept);
    this.#forgetSome();
  }

  /** Counts an update that an index has taken. Some are forgotten once the commit has reached all of them. */
  #count(): void {
    this.#uncheckedChanges += 1;
    if (this.#uncheckedChanges < CHECKED_CHANGES) return;
    this.#uncheckedChanges = 0;
    queueMicrotask(() => this.#forgetSome());
  }

  #forgetSome(): void {
    const { maxChanges = KEPT_CHANGES } = this.#parts;
    let { size } = this;
    for (const [oldest, { order, stop }] of this.#kept) {
      if (this.#kept.size <= KEPT_ORDERS && size <= maxChanges) return;
      size -= order.size;
      this.#kept.delete(oldest);
      stop();
    }
  }

  /** Position after which all changes can be read. */
  #floorOf(ofSeveral: boolean): number {
    const { log, past } = this.#parts;
    return ofSeveral ? log.first - 1 : past.reach;
  }

  #mustBeKept({ since, namespace }: PlainChanges): void {
    const floor = this.#floorOf(namespace === undefined);
    if (since >= floor) return;
    throw new ContextCacheError(
      'POSITION_UNAVAILABLE',
      `The changes after position ${since} are no longer known: updates are kept from position ${floor + 1} on. Read the ` +
        `present entries and go on from their position, as watch does with include: 'snapshot', or keep more with ` +
        'log.keepUpdates, keepMs or keepBytes.',
    );
  }
}

function invalid(message: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', message);
}

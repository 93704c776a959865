import { ContextCacheError } from '../../core/errors.ts';
import { copyOf } from '../../core/namespace-state.ts';
import type { Update } from '../../core/update.ts';
import { type Lineage, lineageOf } from '../lineage.ts';
import { beforeThePast, beyondTheLog, tooEarly } from '../log-errors.ts';
import type { NamespaceRegistry } from '../namespace-registry.ts';
import type { PastSource, StateView } from '../past-source.ts';
import { readUpdate } from '../update-log.ts';
import { FoldedBase } from './folded-base.ts';
import type { MemoryLog } from './memory-log.ts';
import { FoldedView, GivenView, PresentView } from './views.ts';

/** Dependencies of {@link MemoryPast}. */
export interface MemoryPastParts {
  readonly log: MemoryLog;
  /** The registry as of the log's head, before anything is appended. */
  readonly registry: NamespaceRegistry;
  /** `true` if the registry holds the values, `false` if an external primary does. */
  readonly keepsValues: boolean;
  /** The state at the log's head. Default: a copy of what is in the registry. */
  readonly base?: StateView | undefined;
  /** The lineage of the log that this one was forked from. Default: none. */
  readonly ancestors?: Lineage | undefined;
}

/** Number of updates read at a time on the way back. */
const BACKWARDS = 1_024;

/**
 * The past of a cache in memory. Every position can be read while the log holds everything since its start, or while
 * what it releases is folded into the state at its start. Otherwise only the present can be read. A view owns what it
 * shows.
 */
export class MemoryPast implements PastSource {
  readonly lineage: Lineage;
  readonly #log: MemoryLog;
  readonly #registry: NamespaceRegistry;
  readonly #keepsValues: boolean;
  readonly pinned = undefined;
  /** Start of the log: position 0, that of a restored snapshot, or the position up to which updates were folded. */
  #begin: number;
  /** The state at the start; `undefined` once the log has released updates after it. */
  #base: StateView | undefined;
  /** Folds in what the log releases, once that is asked for. */
  #folded: FoldedBase | undefined;
  /** Views that still read their updates from the log. */
  #lazy: WeakRef<FoldedView>[] = [];
  #sweepAt = 64;

  constructor({ log, registry, keepsValues, base, ancestors }: MemoryPastParts) {
    this.lineage = lineageOf(log.id, ancestors);
    this.#log = log;
    this.#registry = registry;
    this.#keepsValues = keepsValues;
    this.#begin = log.head;
    const states = () => new Map(Array.from(registry.records(), ({ name, state }) => [name, copyOf(state)]));
    this.#base = base ?? new GivenView(log.head, this.lineage, states());
    log.beforeRelease(() => this.#holdAll());
  }

  /**
   * From now on folds what the log releases, so that the past goes back as far as the log. Requires that it does so
   * now.
   */
  foldReleased(): void {
    const base = this.#base;
    if (this.#folded !== undefined || base === undefined || !this.isWhole) return;
    const folded = new FoldedBase(base);
    this.#folded = folded;
    this.#log.onRelease((update) => {
      if (this.#base === undefined) return;
      try {
        folded.fold(update);
        this.#begin = update.position;
      } catch {
        // The base of a branch cannot be read after its parent is shut down, so only the present is left.
        this.#base = undefined;
        this.#folded = undefined;
      }
    });
  }

  get first(): number {
    return this.isWhole ? this.#begin : this.#log.head;
  }

  get reach(): number {
    return this.#log.first - 1;
  }

  /** `true` if every position since the start of the log can be read. */
  get isWhole(): boolean {
    return this.#log.first === this.#begin + 1;
  }

  at(position: number): StateView {
    const { head } = this.#log;
    if (position > head) throw beyondTheLog(position, head);
    if (position < this.#begin) throw beforeThePast(position, this.#begin);
    if (this.#base !== undefined && this.isWhole) return this.#foldedAt(position, this.#folded?.view() ?? this.#base);
    if (position === head && this.#keepsValues) return this.present();
    throw this.#gone(position);
  }

  present(): StateView {
    const { head } = this.#log;
    return this.#keepsValues ? new PresentView(head, this.lineage, this.#registry) : this.at(head);
  }

  positionAt(instant: number): number {
    const { first, head } = this.#log;
    const later = this.#log.recent(first, head).find(({ at }) => at > instant);
    if (this.isWhole && instant < (this.#folded?.latest ?? instant)) throw tooEarly(instant, this.#begin);
    if (later === undefined) return head;
    // The updates that the log has released may contain a later instant, too.
    if (!this.isWhole) throw this.#gone(later.position - 1);
    return later.position - 1;
  }

  *backwards(namespace: string): Generator<Update> {
    const log = this.#log;
    // Skips what the log releases meanwhile.
    for (let to = log.head; to >= log.first; to -= BACKWARDS) {
      const updates = log.recent(Math.max(log.first, to - BACKWARDS + 1), to);
      for (const update of updates.reverse()) if (update.namespace === namespace) yield update;
    }
  }

  updates(through: number, after = 0): AsyncIterable<readonly Update[]> {
    return this.#log.read(Math.max(this.#log.first, after + 1), through);
  }

  updateAt(position: number): Promise<Update | undefined> {
    return readUpdate(this.#log, position);
  }

  /** Costs nothing until it is read. */
  #foldedAt(position: number, base: StateView): StateView {
    const view = new FoldedView(position, this.lineage, base, () => this.#log.recent(this.#begin + 1, position));
    this.#lazy.push(new WeakRef(view));
    if (this.#lazy.length >= this.#sweepAt) {
      this.#lazy = this.#lazy.filter((each) => each.deref() !== undefined);
      this.#sweepAt = Math.max(64, 2 * this.#lazy.length);
    }
    return view;
  }

  /** Lets all lazy views take their updates. Returns whether to be called again next time. */
  #holdAll(): boolean {
    for (const each of this.#lazy) each.deref()?.hold();
    this.#lazy = [];
    if (this.#folded !== undefined) return true;
    this.#base = undefined;
    return false;
  }

  #gone(position: number): ContextCacheError {
    return new ContextCacheError(
      'POSITION_UNAVAILABLE',
      `The state at position ${position} is no longer kept: the log in memory has released everything before ` +
        `${this.#log.first}. Open the cache with a data directory (dataDir), or raise log.capacityUpdates.`,
    );
  }
}

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

/** What a {@link MemoryPast} is made of. */
export interface MemoryPastParts {
  readonly log: MemoryLog;
  /** As of the log's head, before anything is appended. */
  readonly registry: NamespaceRegistry;
  /** Whether the registry holds the values, which a primary of the user's own else does. */
  readonly keepsValues: boolean;
  /** The state at the log's head. Default: a copy of what is in the registry. */
  readonly base?: StateView | undefined;
  /** What the log was forked from. Default: nothing. */
  readonly ancestors?: Lineage | undefined;
}

/** Updates read at once on the way back. */
const BACKWARDS = 1_024;

/**
 * The past of a cache in memory: of the log, while that still holds everything since it began, or what it lets go of is
 * folded into the state that it begins with. Else only the present can be seen. A moment has all that it shows.
 */
export class MemoryPast implements PastSource {
  readonly lineage: Lineage;
  readonly #log: MemoryLog;
  readonly #registry: NamespaceRegistry;
  readonly #keepsValues: boolean;
  readonly pinned = undefined;
  /** The log's begin: where it was empty, or what a restored snapshot held, or how far it was folded. */
  #begin: number;
  /** The state there; `undefined` once the log has let go of what comes after it. */
  #base: StateView | undefined;
  /** Goes on with what the log lets go of, once that is wanted. */
  #folded: FoldedBase | undefined;
  /** Those that have not taken their updates out of the log yet. */
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

  /** From now on the past goes back as far as the log does, where it did until now. */
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
        // What a branch begins with cannot be read any more, its parent being shut down: only the present is left.
        this.#base = undefined;
        this.#folded = undefined;
      }
    });
  }

  get first(): number {
    return this.isWhole ? this.#begin : this.#log.head;
  }

  /** Whether every position since the log's begin can be seen. */
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
    // What the log has let go of may hold a later instant, too.
    if (!this.isWhole) throw this.#gone(later.position - 1);
    return later.position - 1;
  }

  *backwards(namespace: string): Generator<Update> {
    const log = this.#log;
    // What the log lets go of meanwhile is not there any more.
    for (let to = log.head; to >= log.first; to -= BACKWARDS) {
      const updates = log.recent(Math.max(log.first, to - BACKWARDS + 1), to);
      for (const update of updates.reverse()) if (update.namespace === namespace) yield update;
    }
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

  /** Says whether it wants to be told the next time, too. */
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
      `The state at position ${position} can not be told any more: the log in memory has let go of what came before ` +
        `${this.#log.first}. Open the cache with a data directory (dataDir), or raise log.capacityUpdates.`,
    );
  }
}

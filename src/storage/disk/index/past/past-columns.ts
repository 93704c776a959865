import { NameSet, type NameTable, NO_SLOT } from '../../../../core/tables/name-table.ts';
import { NumberColumn } from '../../../../core/tables/number-column.ts';
import type { PastSummary } from '../records/past-records.ts';

/** Fields that few namespaces need: all but those that exist since their only birth and have released nothing. */
type Rarely = Pick<PastSummary, 'lives' | 'livedBefore' | 'keyframe'>;

/**
 * The pasts of namespaces, in columns. Takes a fifth of the memory of a `Map` of {@link PastSummary}s; objects are
 * created only for readers.
 */
export class PastColumns {
  readonly #names: NameSet;
  readonly #count = new NumberColumn();
  readonly #last = new NumberColumn();
  readonly #frames = new NumberColumn();
  readonly #framedAt = new NumberColumn();
  readonly #weight = new NumberColumn();
  readonly #firstChunk = new NumberColumn();
  readonly #firstFrame = new NumberColumn();
  /** The only birth of a namespace that has nothing in `#rarely`. */
  readonly #born = new NumberColumn();
  readonly #columns = [
    ...[this.#count, this.#last, this.#frames, this.#framedAt, this.#weight],
    ...[this.#firstChunk, this.#firstFrame, this.#born],
  ];
  readonly #rarely = new Map<number, Rarely>();

  constructor(names: NameTable) {
    this.#names = new NameSet(names);
  }

  get(name: string): PastSummary | undefined {
    const slot = this.#names.find(name);
    return slot === NO_SLOT ? undefined : this.#at(slot, name);
  }

  set(summary: PastSummary): void {
    const slot = this.#names.add(summary.name);
    this.#count.set(slot, summary.count);
    this.#last.set(slot, summary.last);
    this.#frames.set(slot, summary.frames);
    this.#framedAt.set(slot, summary.framedAt);
    this.#weight.set(slot, summary.weight);
    this.#firstChunk.set(slot, summary.firstChunk);
    this.#firstFrame.set(slot, summary.firstFrame);
    const { lives, livedBefore, keyframe } = summary;
    const [born = 0] = lives;
    const isPlain = lives.length === 1 && !livedBefore && keyframe === undefined;
    this.#born.set(slot, isPlain ? born : 0);
    if (isPlain) this.#rarely.delete(slot);
    else this.#rarely.set(slot, { lives, livedBefore, keyframe });
  }

  delete(name: string): void {
    const slot = this.#names.delete(name);
    if (slot !== NO_SLOT) this.#forget(slot);
  }

  /** Forgets all namespaces. Nothing may use this object afterwards, because the names are shared. */
  clear(): void {
    for (const slot of this.#names.slots()) this.#forget(slot);
    this.#names.clear();
  }

  /** Returns the position of the namespace's last update, or `undefined` if it has no past. */
  last(name: string): number | undefined {
    const slot = this.#names.find(name);
    return slot === NO_SLOT ? undefined : this.#last.get(slot);
  }

  /** Iterates over the names, in no particular order. */
  names(): Iterable<string> {
    return this.#names.names();
  }

  /** Iterates over the summaries, in no particular order. */
  *values(): Generator<PastSummary> {
    for (const slot of this.#names.slots()) yield this.#at(slot, this.#names.table.nameAt(slot));
  }

  #at(slot: number, name: string): PastSummary {
    const { lives, livedBefore, keyframe } = this.#rarely.get(slot) ?? this.#plain(slot);
    return {
      name,
      count: this.#count.get(slot),
      last: this.#last.get(slot),
      frames: this.#frames.get(slot),
      framedAt: this.#framedAt.get(slot),
      weight: this.#weight.get(slot),
      lives,
      livedBefore,
      firstChunk: this.#firstChunk.get(slot),
      firstFrame: this.#firstFrame.get(slot),
      keyframe,
    };
  }

  #plain(slot: number): Rarely {
    return { lives: [this.#born.get(slot)], livedBefore: false, keyframe: undefined };
  }

  #forget(slot: number): void {
    for (const column of this.#columns) column.reset(slot);
    this.#rarely.delete(slot);
  }
}

import { NameSet, type NameTable, NOWHERE } from '../../../core/tables/name-table.ts';
import { NumberColumn } from '../../../core/tables/number-column.ts';
import type { PastSummary } from '../records/past-records.ts';

/** What few namespaces have: another past than being there since one birth, with nothing let go of. */
type Rarely = Pick<PastSummary, 'lives' | 'livedBefore' | 'keyframe'>;

/**
 * The pasts of namespaces, as a Map of {@link PastSummary}s would hold them, in a fifth of the room. The objects are
 * made for whoever asks for one.
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
  /** The only birth, of those that have nothing in `#rarely`. */
  readonly #born = new NumberColumn();
  readonly #rarely = new Map<number, Rarely>();

  constructor(names: NameTable) {
    this.#names = new NameSet(names);
  }

  get(name: string): PastSummary | undefined {
    const place = this.#names.find(name);
    return place === NOWHERE ? undefined : this.#at(place, name);
  }

  set(summary: PastSummary): void {
    const place = this.#names.add(summary.name);
    this.#count.set(place, summary.count);
    this.#last.set(place, summary.last);
    this.#frames.set(place, summary.frames);
    this.#framedAt.set(place, summary.framedAt);
    this.#weight.set(place, summary.weight);
    this.#firstChunk.set(place, summary.firstChunk);
    this.#firstFrame.set(place, summary.firstFrame);
    const { lives, livedBefore, keyframe } = summary;
    const [born = 0] = lives;
    const isPlain = lives.length === 1 && !livedBefore && keyframe === undefined;
    this.#born.set(place, isPlain ? born : 0);
    if (isPlain) this.#rarely.delete(place);
    else this.#rarely.set(place, { lives, livedBefore, keyframe });
  }

  delete(name: string): void {
    const place = this.#names.delete(name);
    if (place !== NOWHERE) this.#forget(place);
  }

  /** Lets go of all. Call it once nobody uses this any more: the names are shared. */
  clear(): void {
    for (const place of this.#names.places()) this.#forget(place);
    this.#names.clear();
  }

  /** Position of the namespace's last update; `undefined` where it has no past. */
  last(name: string): number | undefined {
    const place = this.#names.find(name);
    return place === NOWHERE ? undefined : this.#last.get(place);
  }

  /** In no particular order. */
  names(): Iterable<string> {
    return this.#names.names();
  }

  /** In no particular order. */
  *values(): Generator<PastSummary> {
    for (const place of this.#names.places()) yield this.#at(place, this.#names.table.nameAt(place));
  }

  #at(place: number, name: string): PastSummary {
    const { lives, livedBefore, keyframe } = this.#rarely.get(place) ?? this.#plain(place);
    return {
      name,
      count: this.#count.get(place),
      last: this.#last.get(place),
      frames: this.#frames.get(place),
      framedAt: this.#framedAt.get(place),
      weight: this.#weight.get(place),
      lives,
      livedBefore,
      firstChunk: this.#firstChunk.get(place),
      firstFrame: this.#firstFrame.get(place),
      keyframe,
    };
  }

  #plain(place: number): Rarely {
    return { lives: [this.#born.get(place)], livedBefore: false, keyframe: undefined };
  }

  #forget(place: number): void {
    this.#count.set(place, 0);
    this.#last.set(place, 0);
    this.#frames.set(place, 0);
    this.#framedAt.set(place, 0);
    this.#weight.set(place, 0);
    this.#firstChunk.set(place, 0);
    this.#firstFrame.set(place, 0);
    this.#born.set(place, 0);
    this.#rarely.delete(place);
  }
}

import { firstWhere } from '../../../../core/search.ts';
import { corrupt } from '../leveldb/sealed.ts';
import { timesKey } from '../records/past-records.ts';
import { decodeTimes, TIMES, type Times } from '../records/times-codec.ts';

/** Instants and sizes of updates, numbered from the start of the past. */
export class PastTimes {
  readonly #read: (key: string) => Uint8Array | undefined;
  readonly #count: () => number;
  /** The record that was read last. */
  #known: { readonly record: number; readonly times: Times } | undefined;

  /** `count` returns the number of updates that the records cover. */
  constructor(read: (key: string) => Uint8Array | undefined, count: () => number) {
    this.#read = read;
    this.#count = count;
  }

  /** Forgets what was read: the storage has changed. */
  forget(): void {
    this.#known = undefined;
  }

  /** Returns the latest instant and the total bytes of the updates up to the one with this number. */
  upTo(index: number): { readonly at: number; readonly bytes: number } {
    const { at, bytes } = this.#times(Math.floor(index / TIMES));
    const [latest, total] = [at[index % TIMES], bytes[index % TIMES]];
    if (latest === undefined || total === undefined) throw corrupt('The instants of updates are missing');
    return { at: latest, bytes: total };
  }

  /** Returns how many updates, at least `from`, precede the first one after this instant. */
  countUntil(instant: number, from: number): number {
    return firstWhere(from, this.#count(), (index) => this.upTo(index).at > instant);
  }

  /** Returns how many updates, at least `from`, must be released so that the rest takes at most this many bytes. */
  countBeyond(bytes: number, from: number): number {
    const count = this.#count();
    if (count === 0) return 0;
    const most = this.upTo(count - 1).bytes - bytes;
    // Releasing none keeps everything; releasing the last one keeps nothing.
    return most <= 0 ? from : firstWhere(from, count, (gone) => gone > 0 && this.upTo(gone - 1).bytes >= most);
  }

  #times(record: number): Times {
    if (this.#known?.record === record) return this.#known.times;
    const found = this.#read(timesKey(record));
    if (found === undefined) throw corrupt('The instants of updates are missing');
    const times = decodeTimes(found);
    this.#known = { record, times };
    return times;
  }
}

import type { MessageWriter } from '../../../core/encoding/message-writer.ts';
import { firstWhere } from '../../../core/search.ts';
import type { Update } from '../../../core/update.ts';
import { weigh } from '../../update-ring.ts';
import type { LevelDirectory } from '../leveldb/level-directory.ts';
import type { StorageSnapshot, StorageWrite } from '../leveldb/level-storage.ts';
import { corrupt, sealWritten, unseal } from '../leveldb/sealed.ts';
import { timesKey } from '../records/past-records.ts';

/** Number of updates in a record. */
export const TIMES = 1024;

/** Running values of consecutive updates; neither array ever decreases. */
export interface Times {
  /** Latest instant up to each update, epoch milliseconds. */
  readonly at: number[];
  /** Estimated bytes of all updates up to each one; 0 for updates of a version that did not record them. */
  readonly bytes: number[];
}

/**
 * Instants and sizes of updates, numbered from the start of the past. Stored as running maximum and running sum, so
 * that both can be searched by bisection.
 */
export class PastTimes {
  readonly #directory: LevelDirectory;
  readonly #view: () => StorageSnapshot | undefined;
  /** The last record. */
  #last: Times = { at: [], bytes: [] };
  #count = 0;

  /** `view` returns the snapshot that readers use while a batch is being written. */
  constructor(directory: LevelDirectory, view: () => StorageSnapshot | undefined) {
    this.#directory = directory;
    this.#view = view;
  }

  /** Reads the last record; `count`: how many updates the records cover. Nothing changes until the result is called. */
  async read(count: number): Promise<() => void> {
    const [record] = await this.#directory.getMany([timesKey(lastRecord(count))]);
    const last = decodeTimes(record);
    return () => {
      this.#last = last;
      this.#count = count;
    };
  }

  /** Returns the latest instant and the total bytes of the updates up to the one with this number. */
  upTo(index: number): { readonly at: number; readonly bytes: number } {
    const record = Math.floor(index / TIMES);
    const isLast = record === lastRecord(this.#count);
    const times = isLast ? this.#last : decodeTimes(this.#directory.getSync(timesKey(record), this.#view()));
    const at = times.at[index % TIMES];
    if (at === undefined) throw corrupt('The instants of updates are missing');
    return { at, bytes: times.bytes[index % TIMES] ?? 0 };
  }

  /** Returns how many updates, at least `from`, precede the first one after this instant. */
  countUntil(instant: number, from: number): number {
    return firstWhere(from, this.#count, (index) => this.upTo(index).at > instant);
  }

  /** Returns how many updates, at least `from`, must be released so that the rest takes at most this many bytes. */
  countBeyond(bytes: number, from: number): number {
    if (this.#count === 0) return 0;
    const most = this.upTo(this.#count - 1).bytes - bytes;
    // Releasing none keeps everything; releasing the last one keeps nothing.
    return most <= 0 ? from : firstWhere(from, this.#count, (gone) => gone > 0 && this.upTo(gone - 1).bytes >= most);
  }

  /** Prepares the writes for `updates`; `count` is the number of updates including these. */
  after(updates: readonly Update[], count: number): { readonly writes: StorageWrite[]; done(): void } {
    let last = this.#count % TIMES === 0 ? { at: [], bytes: [] } : copyOf(this.#last);
    let at = this.#last.at.at(-1) ?? 0;
    let bytes = this.#last.bytes.at(-1) ?? 0;
    let record = Math.floor(this.#count / TIMES);
    const writes: StorageWrite[] = [];
    for (let i = 0; i < count - this.#count; i += 1) {
      if (last.at.length === TIMES) {
        writes.push(timesWrite(record, last));
        record += 1;
        last = { at: [], bytes: [] };
      }
      const update = updates[i];
      at = Math.max(at, update?.at ?? at);
      bytes += update === undefined ? 0 : weigh(update);
      last.at.push(at);
      last.bytes.push(bytes);
    }
    if (count === this.#count) return { writes, done: () => {} };
    writes.push(timesWrite(record, last));
    return {
      writes,
      done: () => {
        this.#last = last;
        this.#count = count;
      },
    };
  }

  /**
   * Returns the writes that remove what is not needed once `gone` updates are released; `before` is the number that was
   * released already. Keeps the last released update: it determines which instants are too early.
   */
  trim(before: number, gone: number): StorageWrite[] {
    const writes: StorageWrite[] = [];
    for (let record = lastRecord(before); record < lastRecord(gone); record += 1) {
      writes.push({ type: 'del', key: timesKey(record) });
    }
    return writes;
  }
}

/** Returns the number of the record that holds the last of `count` updates. */
export function lastRecord(count: number): number {
  return Math.floor(Math.max(0, count - 1) / TIMES);
}

function copyOf({ at, bytes }: Times): Times {
  return { at: [...at], bytes: [...bytes] };
}

/** Encodes the first number and each distance from it. */
export function timesWrite(record: number, { at, bytes }: Times): StorageWrite {
  const [first = 0] = at;
  const [least = 0] = bytes;
  const value = sealWritten((to) => {
    to.array(4);
    writeDistances(to, at, first);
    writeDistances(to, bytes, least);
  });
  return { type: 'put', key: timesKey(record), value };
}

function writeDistances(to: MessageWriter, values: readonly number[], from: number): void {
  to.number(from);
  to.array(values.length);
  for (const value of values) to.number(value - from);
}

/** Decodes what {@link timesWrite} has encoded. Older records contain no bytes. */
export function decodeTimes(record: Uint8Array | undefined): Times {
  if (record === undefined) return { at: [], bytes: [] };
  const [first, at, least = 0, bytes = at.map(() => 0)] = unseal(record, () => 'The instants of updates') as [
    number,
    number[],
    number?,
    number[]?,
  ];
  return { at: at.map((each) => first + each), bytes: bytes.map((each) => least + each) };
}

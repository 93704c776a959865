import type { MessageWriter } from '../../../core/encoding/message-writer.ts';
import { firstWhere } from '../../../core/search.ts';
import type { Update } from '../../../core/update.ts';
import { weigh } from '../../update-ring.ts';
import type { LevelDirectory } from '../leveldb/level-directory.ts';
import type { StorageSnapshot, StorageWrite } from '../leveldb/level-storage.ts';
import { corrupt, sealWritten, unseal } from '../leveldb/sealed.ts';
import { timesKey } from '../records/past-records.ts';

/** Updates in a record. */
export const TIMES = 1024;

/** Of some consecutive updates: none of the numbers is lower than the one before it. */
export interface Times {
  /** The latest instant by then. */
  readonly at: number[];
  /** Estimated bytes of all updates by then; 0 as long as that was not written down. */
  readonly bytes: number[];
}

/**
 * When updates were asked for and how large they were, by their number from where the past begins. Kept as running
 * maximum and running sum, so that both are searched by halving.
 */
export class PastTimes {
  readonly #directory: LevelDirectory;
  readonly #view: () => StorageSnapshot | undefined;
  /** The last record. */
  #last: Times = { at: [], bytes: [] };
  #count = 0;

  /** `view`: what readers see while a batch is on its way. */
  constructor(directory: LevelDirectory, view: () => StorageSnapshot | undefined) {
    this.#directory = directory;
    this.#view = view;
  }

  /** Reads what there is, anew; `count`: how many updates it goes over. */
  async load(count: number): Promise<void> {
    const [record] = await this.#directory.getMany([timesKey(lastRecord(count))]);
    this.#last = decodeTimes(record);
    this.#count = count;
  }

  /** The latest instant of the updates up to the one of this number, and what they weigh. */
  upTo(index: number): { readonly at: number; readonly bytes: number } {
    const record = Math.floor(index / TIMES);
    const isLast = record === lastRecord(this.#count);
    const times = isLast ? this.#last : decodeTimes(this.#directory.getSync(timesKey(record), this.#view()));
    const at = times.at[index % TIMES];
    if (at === undefined) throw corrupt('The instants of updates are missing');
    return { at, bytes: times.bytes[index % TIMES] ?? 0 };
  }

  /** How many updates, at least `from`, come before the first one that was asked for after this instant. */
  countUntil(instant: number, from: number): number {
    return firstWhere(from, this.#count, (index) => this.upTo(index).at > instant);
  }

  /** How many updates, at least `from`, have to go for the others to weigh no more than this. */
  countBeyond(bytes: number, from: number): number {
    if (this.#count === 0) return 0;
    const most = this.upTo(this.#count - 1).bytes - bytes;
    // Of none gone nothing is less; beyond the last one nothing is left.
    return most <= 0 ? from : firstWhere(from, this.#count, (gone) => gone > 0 && this.upTo(gone - 1).bytes >= most);
  }

  /** Prepares what is written with `updates`; there are `count` then. */
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
   * What is no longer needed once `gone` updates cannot be seen; `before`: so many could not until now. The last of them
   * stays: it tells which instants are too early.
   */
  trim(before: number, gone: number): StorageWrite[] {
    const writes: StorageWrite[] = [];
    for (let record = lastRecord(before); record < lastRecord(gone); record += 1) {
      writes.push({ type: 'del', key: timesKey(record) });
    }
    return writes;
  }
}

/** The record that the last of so many updates is in. */
export function lastRecord(count: number): number {
  return Math.floor(Math.max(0, count - 1) / TIMES);
}

function copyOf({ at, bytes }: Times): Times {
  return { at: [...at], bytes: [...bytes] };
}

/** The first number, and what each is beyond it. */
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

/** The inverse of {@link timesWrite}; older records say nothing of bytes. */
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

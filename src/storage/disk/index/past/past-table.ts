import type { NameTable } from '../../../../core/tables/name-table.ts';
import type { UpdateReader } from '../../log/logged-update.ts';
import type { PastSummary } from '../records/past-records.ts';
import { PastColumns } from './past-columns.ts';
import { PastReader } from './past-reader.ts';
import { PastTimes } from './past-times.ts';

/** Options of {@link PastTable}. */
export interface PastTableOptions {
  /** Reads a record of the storage as of the checkpoint. */
  readonly read: (key: string) => Uint8Array | undefined;
  readonly updates: UpdateReader;
  /** The shared table of names. */
  readonly names: NameTable;
  /** Number of updates from the start of the past to the checkpoint. */
  readonly count: () => number;
}

/**
 * The past beside the state table: every update of a namespace in order, and from time to time a frame, which is a copy
 * of the namespace's pages. An old state is a frame plus some updates.
 */
export class PastTable {
  readonly times: PastTimes;
  readonly reader: PastReader;
  readonly #names: NameTable;
  #summaries: PastColumns;

  constructor({ read, updates, names, count }: PastTableOptions) {
    this.times = new PastTimes(read, count);
    this.reader = new PastReader(read, updates);
    this.#names = names;
    this.#summaries = new PastColumns(names);
  }

  summary(name: string): PastSummary | undefined {
    return this.#summaries.get(name);
  }

  /** Returns the position of the namespace's last update, or `undefined` if it has no past. */
  last(name: string): number | undefined {
    return this.#summaries.last(name);
  }

  /** Iterates over the summaries of all namespaces with updates. Must not be used across an `await`. */
  summaries(): Iterable<PastSummary> {
    return this.#summaries.values();
  }

  /** Returns columns to be filled and used instead of the present ones. */
  empty(): PastColumns {
    return new PastColumns(this.#names);
  }

  /** Uses other columns from now on. */
  use(columns: PastColumns): void {
    this.#summaries.clear();
    this.#summaries = columns;
    this.times.forget();
  }

  /** Follows a batch: the pasts that it changed, and the names whose past it removed. */
  take(pasts: readonly (PastSummary | string)[]): void {
    for (const past of pasts) {
      if (typeof past === 'string') this.#summaries.delete(past);
      else this.#summaries.set(past);
    }
    this.times.forget();
  }
}

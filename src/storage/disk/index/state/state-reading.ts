import { filled, type NameTable } from '../../../../core/tables/name-table.ts';
import type { LevelStorage, StorageSnapshot } from '../leveldb/level-storage.ts';
import { corrupt } from '../leveldb/sealed.ts';
import { PastColumns } from '../past/past-columns.ts';
import { decodePast, PAST_RANGE, pastKey } from '../records/past-records.ts';
import { decodeProgress, PROGRESS_KEY, type Progress } from '../records/progress.ts';
import { addRecord } from '../records/record-sum.ts';
import { decodeSummary, SUMMARY_RANGE, summaryKey } from '../records/state-records.ts';
import { StateColumns } from './state-columns.ts';

/** An index that was read and is not in use yet. */
export interface LoadedIndex {
  readonly progress: Progress;
  readonly summaries: StateColumns;
  readonly pasts: PastColumns;
}

/** Options of {@link readIndex}. */
export interface ReadIndexOptions {
  readonly names: NameTable;
  /** Retention may have discarded pasts that end at or before this position. */
  readonly floor: number;
  /** Rejects if the index does not fit the log. Called before the namespaces are read. */
  readonly check: (progress: Progress) => Promise<void>;
}

/**
 * Reads the metadata of all namespaces and of their pasts. Resolves with `undefined` if there is no index yet, or only
 * a part of one.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` if a record is damaged or missing, or the progress has another format.
 */
export async function readIndex(
  storage: LevelStorage,
  view: StorageSnapshot,
  { names, floor, check }: ReadIndexOptions,
): Promise<LoadedIndex | undefined> {
  const [record] = await storage.getMany([PROGRESS_KEY], view);
  if (record === undefined) return undefined;
  const progress = decodeProgress(record);
  if (progress === undefined) throw corrupt('The index has another format');
  if (progress.adopting) return undefined;
  await check(progress);
  let sum = 0;
  const summaries = await filled(new StateColumns(names), async (columns) => {
    for await (const [key, value] of storage.entries(SUMMARY_RANGE, view)) {
      const summary = decodeSummary(value);
      if (key !== summaryKey(summary.name)) throw corrupt('A namespace of the index is stored under another name');
      columns.set(summary);
      sum = addRecord(sum, value);
    }
    if (columns.size === progress.namespaces) return;
    throw corrupt(`The index has ${columns.size} namespaces instead of ${progress.namespaces}`);
  });
  try {
    const pasts = await filled(new PastColumns(names), async (columns) => {
      for await (const [key, value] of storage.entries(PAST_RANGE, view)) {
        const past = decodePast(value);
        if (key !== pastKey(past.name)) throw corrupt('The past of a namespace is stored under another name');
        columns.set(past);
        sum = addRecord(sum, value);
      }
      checkPasts(summaries, columns, Math.max(progress.since, floor));
      if (sum !== progress.sum) throw corrupt('The index shows other namespaces than those that were written last');
    });
    return { progress, summaries, pasts };
  } catch (error) {
    summaries.clear();
    throw error;
  }
}

/** Checks that each past ends with the last update of its namespace, except those that retention may have discarded. */
function checkPasts(summaries: StateColumns, pasts: PastColumns, since: number): void {
  for (const [name, position] of summaries.positions()) {
    if (position <= since || pasts.last(name) === position) continue;
    throw corrupt('The past of a namespace does not end with its last update');
  }
}

import { filled, type NameTable } from '../../../core/tables/name-table.ts';
import { type LevelDirectory, readAll } from '../leveldb/level-directory.ts';
import { corrupt } from '../leveldb/sealed.ts';
import type { LoadedPast, PastTable } from '../past/past-table.ts';
import {
  decodeProgress,
  decodeSummary,
  PROGRESS_KEY,
  type Progress,
  SUMMARY_RANGE,
  summaryKey,
} from '../records/state-records.ts';
import { StateColumns } from './state-columns.ts';

/** Resolves with the progress of the state table on disk. */
export async function readProgress(directory: LevelDirectory): Promise<Progress> {
  const [record] = await directory.getMany([PROGRESS_KEY]);
  return decodeProgress(record);
}

/**
 * Reads the metadata of all namespaces.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` if one is missing.
 */
export function readSummaries(directory: LevelDirectory, progress: Progress, names: NameTable): Promise<StateColumns> {
  return filled(new StateColumns(names), async (summaries) => {
    for await (const [key, record] of readAll(directory, SUMMARY_RANGE)) {
      const summary = decodeSummary(record);
      if (key !== summaryKey(summary.name)) {
        throw corrupt(`The record of a namespace in ${directory.path} is stored under the key of another one`);
      }
      summaries.set(summary);
    }
    const { namespaces } = progress;
    if (namespaces !== undefined && namespaces !== summaries.size) {
      throw corrupt(`The state in ${directory.path} has ${summaries.size} namespaces instead of ${namespaces}`);
    }
  });
}

/**
 * Reads the past that belongs to these namespaces. It ends with the last update of each, except those up to `floor`,
 * which retention may have discarded.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` if it does not.
 */
export async function readPast(
  directory: LevelDirectory,
  table: PastTable,
  { checkpoint, begins, since }: Progress,
  summaries: StateColumns,
  floor = 0,
): Promise<LoadedPast> {
  const past = await table.read(checkpoint - begins);
  for (const [name, position] of summaries.positions()) {
    if (position <= Math.max(since, floor) || past.last(name) === position) continue;
    past.discard();
    throw corrupt(`The past of a namespace in ${directory.path} does not end with its last update`);
  }
  return past;
}

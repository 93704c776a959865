import { filled, type NameTable } from '../../../core/tables/name-table.ts';
import { type LevelDirectory, readAll } from '../leveldb/level-directory.ts';
import { corrupt } from '../leveldb/sealed.ts';
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

import { filled, type NameTable } from '../core/name-table.ts';
import type { LevelDirectory } from './level-directory.ts';
import { readAll } from './level-records.ts';
import { corrupt } from './sealed.ts';
import { StateColumns } from './state-columns.ts';
import {
  decodeProgress,
  decodeSummary,
  PROGRESS_KEY,
  type Progress,
  SUMMARY_RANGE,
  summaryKey,
} from './state-records.ts';

/** How far the state table on disk is. */
export async function readProgress(directory: LevelDirectory): Promise<Progress> {
  const [record] = await directory.getMany([PROGRESS_KEY]);
  return decodeProgress(record);
}

/** The namespaces in it. Throws `LOG_CORRUPT` where one is missing. */
export function readSummaries(directory: LevelDirectory, progress: Progress, names: NameTable): Promise<StateColumns> {
  return filled(new StateColumns(names), async (summaries) => {
    for await (const [key, record] of readAll(directory, SUMMARY_RANGE)) {
      const summary = decodeSummary(record);
      if (key !== summaryKey(summary.name)) {
        throw corrupt(`The record of a namespace in ${directory.path} is in the place of another one`);
      }
      summaries.set(summary);
    }
    const { namespaces } = progress;
    if (namespaces !== undefined && namespaces !== summaries.size) {
      throw corrupt(`The state in ${directory.path} has ${summaries.size} namespaces in place of ${namespaces}`);
    }
  });
}

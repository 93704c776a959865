import { join, resolve } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ContextCacheError } from '../core/errors.ts';
import { filled, type NamespaceState } from '../core/namespace-state.ts';
import { isDataDirectory } from '../engine/restore.ts';
import { readBase } from '../storage/disk/base/base-file.ts';
import { corrupt } from '../storage/disk/corrupt.ts';
import { nodeFiles } from '../storage/disk/files.ts';
import type { LogFileNames } from '../storage/disk/log/file-log.ts';
import { type Flaw, walkLog } from '../storage/disk/log/log-walk.ts';
import { refuseFormat1 } from '../storage/disk/log/segment-scan.ts';
import { rememberedAtBase, storedLog } from '../storage/disk/log/stored-log.ts';
import { updatesOf } from '../storage/disk/log/update-record.ts';
import { type Candidate, type CandidateBatch, plain } from './candidate.ts';
import type { RecordSource, ReplayBase, SourceSettings } from './source.ts';
import { unreadable } from './text-reader.ts';

/** Approximate number of updates in a batch: a quiet log has one in each frame. */
const UPDATES = 1024;

/**
 * Opens the log of a data directory. Reads it frame by frame, so that a damaged frame is reported and those after it can
 * still be read. If the log does not go back to its start, the source starts with the base, except with `updatesOnly`.
 *
 * @throws {ContextCacheError} `NOT_FOUND`, `DIRECTORY_LOCKED`, `FORMAT_UNSUPPORTED`, `LOG_CORRUPT`, `LOG_UNAVAILABLE`.
 */
export async function openDirectorySource(
  path: string,
  { updatesOnly }: Pick<SourceSettings, 'updatesOnly'>,
): Promise<RecordSource> {
  if (!(await isDataDirectory(path))) {
    throw new ContextCacheError('NOT_FOUND', `${path} is not a data directory: it has no log.`);
  }
  const folder = join(resolve(path), 'db');
  await refuseFormat1(nodeFiles, folder);
  const unlock = await nodeFiles.lock(join(folder, 'lock'), path);
  try {
    const { names, log } = await storedLog(nodeFiles, folder);
    const base = names.base === 0 || updatesOnly ? undefined : await baseOf(folder, log, names);
    return {
      base,
      log,
      repeats: false,
      batches: () => readLog(folder, names),
      [Symbol.asyncDispose]: unlock,
    };
  } catch (error) {
    await unlock();
    throw error;
  }
}

/** Reads the state that replaces the updates before the log. */
async function baseOf(folder: string, log: string | undefined, names: LogFileNames): Promise<ReplayBase> {
  const states: NamespaceState[] = [];
  const { base: position } = names;
  for await (const namespace of readBase(nodeFiles, join(folder, 'base'), { log, position })) {
    states.push(filled(namespace));
  }
  return { position, states, ...rememberedAtBase(nodeFiles, folder, names) };
}

async function* readLog(path: string, names: LogFileNames): AsyncGenerator<CandidateBatch> {
  let candidates: Candidate[] = [];
  let reached = names.base;
  const last = names.firsts.at(-1) ?? 1;
  for (const step of walkLog(nodeFiles, { path, ...names })) {
    if ('problem' in step) candidates.push(unreadable(0, step.position, errorOf(step)));
    else if (step.frame.count > 0) {
      const { position } = step.frame;
      reached = position;
      try {
        for (const update of updatesOf(step.frame)) if (update.position > names.base) candidates.push(plain(0, update));
      } catch (error) {
        candidates.push(unreadable(0, position, error));
      }
    }
    if (candidates.length < UPDATES) continue;
    // How far the last file goes is not known.
    yield { candidates, fraction: reached < last ? (reached - names.base) / (last - names.base) : undefined };
    candidates = [];
    await nextTurn();
  }
  yield { candidates, fraction: 1 };
}

function errorOf({ file, problem }: Flaw): ContextCacheError {
  return corrupt(`${file} ${problem}`);
}

import { setImmediate as nextTurn } from 'node:timers/promises';
import { isDataDirectory } from '../cache/restore.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { NamespaceState } from '../core/namespace-state.ts';
import { blockPosition, decodeBlock, LOG_RANGE } from '../log/block-codec.ts';
import { lastPosition } from '../log/block-reader.ts';
import { LevelDirectory } from '../log/level-directory.ts';
import { readAll } from '../log/level-records.ts';
import { openUnproven } from '../log/level-storage.ts';
import { StateTable } from '../log/state-table.ts';
import { type Candidate, type CandidateBatch, plain } from './candidate.ts';
import type { RecordSource, ReplayBase, SourceSettings } from './source.ts';
import { unreadable } from './text-reader.ts';

/** Updates handed on together, about: a quiet log has one in each block. */
const UPDATES = 1024;

/**
 * The log of a data directory, block by block, so that one that is damaged is told and those after it can still be
 * read. Where the log does not go back to the beginning, it begins with the state table; with `updatesOnly` it does not.
 *
 * @throws {ContextCacheError} `NOT_FOUND`, `DIRECTORY_LOCKED`, `FORMAT_UNSUPPORTED`, `LOG_CORRUPT`, `LOG_UNAVAILABLE`.
 */
export async function openDirectorySource(
  path: string,
  { updatesOnly }: Pick<SourceSettings, 'updatesOnly'>,
): Promise<RecordSource> {
  if (!(await isDataDirectory(path))) {
    throw new ContextCacheError('NOT_FOUND', `${path} is a directory, but no data directory: it has no log.`);
  }
  // Of a damaged directory what is left is wanted: each block is proven when it is read, and a missing one is a gap.
  const directory = await LevelDirectory.open(path, openUnproven);
  try {
    const [first, last] = await ends(directory);
    const base = first === 1 || updatesOnly ? undefined : await readBase(directory);
    return {
      base,
      log: directory.identity.id,
      repeats: false,
      batches: () => readBlocks(directory, base?.position ?? 0, last),
      [Symbol.asyncDispose]: () => directory.close(),
    };
  } catch (error) {
    await directory.close();
    throw error;
  }
}

/** Positions that the first and the last block begin with; `undefined` for a log without any. */
async function ends(directory: LevelDirectory): Promise<[first: number | undefined, last: number | undefined]> {
  const [first] = await directory.entries({ ...LOG_RANGE, limit: 1 });
  const [last] = await directory.entries({ ...LOG_RANGE, reverse: true, limit: 1 });
  return [first && blockPosition(first[0]), last && blockPosition(last[0])];
}

/** The state that the directory keeps, for want of the updates that led to it. */
async function readBase(directory: LevelDirectory): Promise<ReplayBase | undefined> {
  const { begin } = directory.identity;
  const table = await StateTable.open({
    directory,
    head: (await lastPosition(directory)) ?? begin,
    first: begin + 1,
    beginAfter: (position) => directory.beginAfter(position),
  });
  const position = table.checkpoint;
  if (position === 0) return undefined;
  const states: NamespaceState[] = [];
  for (const name of [...table.names()]) {
    const state = table.hydrate(name);
    if (state !== undefined) states.push(state);
    await nextTurn();
  }
  return { position, states };
}

async function* readBlocks(
  directory: LevelDirectory,
  after: number,
  last: number | undefined,
): AsyncGenerator<CandidateBatch> {
  let candidates: Candidate[] = [];
  let reached = after;
  const fraction = () => (last === undefined ? 1 : Math.min(1, (reached - after) / Math.max(1, last - after)));
  for await (const [key, bytes] of readAll(directory, LOG_RANGE)) {
    reached = blockPosition(key);
    try {
      for (const update of decodeBlock(key, bytes)) candidates.push(plain(0, update));
    } catch (error) {
      candidates.push(unreadable(0, reached, error));
    }
    if (candidates.length < UPDATES) continue;
    yield { candidates, fraction: fraction() };
    candidates = [];
    await nextTurn();
  }
  yield { candidates, fraction: 1 };
}

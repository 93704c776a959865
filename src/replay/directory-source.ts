import { setImmediate as nextTurn } from 'node:timers/promises';
import { ContextCacheError } from '../core/errors.ts';
import type { NamespaceState } from '../core/namespace-state.ts';
import { isDataDirectory } from '../engine/restore.ts';
import { DurableView, Pins } from '../storage/disk/durable-past.ts';
import { LevelDirectory, readAll } from '../storage/disk/leveldb/level-directory.ts';
import { type KeyRange, openUnproven } from '../storage/disk/leveldb/level-storage.ts';
import { lastPosition } from '../storage/disk/log/block-reader.ts';
import { blockKey, blockPosition, decodeBlock, LOG_RANGE } from '../storage/disk/records/block-codec.ts';
import { StateTable } from '../storage/disk/state/state-table.ts';
import { lineageOf } from '../storage/lineage.ts';
import { type Candidate, type CandidateBatch, plain } from './candidate.ts';
import type { RecordSource, ReplayBase, SourceSettings } from './source.ts';
import { unreadable } from './text-reader.ts';

/** Approximate number of updates in a batch: a quiet log has one in each block. */
const UPDATES = 1024;

/**
 * Opens the log of a data directory. Reads it block by block, so that a damaged block is reported and those after it
 * can still be read. If the log does not go back to its start, the source starts with the state table, except with
 * `updatesOnly`.
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
  // Opened without a check, because as much as possible of a damaged directory is wanted. Each block is checked when it
  // is read.
  const directory = await LevelDirectory.open(path, openUnproven);
  try {
    // Blocks that an interrupted trim has left before the start do not belong to the log.
    const range = { ...LOG_RANGE, gte: blockKey(directory.identity.begin + 1) };
    const [first, last] = await ends(directory, range);
    const base = first === 1 || updatesOnly ? undefined : await readBase(directory, first);
    return {
      base,
      log: directory.identity.id,
      repeats: false,
      batches: () => readBlocks(directory, range, base?.position ?? 0, last),
      [Symbol.asyncDispose]: () => directory.close(),
    };
  } catch (error) {
    await directory.close();
    throw error;
  }
}

/** Returns the first positions of the first and the last block; `undefined` for an empty log. */
async function ends(
  directory: LevelDirectory,
  range: KeyRange,
): Promise<[first: number | undefined, last: number | undefined]> {
  const [first] = await directory.entries({ ...range, limit: 1 });
  const [last] = await directory.entries({ ...range, reverse: true, limit: 1 });
  return [first && blockPosition(first[0]), last && blockPosition(last[0])];
}

/** Returns the oldest state that the directory holds, which replaces the updates that led to it. */
async function readBase(directory: LevelDirectory, first: number | undefined): Promise<ReplayBase | undefined> {
  const { begin } = directory.identity;
  const head = Math.max((await lastPosition(directory)) ?? 0, begin);
  const table = await StateTable.open({
    directory,
    head,
    first: begin + 1,
    beginAfter: (position) => directory.beginAfter(position),
  });
  if (table.checkpoint === 0) return undefined;
  // If blocks are missing, only the last state can be used.
  const position = first !== undefined && first <= table.since + 1 ? table.since : table.checkpoint;
  const log = { recent: () => [] };
  const view = new DurableView(table, log, position, lineageOf(directory.identity.id), new Pins());
  const states: NamespaceState[] = [];
  for (const name of [...view.names()]) {
    const state = view.state(name);
    if (state !== undefined) states.push(state);
    await nextTurn();
  }
  return { position, states };
}

async function* readBlocks(
  directory: LevelDirectory,
  range: KeyRange,
  after: number,
  last: number | undefined,
): AsyncGenerator<CandidateBatch> {
  let candidates: Candidate[] = [];
  let reached = after;
  const fraction = () => (last === undefined ? 1 : Math.min(1, (reached - after) / Math.max(1, last - after)));
  for await (const [key, bytes] of readAll(directory, range)) {
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

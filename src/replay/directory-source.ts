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
    // What a trim that was interrupted has left behind is no part of the log any more.
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

/** Positions that the first and the last block begin with; `undefined` for a log without any. */
async function ends(
  directory: LevelDirectory,
  range: KeyRange,
): Promise<[first: number | undefined, last: number | undefined]> {
  const [first] = await directory.entries({ ...range, limit: 1 });
  const [last] = await directory.entries({ ...range, reverse: true, limit: 1 });
  return [first && blockPosition(first[0]), last && blockPosition(last[0])];
}

/** The oldest state that the directory tells, for want of the updates that led to it. */
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
  // Blocks may be missing; then only the last state is of use.
  const position = first !== undefined && first <= table.since + 1 ? table.since : table.checkpoint;
  const log = { recent: () => [] };
  const moment = new DurableView(table, log, position, lineageOf(directory.identity.id), new Pins());
  const states: NamespaceState[] = [];
  for (const name of [...moment.names()]) {
    const state = moment.state(name);
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

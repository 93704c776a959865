import { setImmediate as nextTurn } from 'node:timers/promises';
import type { LevelDirectory } from '../storage/disk/leveldb/level-directory.ts';
import { blockKey, blockPosition, LOG_RANGE } from '../storage/disk/records/block-codec.ts';

/** Positions whose blocks are removed at once. */
const POSITIONS = 65_536;

/**
 * Removes the blocks from before the log begins, the oldest first, and gives their place back to the disk. Whatever is
 * left where it is interrupted is before the beginning still, and goes the next time.
 */
export async function removeBlocks(directory: LevelDirectory, signal: AbortSignal | undefined): Promise<void> {
  const end = directory.identity.begin + 1;
  const [oldest] = await directory.entries({ gte: LOG_RANGE.gte, lt: blockKey(end), limit: 1 });
  if (oldest === undefined) return;
  for (let from = blockPosition(oldest[0]); from < end; from += POSITIONS) {
    signal?.throwIfAborted();
    await directory.clear({ gte: blockKey(from), lt: blockKey(Math.min(end, from + POSITIONS)) });
    await nextTurn();
  }
  signal?.throwIfAborted();
  await directory.compact({ gte: LOG_RANGE.gte, lt: blockKey(end) });
}

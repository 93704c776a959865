import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Update } from '../../../core/update.ts';
import type { LevelDirectory } from '../leveldb/level-directory.ts';
import { corrupt } from '../leveldb/sealed.ts';
import { blockKey, blockPosition, decodeBlock, LOG_RANGE } from '../records/block-codec.ts';

/** Small blocks read at once: many, because a quiet log has one update in each. */
const BLOCKS = 512;

/** Position of the last update on disk; `undefined` for a log without any. */
export async function lastPosition(directory: LevelDirectory): Promise<number | undefined> {
  const [last] = await directory.entries({ ...LOG_RANGE, reverse: true, limit: 1 });
  return last && decodeBlock(...last).at(-1)?.position;
}

/**
 * Position of the last update; checks that the log begins and ends where it should. Blocks from before it begins are
 * what a trim has left behind that a crash has interrupted.
 */
export async function findHead(directory: LevelDirectory): Promise<number> {
  const { begin } = directory.identity;
  const [first] = await directory.entries({ gte: blockKey(begin + 1), lt: LOG_RANGE.lt, limit: 1 });
  const position = first && decodeBlock(...first)[0]?.position;
  if (position !== undefined && position !== begin + 1) {
    throw corrupt(`The log in ${directory.path} begins at position ${position} in place of ${begin + 1}`);
  }
  return position === undefined ? begin : ((await lastPosition(directory)) ?? begin);
}

/** The log may begin after this position and hold everything after `position`: the one before the block with the next. */
export async function blockBegin(directory: LevelDirectory, position: number): Promise<number> {
  const before = { gte: LOG_RANGE.gte, lt: blockKey(position + 2), reverse: true, limit: 1 };
  const [holding] = await directory.entries(before);
  if (holding === undefined) return directory.identity.begin;
  const last = decodeBlock(...holding).at(-1)?.position ?? 0;
  return last <= position ? position : blockPosition(holding[0]) - 1;
}

/** Reads the log on disk. Keeps what it decoded last, for one who reads on from there. */
export class BlockReader {
  readonly #directory: LevelDirectory;
  #chunk: readonly Update[] = [];

  constructor(directory: LevelDirectory) {
    this.#directory = directory;
  }

  /**
   * At most `limit` updates from position `from` on, which is on disk; at least one.
   *
   * @throws {ContextCacheError} `LOG_CORRUPT` for a damaged block and for a gap.
   */
  async read(from: number, limit: number): Promise<Update[]> {
    let offset = this.#offset(from);
    if (offset === undefined) {
      this.#chunk = await this.#load(from);
      offset = this.#offset(from);
    }
    if (offset === undefined) throw corrupt(`The log in ${this.#directory.path} has a gap at position ${from}`);
    return this.#chunk.slice(offset, offset + limit);
  }

  /** Lets go of what it keeps. */
  forget(): void {
    this.#chunk = [];
  }

  #offset(position: number): number | undefined {
    const offset = position - (this.#chunk[0]?.position ?? Number.POSITIVE_INFINITY);
    return offset >= 0 && offset < this.#chunk.length ? offset : undefined;
  }

  /** From the block that holds `from`, some blocks. */
  async #load(from: number): Promise<Update[]> {
    const before = { gte: LOG_RANGE.gte, lt: blockKey(from + 1), reverse: true, limit: 1 };
    const [holding] = await this.#directory.entries(before);
    if (holding === undefined) return [];
    const updates: Update[] = [];
    for (const [key, bytes] of await this.#directory.entries({ gte: holding[0], lt: LOG_RANGE.lt, limit: BLOCKS })) {
      const block = decodeBlock(key, bytes);
      const expected = (updates.at(-1)?.position ?? -1) + 1;
      if (updates.length > 0 && block[0]?.position !== expected) {
        throw corrupt(`The log in ${this.#directory.path} has a gap at position ${expected}`);
      }
      updates.push(...block);
    }
    return updates;
  }
}

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

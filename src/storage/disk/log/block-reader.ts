import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Update } from '../../../core/update.ts';
import type { LevelDirectory } from '../leveldb/level-directory.ts';
import { corrupt } from '../leveldb/sealed.ts';
import { blockKey, blockPosition, decodeBlock, LOG_RANGE } from '../records/block-codec.ts';

/** Blocks read at a time. Many, because a quiet log has one update in each. */
const BLOCKS = 512;

/** Resolves with the position of the last update on disk, or `undefined` if the log has none. */
export async function lastPosition(directory: LevelDirectory): Promise<number | undefined> {
  const [last] = await directory.entries({ ...LOG_RANGE, reverse: true, limit: 1 });
  return last && decodeBlock(...last).at(-1)?.position;
}

/**
 * Resolves with the position of the last update, after checking that the log starts where its identity says. Blocks
 * before the start are left over from a trim that a crash interrupted.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` if the log starts elsewhere.
 */
export async function findHead(directory: LevelDirectory): Promise<number> {
  const { begin } = directory.identity;
  const [first] = await directory.entries({ gte: blockKey(begin + 1), lt: LOG_RANGE.lt, limit: 1 });
  const position = first && decodeBlock(...first)[0]?.position;
  if (position !== undefined && position !== begin + 1) {
    throw corrupt(`The log in ${directory.path} starts at position ${position} instead of ${begin + 1}`);
  }
  return position === undefined ? begin : ((await lastPosition(directory)) ?? begin);
}

/**
 * Resolves with the greatest position after which the log can start so that it holds whole blocks and everything after
 * `position`.
 */
export async function blockBegin(directory: LevelDirectory, position: number): Promise<number> {
  const before = { gte: LOG_RANGE.gte, lt: blockKey(position + 2), reverse: true, limit: 1 };
  const [holding] = await directory.entries(before);
  if (holding === undefined) return directory.identity.begin;
  const last = decodeBlock(...holding).at(-1)?.position ?? 0;
  return last <= position ? position : blockPosition(holding[0]) - 1;
}

/** Reads the log on disk. Keeps the updates it decoded last for a reader that continues after them. */
export class BlockReader {
  readonly #directory: LevelDirectory;
  #chunk: readonly Update[] = [];

  constructor(directory: LevelDirectory) {
    this.#directory = directory;
  }

  /**
   * Reads at most `limit` updates from position `from` on, which must be on disk; returns at least one.
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

  /** Discards the updates it keeps. */
  forget(): void {
    this.#chunk = [];
  }

  #offset(position: number): number | undefined {
    const offset = position - (this.#chunk[0]?.position ?? Number.POSITIVE_INFINITY);
    return offset >= 0 && offset < this.#chunk.length ? offset : undefined;
  }

  /** Loads a number of blocks, the first of which holds `from`. */
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

/** Number of positions whose blocks are removed at a time. */
const POSITIONS = 65_536;

/**
 * Removes the blocks before the start of the log, oldest first, and returns their space to the disk. An interruption
 * leaves blocks before the start, which the next call removes.
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

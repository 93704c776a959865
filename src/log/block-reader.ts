import type { Update } from '../core/update.ts';
import { blockKey, decodeBlock, LOG_RANGE } from './block-codec.ts';
import type { LevelDirectory } from './level-directory.ts';
import { corrupt } from './sealed.ts';

/** Small blocks read at once: many, because a quiet log has one update in each. */
const BLOCKS = 512;

/** Position of the last update on disk; `undefined` for a log without any. */
export async function lastPosition(directory: LevelDirectory): Promise<number | undefined> {
  const [last] = await directory.entries({ ...LOG_RANGE, reverse: true, limit: 1 });
  return last && decodeBlock(...last).at(-1)?.position;
}

/** Position of the first block on disk; `undefined` for a log without any. */
export async function firstPosition(directory: LevelDirectory): Promise<number | undefined> {
  const [first] = await directory.entries({ ...LOG_RANGE, limit: 1 });
  return first && decodeBlock(...first)[0]?.position;
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

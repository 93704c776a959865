import { firstWhere } from '../../../core/search.ts';
import type { Update } from '../../../core/update.ts';
import { type LevelDirectory, readAll } from '../leveldb/level-directory.ts';
import { corrupt } from '../leveldb/sealed.ts';
import { blockKey, blockPosition, decodeBlock, LOG_RANGE } from '../records/block-codec.ts';

/** Least number of outdated blocks that are dropped from the index together. */
const FORGOTTEN_AT_ONCE = 1024;

/**
 * First positions of the log blocks that are not in the state on disk yet, so that those blocks can be read
 * synchronously. The storage can look up a key synchronously, but not the next key.
 */
export class BlockIndex {
  readonly #directory: LevelDirectory;
  readonly #trailed: () => number;
  /** In ascending order; the blocks follow each other without a gap. */
  #starts: number[] = [];
  #forgetAt = FORGOTTEN_AT_ONCE;

  private constructor(directory: LevelDirectory, trailed: () => number) {
    this.#directory = directory;
    this.#trailed = trailed;
  }

  /**
   * Reads the index from the log. `trailed` returns the position up to which nothing is read any more; it only
   * increases.
   */
  static async open(directory: LevelDirectory, trailed: () => number): Promise<BlockIndex> {
    const index = new BlockIndex(directory, trailed);
    const before = { gte: LOG_RANGE.gte, lt: blockKey(trailed() + 1), reverse: true, limit: 1 };
    const [holding] = await directory.entries(before);
    const gte = holding?.[0] ?? LOG_RANGE.gte;
    for await (const [key] of readAll(directory, { gte, lt: LOG_RANGE.lt })) index.#starts.push(blockPosition(key));
    return index;
  }

  /** Adds the first positions of the next blocks. */
  add(starts: readonly number[]): void {
    this.#starts.push(...starts);
    if (this.#starts.length < this.#forgetAt) return;
    const gone = this.#holding(this.#trailed() + 1);
    this.#starts = this.#starts.slice(Math.max(0, gone));
    this.#forgetAt = 2 * this.#starts.length + FORGOTTEN_AT_ONCE;
  }

  /** Reads the updates on disk between two positions, both inclusive. */
  read(from: number, to: number): Update[] {
    const updates: Update[] = [];
    for (let index = this.#holding(from); (this.#starts[index] ?? to + 1) <= to; index += 1) {
      const key = blockKey(this.#starts[index] as number);
      const bytes = this.#directory.getSync(key);
      if (bytes === undefined) throw corrupt(`The log in ${this.#directory.path} lacks a block`);
      for (const update of decodeBlock(key, bytes))
        if (update.position >= from && update.position <= to) updates.push(update);
    }
    return updates;
  }

  /** Returns the index of the block that holds the position. */
  #holding(position: number): number {
    const { length } = this.#starts;
    return firstWhere(0, length, (index) => (this.#starts[index] ?? position) > position) - 1;
  }
}

import { firstWhere } from '../../../core/search.ts';
import type { Update } from '../../../core/update.ts';
import { type LevelDirectory, readAll } from '../leveldb/level-directory.ts';
import { corrupt } from '../leveldb/sealed.ts';
import { blockKey, blockPosition, decodeBlock, LOG_RANGE } from '../records/block-codec.ts';

/** Blocks that are no longer wanted are forgotten once there are so many. */
const FORGOTTEN_AT_ONCE = 1024;

/**
 * Where the blocks of the log begin that are not in the state on disk yet, so that they can be read at once: the
 * storage finds a key synchronously, but not the next one.
 */
export class BlockIndex {
  readonly #directory: LevelDirectory;
  readonly #trailed: () => number;
  /** Ascending; blocks follow each other without a gap. */
  #starts: number[] = [];
  #forgetAt = FORGOTTEN_AT_ONCE;

  private constructor(directory: LevelDirectory, trailed: () => number) {
    this.#directory = directory;
    this.#trailed = trailed;
  }

  /** `trailed`: what is at or before this position is not asked for any more; only goes up. */
  static async open(directory: LevelDirectory, trailed: () => number): Promise<BlockIndex> {
    const index = new BlockIndex(directory, trailed);
    const before = { gte: LOG_RANGE.gte, lt: blockKey(trailed() + 1), reverse: true, limit: 1 };
    const [holding] = await directory.entries(before);
    const gte = holding?.[0] ?? LOG_RANGE.gte;
    for await (const [key] of readAll(directory, { gte, lt: LOG_RANGE.lt })) index.#starts.push(blockPosition(key));
    return index;
  }

  /** Takes the starts of the next blocks. */
  add(starts: readonly number[]): void {
    this.#starts.push(...starts);
    if (this.#starts.length < this.#forgetAt) return;
    const gone = this.#holding(this.#trailed() + 1);
    this.#starts = this.#starts.slice(Math.max(0, gone));
    this.#forgetAt = 2 * this.#starts.length + FORGOTTEN_AT_ONCE;
  }

  /** Updates that are on disk, from one position to another, both inclusive. */
  read(from: number, to: number): Update[] {
    const updates: Update[] = [];
    for (let index = this.#holding(from); (this.#starts[index] ?? to + 1) <= to; index += 1) {
      const key = blockKey(this.#starts[index] as number);
      const bytes = this.#directory.getSync(key);
      if (bytes === undefined) throw corrupt(`The log in ${this.#directory.path} has lost a block`);
      for (const update of decodeBlock(key, bytes))
        if (update.position >= from && update.position <= to) updates.push(update);
    }
    return updates;
  }

  /** The index of the block that holds the position. */
  #holding(position: number): number {
    const { length } = this.#starts;
    return firstWhere(0, length, (index) => (this.#starts[index] ?? position) > position) - 1;
  }
}

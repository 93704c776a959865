import type { LevelDirectory } from '../storage/disk/leveldb/level-directory.ts';
import type { StorageRange } from '../storage/disk/leveldb/level-storage.ts';

/** Every record of a range, in order; holds about a mebibyte at a time. */
export async function* readAll(
  directory: LevelDirectory,
  range: Pick<StorageRange, 'gte' | 'lt'>,
): AsyncGenerator<readonly [string, Uint8Array]> {
  let { gte } = range;
  for (;;) {
    const entries = await directory.entries({ gte, lt: range.lt });
    yield* entries;
    const last = entries.at(-1);
    if (last === undefined) return;
    gte = `${last[0]}\0`;
  }
}

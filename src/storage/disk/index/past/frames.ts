import type { PastSummary } from '../records/past-records.ts';
import type { StoredNamespace } from '../records/state-records.ts';

/**
 * Least number of updates between two frames, … Measured with updates spread over the whole log, each of which lies in another compressed
 * block: a look takes 15 to 22 ms of processor at p99 instead of 53 to 61 with 1,024, and the directory 1 % more bytes.
 */
const FRAME_UPDATES = 256;
/** … and folding those must take at least this many times as long as reading the namespace. */
const FRAME_SHARE = 4;
/** Weight of an entry or update in bytes, without its value. */
const OVERHEAD_BYTES = 256;

/**
 * Returns whether a frame is due before the next update. A namespace that existed before its past is kept starts with a
 * frame.
 */
export function isFrameDue(base: StoredNamespace, known: PastSummary | undefined): boolean {
  if (base.version === 0) return false;
  if (known === undefined) return true;
  const { count, framedAt, weight } = known;
  return count - framedAt >= FRAME_UPDATES && weight >= FRAME_SHARE * (base.count * OVERHEAD_BYTES + base.bytes);
}

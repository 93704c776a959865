import { join } from 'node:path';
import type { TimeSlice } from '../../../core/time-slice.ts';
import { corrupt } from '../corrupt.ts';
import { type Files, readFile, writeUnfinished } from '../files.ts';
import { BLOCK_BYTES, type BlockMark, encodeBlock } from './compressed-block.ts';
import { type Frame, frameAt, MAGIC } from './frame.ts';
import { headingIn, segmentName } from './segment.ts';

/** Bytes of the original that are written at a time. */
const WRITE_BYTES = 1024 * 1024;

/** A file of the log that takes no more updates. */
export interface ClosedSegment {
  /** Position that it starts with. */
  readonly first: number;
  /** Position that the file behind it starts with. */
  readonly next: number;
}

/** Returns the name of the compressed form of a file until it replaces the file. */
export function compressedName(first: number): string {
  return `${segmentName(first)}.compressed.new`;
}

/**
 * Writes the compressed form of a file of the log beside it and syncs it. Leaves out what the file holds from position `next` on, the
 * first one of the file that follows: that was never committed.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` if the file is damaged, `LOG_UNAVAILABLE`; an error of the file system.
 */
export async function compressSegment(
  files: Files,
  directory: string,
  { first, next }: ClosedSegment,
  slice: TimeSlice,
): Promise<void> {
  const path = join(directory, segmentName(first));
  const bytes = readFile(files, path);
  const { end, marks } = committedPart(bytes, first, next, path);
  const file = await writeUnfinished(files, join(directory, compressedName(first)), false, async (created) => {
    await created.write([MAGIC], 0);
    let length = MAGIC.length;
    let parts: Buffer[] = [];
    for (let start = 0; start < end; start += BLOCK_BYTES) {
      const block = { start, end: Math.min(end, start + BLOCK_BYTES), mark: marks[start / BLOCK_BYTES] };
      parts.push(encodeBlock(bytes, block));
      if (slice.over) await slice.pause();
      if (block.end < end && block.end % WRITE_BYTES > 0) continue;
      await created.write(parts, length);
      for (const part of parts) length += part.length;
      parts = [];
    }
  });
  await file.close();
}

/** Returns where the updates before `next` end in a file, and for each block the first frame with updates that begins in it. */
function committedPart(
  bytes: Buffer,
  first: number,
  next: number,
  path: string,
): { readonly end: number; readonly marks: readonly (BlockMark | undefined)[] } {
  const marks: (BlockMark | undefined)[] = [];
  let position = first;
  let { end } = headingIn(bytes, path);
  for (let frame: Frame | undefined; position < next; end = frame.end) {
    frame = frameAt(bytes, end);
    if (frame === undefined) throw corrupt(`${path} is damaged at byte ${end}: it lacks position ${position}`);
    if (frame.count === 0) continue;
    if (frame.position !== position) throw corrupt(`${path} has position ${frame.position} at byte ${end}`);
    position += frame.count;
    marks[Math.floor(end / BLOCK_BYTES)] ??= { position: frame.position, offset: end };
  }
  return { end, marks };
}

import { deflateSync, inflateSync } from 'node:zlib';
import { COMPRESSED, FRAME_HEADER, type Frame, sealFrame } from './frame.ts';

/**
 * Bytes of the original in each block but the last. Measured with updates of 84 bytes: blocks of 64 KiB take 11.5 % of their bytes and
 * 55 µs to inflate, blocks of 16 KiB take 12.5 % and 20 to 40 µs.
 */
export const BLOCK_BYTES = 64 * 1024;
/** Level 3 takes 10.9 % and a third more time. */
const LEVEL = 1;

/** A location in the original. */
export interface BlockMark {
  /** Position of the first update of the frame. */
  readonly position: number;
  /** First byte of the frame. */
  readonly offset: number;
}

/**
 * A block of a file of the log: the payload of a frame with the flag `COMPRESSED`, deflated in the format of zlib. The header of
 * the frame has the mark as position and synced bytes (0: none), and as count the number of bytes of the original up to the end of the
 * block. All blocks of a file make up the original, from its first byte on.
 */
export interface Block {
  /** First byte in the original. */
  readonly start: number;
  /** First byte behind it in the original. */
  readonly end: number;
  /** The first frame with updates that begins in the block. */
  readonly mark: BlockMark | undefined;
}

/** Encodes a block of the original as a frame. */
export function encodeBlock(original: Buffer, { start, end, mark }: Block): Buffer {
  const bytes = original.subarray(start, end);
  const deflated = deflateSync(bytes, { level: LEVEL });
  // It replaces the only copy.
  if (!inflate(deflated).equals(bytes)) throw new Error('A block has changed while it was compressed');
  const frame = Buffer.concat([Buffer.alloc(FRAME_HEADER), deflated]);
  return sealFrame(frame, {
    ...{ position: mark?.position ?? 0, flags: COMPRESSED },
    ...{ synced: mark?.offset ?? 0, count: end },
  });
}

/** Returns what the header of a whole frame says of its block; `undefined` if it cannot be a block. */
export function blockIn({ flags, position, synced, count: end }: Frame): Block | undefined {
  if (flags !== COMPRESSED || end === 0) return undefined;
  const start = end - 1 - ((end - 1) % BLOCK_BYTES);
  const mark = synced === 0 ? undefined : { position, offset: synced };
  return mark !== undefined && (mark.offset < start || mark.offset >= end) ? undefined : { start, end, mark };
}

/** Returns the bytes of the original in a block; `undefined` if they differ from what was compressed. */
export function inflateBlock({ payload }: Frame, { start, end }: Block): Buffer | undefined {
  try {
    const bytes = inflate(payload);
    return bytes.length === end - start ? bytes : undefined;
  } catch {
    return undefined;
  }
}

/** Inflates into one piece: by default Node joins pieces of 16 KiB, which takes twice the time. */
function inflate(deflated: Buffer): Buffer {
  return inflateSync(deflated, { chunkSize: BLOCK_BYTES + 64, maxOutputLength: BLOCK_BYTES + 64 });
}

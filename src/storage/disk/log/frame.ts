import { crc32 } from 'node:zlib';
import { decodeValue } from '../../../core/encoding/codec.ts';
import { MessageWriter } from '../../../core/encoding/message-writer.ts';
import { corrupt } from '../corrupt.ts';

/**
 * A file of the log or a base file: {@link MAGIC}, then frames one behind the other. A frame is a header of 24 bytes
 * (little-endian) and a payload:
 *
 * | bytes | holds |
 * |---|---|
 * | 0–3 | CRC-32 of the rest of the frame |
 * | 4–7 | number of bytes in the payload, above 0 |
 * | 8–13 | position of its first update; in a frame without updates, of the last one before it |
 * | 14–15 | flags |
 * | 16–19 | number of bytes of the file that were on disk for sure when this frame was written |
 * | 20–23 | number of updates, or of entries of a base file |
 *
 * The number of synced bytes distinguishes damage from a write that a crash has cut off: bytes that a whole frame behind them
 * states to be on disk were on disk. In a file that was shortened the number counts the bytes of the original, so the shift of
 * the heading is subtracted before it is compared with an offset.
 */
export interface Frame {
  /** First byte in the file. */
  readonly offset: number;
  /** First byte behind it. */
  readonly end: number;
  readonly position: number;
  readonly flags: number;
  /** Bytes of the file, before it was shortened, that were on disk when the frame was written. */
  readonly synced: number;
  /** Number of its updates, or of its entries of a base file. */
  readonly count: number;
  readonly payload: Buffer;
  /** First byte in the file of the block that holds it, if the file is compressed; `offset` is then that in the original. */
  readonly block?: number;
}

/** The header of a frame, without what follows from the payload. */
export type FrameFields = Pick<Frame, 'position' | 'flags' | 'synced' | 'count'>;

/** First bytes of each file. The number is the format's. */
export const MAGIC = Buffer.from('context-cache 4\n');
export const FRAME_HEADER = 24;

/** The frame holds no updates but a note: a map of settings and checkpoints. */
export const NOTE = 1;
/** The frame belongs together with the next one: both are in the log or neither. */
export const CONTINUED = 2;
/** The frame holds a part of a base file's state. */
export const STATE = 4;
/** Some of the frame's updates have an operation id. */
export const OPERATIONS = 8;
/** Some of the frame's updates drop a namespace. */
export const DROPS = 32;
/** The frame holds a compressed block of another file of the log; see `blockIn`. */
export const COMPRESSED = 16;

const writer = new MessageWriter();

/** Encodes a frame whose payload `write` writes. `write` must not encode another frame meanwhile. */
export function encodeFrame(fields: FrameFields, write: (to: MessageWriter) => void): Buffer {
  writer.begin(FRAME_HEADER);
  write(writer);
  return sealFrame(writer.end(), fields);
}

/** Writes the header of a frame into the bytes in front of its payload, and returns them. */
export function sealFrame(bytes: Buffer, { position, flags, synced, count }: FrameFields): Buffer {
  bytes.writeUInt32LE(bytes.length - FRAME_HEADER, 4);
  bytes.writeUIntLE(position, 8, 6);
  bytes.writeUInt16LE(flags, 14);
  bytes.writeUInt32LE(synced, 16);
  bytes.writeUInt32LE(count, 20);
  bytes.writeUInt32LE(crc32(bytes.subarray(4)), 0);
  return bytes;
}

/**
 * Returns the frame that starts at an index of `bytes`, or `undefined` if no whole frame does. `start` is the offset of
 * `bytes` in the file.
 */
export function frameAt(bytes: Buffer, index: number, start = 0): Frame | undefined {
  if (index + FRAME_HEADER >= bytes.length) return undefined;
  const length = bytes.readUInt32LE(index + 4);
  const end = index + FRAME_HEADER + length;
  if (length === 0 || end > bytes.length) return undefined;
  if (bytes.readUInt32LE(index) !== crc32(bytes.subarray(index + 4, end))) return undefined;
  return {
    offset: start + index,
    end: start + end,
    position: bytes.readUIntLE(index + 8, 6),
    flags: bytes.readUInt16LE(index + 14),
    synced: bytes.readUInt32LE(index + 16),
    count: bytes.readUInt32LE(index + 20),
    payload: bytes.subarray(index + FRAME_HEADER, end),
  };
}

/** Returns the number of bytes that the frame at this index claims to take, or `undefined` at the end of the frames. */
export function claimedLength(bytes: Buffer, index: number): number | undefined {
  if (index + 8 > bytes.length) return undefined;
  const length = bytes.readUInt32LE(index + 4);
  return length === 0 ? undefined : FRAME_HEADER + length;
}

/** Decodes the note in a frame. */
export function decodeNote(frame: Frame, what: () => string): Readonly<Record<string, unknown>> {
  try {
    return decodeValue(frame.payload) as unknown as Readonly<Record<string, unknown>>;
  } catch (cause) {
    throw corrupt(`${what()} cannot be decoded`, cause);
  }
}

const ZEROS = Buffer.alloc(64 * 1024);

/** Returns the index of the first byte from `index` on that is not 0; the length of `bytes` if all are. */
export function firstNonZero(bytes: Buffer, index: number): number {
  let at = index;
  for (; at < bytes.length; at += ZEROS.length) {
    const part = bytes.subarray(at, at + ZEROS.length);
    if (part.compare(ZEROS, 0, part.length) !== 0) break;
  }
  while (at < bytes.length && bytes[at] === 0) at += 1;
  return Math.min(at, bytes.length);
}

/**
 * Looks for a whole frame behind a damaged one that proves the damaged one to have been on disk. `shift`: that of the file's
 * heading.
 *
 * @returns its offset; `undefined` if the damage can be the end of a write that a crash has cut off.
 */
export function proofBehind(bytes: Buffer, damaged: number, shift: number): number | undefined {
  for (let start = damaged + 1; start + FRAME_HEADER < bytes.length; start += 1) {
    // A header may begin with zeros, but it is not all zeros.
    if (bytes[start] === 0) start = Math.max(start, firstNonZero(bytes, start) - FRAME_HEADER);
    if (proves(bytes, start, damaged, shift)) return start;
  }
  return undefined;
}

function proves(bytes: Buffer, start: number, damaged: number, shift: number): boolean {
  if (start + FRAME_HEADER >= bytes.length) return false;
  const synced = bytes.readUInt32LE(start + 16) - shift;
  return synced > damaged && synced <= start && frameAt(bytes, start) !== undefined;
}

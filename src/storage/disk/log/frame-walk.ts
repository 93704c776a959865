import type { Files, ReadableFile } from '../files.ts';
import { blockIn, inflateBlock } from './compressed-block.ts';
import {
  COMPRESSED,
  claimedLength,
  decodeNote,
  FRAME_HEADER,
  type Frame,
  firstNonZero,
  frameAt,
  MAGIC,
  NOTE,
} from './frame.ts';

/** Bytes of a file that belong to no whole frame. */
export interface Damage {
  readonly offset: number;
  /** First byte of the next whole frame, or the end of the file. */
  readonly end: number;
  readonly payload?: undefined;
}

/** Bytes read at a time. */
const READ_BYTES = 256 * 1024;
/** Greatest value of a frame's flags. */
const MOST_FLAGS = 63;

export function isDamage(item: Frame | Damage): item is Damage {
  return item.payload === undefined;
}

/**
 * Iterates over the whole frames of a file, also behind damage: looks for the next frame at every byte. Zeros at the end
 * are space that is not used yet, and no damage. The frames of a shortened file have `synced` as an offset of the file as it is.
 * A compressed file gives the frames of the original, with offsets in the original; damage keeps offsets in the file itself.
 */
export function* walkFrames(files: Files, path: string): Generator<Frame | Damage> {
  const original = new OriginalFrames();
  let isExplained = false;
  for (const item of walkStored(files, path)) {
    isExplained = isDamage(item);
    if (!isDamage(item) && (item.flags & COMPRESSED) !== 0) yield* original.take(item);
    else yield item;
  }
  if (!isExplained) yield* original.end();
}

/** Iterates over the frames that a file consists of. */
function* walkStored(files: Files, path: string): Generator<Frame | Damage> {
  const file = files.open(path);
  try {
    const window = new Window(file);
    if (!window.from(0, MAGIC.length).subarray(0, MAGIC.length).equals(MAGIC)) yield { offset: 0, end: MAGIC.length };
    const shift = shiftOf(frameIn(window, MAGIC.length));
    for (let offset = MAGIC.length; ; ) {
      const frame = frameIn(window, offset);
      if (frame !== undefined) {
        yield { ...frame, synced: frame.synced - (shift ?? 0) };
        offset = frame.end;
        continue;
      }
      const end = nextFrame(window, offset, shift);
      if (end !== undefined || !isZero(window, offset)) yield { offset, end: end ?? window.size };
      if (end === undefined) return;
      offset = end;
    }
  } finally {
    file.close();
  }
}

/** Returns the shift in the heading of a file; `undefined` if it is damaged. */
function shiftOf(heading: Frame | undefined): number | undefined {
  if (heading === undefined || (heading.flags & NOTE) === 0) return undefined;
  try {
    const { shift = 0 } = decodeNote(heading, () => '');
    return typeof shift === 'number' ? shift : undefined;
  } catch {
    // Reported by the reader of the frames.
    return undefined;
  }
}

/** The frames of the original in the blocks of a compressed file. */
class OriginalFrames {
  /** Bytes of a frame that goes on in the next block. */
  #parts: Buffer[] = [];
  #length = 0;
  /** Offset of these bytes in the original; `undefined` if a frame must be found first. */
  #start: number | undefined = 0;
  /** Number of bytes that the frame claims to have. */
  #claimed = 0;
  /** Location of the block in which the frame begins, and of the last block. */
  #from: Damage = { offset: 0, end: 0 };
  #last: Damage = { offset: 0, end: 0 };

  /** Iterates over the frames that are complete with one more block. */
  *take(frame: Frame): Generator<Frame | Damage> {
    const block = blockIn(frame);
    const bytes = block && inflateBlock(frame, block);
    this.#last = { offset: frame.offset, end: frame.end };
    if (block === undefined || bytes === undefined) {
      this.#restart(undefined);
      yield this.#last;
      return;
    }
    const follows = this.#start !== undefined && this.#start + this.#length === block.start;
    // Behind a gap the frames are read on from the first one that begins in the block.
    if (!follows) this.#restart(block.mark?.offset);
    if (this.#start === undefined) return;
    const part = follows ? bytes : bytes.subarray(this.#start - block.start);
    if (this.#parts.length === 0) this.#from = this.#last;
    this.#parts.push(part);
    this.#length += part.length;
    if (this.#length >= this.#claimed) yield* this.#frames(this.#length - part.length);
  }

  /** Yields damage if the last block ends inside a frame. */
  *end(): Generator<Damage> {
    if (this.#length > 0) yield { offset: this.#from.offset, end: this.#last.end };
  }

  /** `before`: number of bytes that lie in earlier blocks. */
  *#frames(before: number): Generator<Frame | Damage> {
    const bytes = this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts);
    const start = this.#start as number;
    let index = 0;
    if (start === 0) {
      index = MAGIC.length;
      if (!bytes.subarray(0, index).equals(MAGIC)) yield this.#last;
    }
    for (let frame = frameAt(bytes, index, start); frame !== undefined; frame = frameAt(bytes, index, start)) {
      yield { ...frame, block: (index < before ? this.#from : this.#last).offset };
      index = frame.end - start;
    }
    const claimed = claimedLength(bytes, index) ?? FRAME_HEADER + 1;
    const isDamaged = index + claimed <= bytes.length;
    if (isDamaged) yield { offset: (index < before ? this.#from : this.#last).offset, end: this.#last.end };
    if (index >= before) this.#from = this.#last;
    this.#restart(isDamaged ? undefined : start + index);
    this.#claimed = claimed;
    if (isDamaged || index === bytes.length) return;
    this.#parts = [bytes.subarray(index)];
    this.#length = bytes.length - index;
  }

  #restart(start: number | undefined): void {
    this.#parts = [];
    this.#length = 0;
    this.#start = start;
    this.#claimed = 0;
  }
}

/** A part of a file in memory. */
class Window {
  readonly #file: ReadableFile;
  #bytes = Buffer.alloc(0);
  #start = 0;
  #isEnd = false;

  constructor(file: ReadableFile) {
    this.#file = file;
  }

  /** Number of bytes of the file, once its end was read. */
  get size(): number {
    return this.#start + this.#bytes.length;
  }

  /** Returns the bytes from an offset on: at least `length` of them, fewer only at the end of the file. */
  from(offset: number, length: number): Buffer {
    const index = offset - this.#start;
    if (index < 0 || (index + length > this.#bytes.length && !this.#isEnd)) this.#fill(offset, length);
    return this.#bytes.subarray(offset - this.#start);
  }

  #fill(offset: number, length: number): void {
    const kept = offset >= this.#start ? this.#bytes.subarray(offset - this.#start) : Buffer.alloc(0);
    const parts: Buffer[] = [kept];
    this.#isEnd = false;
    // A number of bytes that is damaged must not be allocated: reads up to the end of the file.
    for (let has = kept.length; has < length && !this.#isEnd; ) {
      const part = Buffer.allocUnsafe(READ_BYTES);
      const read = this.#file.read(part, offset + has);
      this.#isEnd = read < READ_BYTES;
      parts.push(part.subarray(0, read));
      has += read;
    }
    this.#bytes = Buffer.concat(parts);
    this.#start = offset;
  }
}

function frameIn(window: Window, offset: number): Frame | undefined {
  const bytes = window.from(offset, FRAME_HEADER);
  const claimed = claimedLength(bytes, 0);
  if (claimed === undefined) return undefined;
  return frameAt(claimed > bytes.length ? window.from(offset, claimed) : bytes, 0, offset);
}

/** Returns the offset of the first whole frame behind an offset. */
function nextFrame(window: Window, after: number, shift = Number.POSITIVE_INFINITY): number | undefined {
  for (let start = after + 1; ; ) {
    const bytes = window.from(start, READ_BYTES);
    const last = bytes.length - FRAME_HEADER - 1;
    let index = 0;
    for (; index <= last; index += 1) {
      // A header may begin with zeros, but it is not all zeros.
      if (bytes[index] === 0) index = Math.max(index, firstNonZero(bytes, index) - FRAME_HEADER);
      if (index <= last && isHeader(bytes, index, start + shift) && frameIn(window, start + index) !== undefined) {
        return start + index;
      }
    }
    if (bytes.length < READ_BYTES) return undefined;
    start += index;
  }
}

/**
 * Returns whether the bytes at an index can be the header of a frame; the checksum is only computed then. `start`: offset of
 * the bytes in the file before it was shortened.
 */
function isHeader(bytes: Buffer, index: number, start: number): boolean {
  return (
    bytes.readUInt32LE(index + 4) > 0 &&
    bytes.readUInt16LE(index + 14) <= MOST_FLAGS &&
    bytes.readUInt32LE(index + 16) <= start + index
  );
}

function isZero(window: Window, offset: number): boolean {
  const bytes = window.from(offset, Number.POSITIVE_INFINITY);
  return firstNonZero(bytes, 0) === bytes.length;
}

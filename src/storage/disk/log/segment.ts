import { join } from 'node:path';
import { firstWhere } from '../../../core/search.ts';
import { corrupt } from '../corrupt.ts';
import type { Files } from '../files.ts';
import { claimedLength, decodeNote, type Frame, firstNonZero, frameAt, MAGIC, NOTE } from './frame.ts';
import type { Heading } from './notes.ts';
import { type BlockTable, openSegment, type SegmentFile } from './segment-file.ts';

/** Bytes read at a time if frames are small. */
const CHUNK_BYTES = 256 * 1024;
/** If frames are large, a read has room for one that is larger than the last by this factor, so that few are read twice. */
const ROOM = 1.25;
/** Distance of the frames whose offsets are remembered. */
const MARK_BYTES = 64 * 1024;

/** The name of the file that starts with a position. Names sort as positions do. */
export function segmentName(first: number): string {
  return `${String(first).padStart(16, '0')}.log`;
}

/** Returns the position that a file of the log starts with; `undefined` for another file. */
export function firstOf(name: string): number | undefined {
  return /^\d{16}\.log$/.test(name) ? Number.parseInt(name, 10) : undefined;
}

/**
 * One file of the log, as it is read. Reads are synchronous: what is read of a log is nearly always in the system's cache, where
 * a read takes microseconds, and a turn through the thread pool takes ten times as long.
 */
export class Segment {
  readonly first: number;
  readonly path: string;
  readonly #files: Files;
  #file: SegmentFile | undefined;
  /** The blocks of the file, once it was opened as a compressed one. They outlive its closing. */
  #table: BlockTable | undefined;
  #heading: { readonly end: number; readonly shift: number } | undefined;
  /** Bytes of the frame that was read last. */
  #frameBytes = 0;
  /** First positions of some frames, in ascending order, and their offsets. */
  #positions: number[] = [];
  #offsets: number[] = [];

  constructor(files: Files, directory: string, first: number) {
    this.first = first;
    this.path = join(directory, segmentName(first));
    this.#files = files;
  }

  /** Remembers where a frame is, unless a frame nearby or a later one is remembered. */
  mark(position: number, offset: number): void {
    if (this.#table !== undefined || offset < (this.#offsets.at(-1) ?? -MARK_BYTES) + MARK_BYTES) return;
    this.#positions.push(position);
    this.#offsets.push(offset);
  }

  /** Returns the last frame at or before a position that is remembered. */
  markBefore(position: number): { readonly position: number; readonly offset: number } | undefined {
    const index = firstWhere(0, this.#positions.length, (each) => (this.#positions[each] as number) > position) - 1;
    return index < 0
      ? undefined
      : { position: this.#positions[index] as number, offset: this.#offsets[index] as number };
  }

  /**
   * Reads the frames with updates from `from` to `to` that the file holds, oldest first: as many as one read returns, and
   * at least one. None: the file does not hold `from`.
   *
   * @throws {ContextCacheError} `LOG_CORRUPT` naming file and offset, `LOG_UNAVAILABLE`.
   */
  frames(from: number, to: number): Frame[] {
    const { end, shift } = this.#opening();
    const found: Frame[] = [];
    let offset = this.markBefore(from)?.offset ?? end;
    for (let length = this.#usual; ; ) {
      const chunk = this.#read(offset, length);
      let index = 0;
      let next = 0;
      for (let frame = frameAt(chunk, 0, offset); frame !== undefined; frame = frameAt(chunk, index, offset)) {
        index = frame.end - offset;
        this.#frameBytes = frame.end - frame.offset;
        if (frame.count === 0) continue;
        if (frame.position > to) return found;
        this.mark(frame.position, frame.offset);
        next = frame.position + frame.count;
        if (next <= from) continue;
        found.push(shift === 0 ? frame : { ...frame, offset: frame.offset + shift, end: frame.end + shift });
        if (next > to) break;
      }
      // Damage behind the frames that were found is reported to readers of the positions there.
      if (found.length > 0) {
        // A reader that continues begins here.
        this.mark(next, offset + index);
        return found;
      }
      const claimed = claimedLength(chunk, index);
      if (chunk.length < length || (index === 0 && (claimed === undefined || claimed <= chunk.length))) {
        // Throws if a damaged block follows.
        if (chunk.length < length) this.#read(offset + chunk.length, 1);
        if (firstNonZero(chunk, index) === chunk.length) return found;
        throw corrupt(`${this.path} is damaged at byte ${this.#opened().locate(offset + index)}`);
      }
      // A frame that does not fit. The number of bytes that it claims may be damaged.
      length = index === 0 ? Math.min(claimed ?? 0, 2 * length) : this.#usual;
      offset += index;
    }
  }

  /** Number of bytes to read next. */
  get #usual(): number {
    return Math.max(CHUNK_BYTES, Math.ceil(ROOM * this.#frameBytes));
  }

  /** Reads bytes at an offset of the file as it was before its start was released. */
  bytes(offset: number, length: number): Buffer {
    return this.#read(offset - this.#opening().shift, length);
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  #opening(): { readonly end: number; readonly shift: number } {
    if (this.#heading !== undefined) return this.#heading;
    let bytes = this.#read(0, 4096);
    const claimed = MAGIC.length + (claimedLength(bytes, MAGIC.length) ?? 0);
    if (claimed > 4096) bytes = this.#read(0, Math.min(claimed, 1024 * CHUNK_BYTES));
    const frame = headingIn(bytes, this.path);
    const { shift } = decodeNote(frame, () => `The heading of ${this.path}`) as unknown as Heading;
    this.#heading = { end: frame.end, shift };
    return this.#heading;
  }

  #read(offset: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    return bytes.subarray(0, this.#opened().read(bytes, offset));
  }

  #opened(): SegmentFile {
    if (this.#file !== undefined) return this.#file;
    const file = openSegment(this.#files, this.path, this.#table);
    this.#file = file;
    if (this.#table !== undefined || file.blocks === undefined) return file;
    // Each block has a mark, so no others are needed.
    this.#table = file.blocks;
    const marks = this.#table.blocks.flatMap(({ mark }) => mark ?? []);
    this.#positions = marks.map(({ position }) => position);
    this.#offsets = marks.map(({ offset }) => offset);
    return file;
  }
}

/**
 * Returns the frame that a file of the log starts with.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT`.
 */
export function headingIn(bytes: Buffer, path: string): Frame {
  const frame = bytes.subarray(0, MAGIC.length).equals(MAGIC) ? frameAt(bytes, MAGIC.length) : undefined;
  if (frame === undefined || (frame.flags & NOTE) === 0) throw corrupt(`The heading of ${path} is damaged (byte 0)`);
  return frame;
}

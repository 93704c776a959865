import { createWhole, type Files, readFile, type WritableFile } from '../files.ts';
import { encodeFrame, MAGIC, NOTE } from './frame.ts';
import type { Heading } from './notes.ts';
import { segmentName } from './segment.ts';
import type { Segments } from './segments.ts';

/**
 * A file takes no more groups once it has this many bytes. Measured on ext4: with durable writes a new file costs 2 ms, and filling it
 * takes 0.9 s with writes of 4 KiB, 30 ms with writes of 1 MiB.
 */
const SEGMENT_BYTES = 16 * 1024 * 1024;
/**
 * A small write is preceded by this many zeros, so that the writes that follow change neither the length of the file nor its
 * blocks. Measured on ext4: 250 instead of 400 µs a write.
 */
const GROWTH_BYTES = 1024 * 1024;
/** A larger write gains nothing from it. */
const SMALL_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(GROWTH_BYTES);

/** Writes the files of a log, one write at a time. After a failed write nothing more is written to the same file. */
export class SegmentWriter {
  readonly #files: Files;
  readonly #segments: Segments;
  readonly #sync: boolean;
  #file: WritableFile | undefined;
  /** First byte behind the last frame. */
  #end = 0;
  /** Length of the file, whose end may be zeros. */
  #length = 0;
  /** Bytes that are on disk for sure. */
  #synced = 0;
  #hasWritten = false;

  /** With `sync` a write resolves only when the disk has it. */
  constructor(files: Files, segments: Segments, sync: boolean) {
    this.#files = files;
    this.#segments = segments;
    this.#sync = sync;
  }

  /** Bytes of the present file that are on disk for sure; frames state it. */
  get synced(): number {
    return this.#synced;
  }

  /** `true` if something was added since the log was opened. */
  get hasWritten(): boolean {
    return this.#hasWritten;
  }

  /** `true` if the present file is full. */
  get isFull(): boolean {
    return this.#end >= SEGMENT_BYTES;
  }

  /** Continues the last file, whose frames end at `end`; before `synced` they are on disk for sure. */
  async continue(path: string, bytes: Buffer, synced: number, end: number): Promise<void> {
    const file = await this.#files.continue(path, this.#sync);
    this.#file = file;
    this.#end = end;
    this.#length = bytes.length;
    await rewrite(file, bytes, synced, end);
    this.#synced = end;
  }

  /** Starts a new file, whose first update has position `first`. The last file's updates from that position on become void. */
  async begin(first: number, heading: Heading): Promise<void> {
    const bytes = Buffer.concat([MAGIC, headingFrame(first, heading)]);
    const last = this.#file;
    this.#file = undefined;
    if (last !== undefined) await this.#leave(last);
    else if (this.#synced < this.#end) await this.#rescue();
    this.#file = await createWhole(this.#files, this.#segments.directory, segmentName(first), this.#sync, (file) =>
      file.write([bytes], 0),
    );
    this.#end = bytes.length;
    this.#length = bytes.length;
    this.#synced = bytes.length;
    this.#segments.replace(first);
  }

  /** Writes frames as one group, the first of which starts with `position` or is a note. */
  async write(frames: readonly Uint8Array[], position: number): Promise<void> {
    const file = this.#file;
    if (file === undefined) throw new Error('No file of the log is open.');
    const start = this.#end;
    const bytes = frames.reduce((sum, { length }) => sum + length, 0);
    try {
      if (bytes < SMALL_BYTES && start + bytes > this.#length) {
        await file.write([ZEROS], this.#length);
        this.#length += ZEROS.length;
      }
      await file.write(frames, start);
    } catch (error) {
      // A second write could come to lie behind half of this one, and a sync that failed says nothing the second time.
      this.#file = undefined;
      await file.close().catch(() => undefined);
      throw error;
    }
    this.#hasWritten = true;
    this.#end += bytes;
    this.#length = Math.max(this.#length, this.#end);
    if (this.#sync) this.#synced = this.#end;
    this.#segments.last?.mark(position, start);
  }

  /** Makes durable what was written before a write failed, unless the log waits for the disk: then it is. */
  async #rescue(): Promise<void> {
    const path = this.#segments.last?.path as string;
    const file = await this.#files.continue(path, false);
    try {
      await rewrite(file, readFile(this.#files, path), this.#synced, this.#end);
      this.#synced = this.#end;
    } finally {
      await file.close();
    }
  }

  /** Makes everything that was written durable, also without `sync`. After a failure nothing more is written to the same file. */
  async flush(): Promise<void> {
    const file = this.#file;
    if (file === undefined || this.#synced === this.#end) return;
    try {
      await file.sync();
    } catch (error) {
      this.#file = undefined;
      await file.close().catch(() => undefined);
      throw error;
    }
    this.#synced = this.#end;
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    if (file !== undefined) await this.#leave(file);
  }

  /** Cuts the zeros off a file that is not written any longer, and closes it. */
  async #leave(file: WritableFile): Promise<void> {
    // If this fails, the file keeps its zeros, which readers skip.
    if (this.#length > this.#end) await file.truncate(this.#end).catch(() => undefined);
    try {
      if (this.#synced < this.#end) await file.sync();
      this.#synced = this.#end;
    } finally {
      await file.close();
    }
  }
}

/**
 * Makes durable what was read of a file. It is written again, because it may be in the system's cache alone: after a failed
 * write Linux takes the pages there for written, and a sync leaves them out.
 */
async function rewrite(file: WritableFile, bytes: Buffer, from: number, end: number): Promise<void> {
  if (from < end) await file.write([bytes.subarray(from, end)], from);
  await file.sync();
}

function headingFrame(first: number, heading: Heading): Buffer {
  return encodeFrame({ position: first - 1, flags: NOTE, synced: 0, count: 0 }, (to) => to.value(heading));
}

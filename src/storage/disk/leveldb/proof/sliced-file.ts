import { type FileHandle, open } from 'node:fs/promises';
import crc32c from 'crc-32/crc32c.js';

/** Number of bytes read at a time from a longer range. */
const SLICE_BYTES = 256 * 1024;
const MASK_DELTA = 0xa282ead8;

/** Returns the CRC-32C of bytes as LevelDB stores it: rotated by 15 bits, plus a constant. */
export function maskedChecksum(bytes: Uint8Array): number {
  return mask(crc32c.buf(bytes));
}

function mask(checksum: number): number {
  return (((checksum >>> 15) | (checksum << 17)) + MASK_DELTA) >>> 0;
}

/** A file that is read in slices, one call at a time. Each call overwrites the bytes that the last one returned. */
export class SlicedFile {
  /** Size in bytes when the file was opened. */
  readonly size: number;
  readonly #handle: FileHandle;
  readonly #signal: AbortSignal | undefined;
  #buffer = Buffer.alloc(0);
  #slice = this.#buffer;
  #begin = 0;

  private constructor(handle: FileHandle, size: number, signal: AbortSignal | undefined) {
    this.#handle = handle;
    this.size = size;
    this.#signal = signal;
  }

  static async open(path: string, signal?: AbortSignal): Promise<SlicedFile> {
    const handle = await open(path, 'r');
    try {
      return new SlicedFile(handle, (await handle.stat()).size, signal);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Resolves with fewer than `length` bytes if the file ends earlier. */
  async read(offset: number, length: number): Promise<Buffer> {
    if (offset < this.#begin || offset + length > this.#begin + this.#slice.length) {
      await this.#fill(offset, Math.max(length, SLICE_BYTES));
    }
    return this.#slice.subarray(offset - this.#begin, offset - this.#begin + length);
  }

  /** Resolves with the masked CRC-32C of a range of any length; `undefined` if the file ends earlier. */
  async checksum(offset: number, length: number): Promise<number | undefined> {
    let checksum = 0;
    for (let done = 0; done < length; ) {
      const bytes = await this.read(offset + done, Math.min(SLICE_BYTES, length - done));
      if (bytes.length === 0) return undefined;
      checksum = crc32c.buf(bytes, checksum);
      done += bytes.length;
    }
    return mask(checksum);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  async #fill(offset: number, length: number): Promise<void> {
    this.#signal?.throwIfAborted();
    const wanted = Math.max(0, Math.min(length, this.size - offset));
    if (this.#buffer.length < wanted) this.#buffer = Buffer.allocUnsafe(wanted);
    let filled = 0;
    while (filled < wanted) {
      const { bytesRead } = await this.#handle.read(this.#buffer, filled, wanted - filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    this.#slice = this.#buffer.subarray(0, filled);
    this.#begin = offset;
  }
}

import { corrupt } from '../corrupt.ts';
import { type Files, openFile, type ReadableFile, readFile } from '../files.ts';
import { BLOCK_BYTES, type Block, blockIn, inflateBlock } from './compressed-block.ts';
import { COMPRESSED, FRAME_HEADER, frameAt, MAGIC } from './frame.ts';

/** A reader of a log file. Gives the original bytes, also if the file has been compressed. */
export interface SegmentFile extends ReadableFile {
  /** The blocks of a compressed file; `undefined` of one that is not compressed. */
  readonly blocks: BlockTable | undefined;
  /** Returns the location in the file of a byte of the original. */
  locate(offset: number): number;
}

/** A block and its location in the file. */
interface StoredBlock extends Block {
  readonly offset: number;
  readonly length: number;
}

/** The blocks of a compressed file, in order, up to the first damaged one. */
export interface BlockTable {
  readonly blocks: readonly StoredBlock[];
  /** Location of the first damaged block; `undefined` without one. */
  readonly damagedAt: number | undefined;
}

/**
 * Opens a file of the log to read it. `table`: its blocks, if they are known; otherwise a compressed file is read and checked
 * completely.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` if the file is missing, `LOG_UNAVAILABLE` if it cannot be read.
 */
export function openSegment(files: Files, path: string, table?: BlockTable): SegmentFile {
  const file = openFile(files, path);
  try {
    if (!startsCompressed(file)) {
      const read: SegmentFile['read'] = (target, offset) => file.read(target, offset);
      return { blocks: undefined, read, locate: (offset) => offset, close: () => file.close() };
    }
    return new CompressedFile(file, path, table ?? tableOf(readFile(files, path)));
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Returns whether a file of the log is compressed. Throws as {@link openSegment} does. */
export function isCompressed(files: Files, path: string): boolean {
  const file = openFile(files, path);
  try {
    return startsCompressed(file);
  } finally {
    file.close();
  }
}

/**
 * Reads the original bytes of a log file.
 *
 * @throws {ContextCacheError} `LOG_CORRUPT` if it is missing, or compressed and damaged; `LOG_UNAVAILABLE`.
 */
export function readSegment(files: Files, path: string): Buffer {
  const bytes = readFile(files, path);
  if (!isBlock(bytes)) return bytes;
  const { blocks, damagedAt } = tableOf(bytes);
  if (damagedAt !== undefined) throw damaged(path, damagedAt);
  return Buffer.concat(blocks.map((block) => original(bytes, block, block.offset, path)));
}

function startsCompressed(file: ReadableFile): boolean {
  const bytes = Buffer.alloc(MAGIC.length + FRAME_HEADER);
  return isBlock(bytes.subarray(0, file.read(bytes, 0)));
}

/** Returns whether the first frame of a file is a compressed block. */
function isBlock(bytes: Buffer): boolean {
  return bytes.length >= MAGIC.length + FRAME_HEADER && bytes.readUInt16LE(MAGIC.length + 14) === COMPRESSED;
}

function tableOf(bytes: Buffer): BlockTable {
  const blocks: StoredBlock[] = [];
  let offset = bytes.subarray(0, MAGIC.length).equals(MAGIC) ? MAGIC.length : 0;
  while (offset > 0 && offset < bytes.length) {
    const frame = frameAt(bytes, offset);
    const block = frame && blockIn(frame);
    const before = blocks.at(-1)?.end ?? 0;
    // Only the last block is shorter than others.
    if (frame === undefined || block?.start !== before || before % BLOCK_BYTES > 0) break;
    blocks.push({ ...block, offset, length: frame.end - offset });
    offset = frame.end;
  }
  return { blocks, damagedAt: offset === bytes.length ? undefined : offset };
}

/** A compressed file. Keeps the block that was read last. */
class CompressedFile implements SegmentFile {
  readonly blocks: BlockTable;
  readonly #file: ReadableFile;
  readonly #path: string;
  #last: StoredBlock | undefined;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(file: ReadableFile, path: string, blocks: BlockTable) {
    this.#file = file;
    this.#path = path;
    this.blocks = blocks;
  }

  /**
   * Reads up to a damaged block.
   *
   * @throws {ContextCacheError} `LOG_CORRUPT` if the first byte lies in one.
   */
  read(target: Uint8Array, offset: number): number {
    const { blocks, damagedAt } = this.blocks;
    for (let read = 0; read < target.length; ) {
      const block = blocks[Math.floor((offset + read) / BLOCK_BYTES)];
      if (block === undefined || offset + read >= block.end) {
        if (read === 0 && block === undefined && damagedAt !== undefined) throw damaged(this.#path, damagedAt);
        return read;
      }
      read += this.#inflated(block).copy(target, read, offset + read - block.start);
    }
    return target.length;
  }

  locate(offset: number): number {
    const { blocks, damagedAt } = this.blocks;
    return blocks[Math.floor(offset / BLOCK_BYTES)]?.offset ?? damagedAt ?? 0;
  }

  close(): void {
    this.#file.close();
  }

  #inflated(block: StoredBlock): Buffer {
    if (this.#last === block) return this.#bytes;
    const stored = Buffer.allocUnsafe(block.length);
    const length = this.#file.read(stored, block.offset);
    this.#bytes = original(stored.subarray(0, length), block, 0, this.#path);
    this.#last = block;
    return this.#bytes;
  }
}

/** Returns the bytes of the original in a block that is at an index of `bytes`. */
function original(bytes: Buffer, block: StoredBlock, index: number, path: string): Buffer {
  const frame = frameAt(bytes, index);
  const inflated = frame && inflateBlock(frame, block);
  if (inflated === undefined) throw damaged(path, block.offset);
  return inflated;
}

function damaged(path: string, offset: number): Error {
  return corrupt(`${path} is damaged at byte ${offset}`);
}

import { firstWhere } from '../../../../core/search.ts';
import type { Update } from '../../../../core/update.ts';
import type { UpdateReader } from '../../log/logged-update.ts';
import { fromLog } from '../index-errors.ts';
import { corrupt } from '../leveldb/sealed.ts';
import { type Chunk, decodeChunk } from '../records/chunk-codec.ts';
import {
  CHUNK_UPDATES,
  chunkKey,
  decodeFrame,
  type Frame,
  frameKey,
  framePageKey,
  type Keyframe,
  keyframePageKey,
  type PastSummary,
} from '../records/past-records.ts';
import { decodePage, type Page } from '../records/state-records.ts';

/** A frame or keyframe, with the keys of its pages. */
export interface FoundFrame extends Frame {
  readonly key: (page: number) => string;
}

/** Reads the past of namespaces. Updates are read from the log, by the locations that the index keeps. */
export class PastReader {
  readonly #read: (key: string) => Uint8Array | undefined;
  readonly #log: UpdateReader;

  constructor(read: (key: string) => Uint8Array | undefined, log: UpdateReader) {
    this.#read = read;
    this.#log = log;
  }

  /** Returns a reader for one pass over the chunks. */
  chunks(): ChunkReader {
    return new ChunkReader(this.#read);
  }

  /** Returns the update with this ordinal. */
  updateAt(name: string, ordinal: number, chunks: ChunkReader): Update {
    const { positions, locations } = chunks.of(name, ordinal);
    const index = ordinal % CHUNK_UPDATES;
    const position = positions[index];
    const location = locations[index];
    if (position === undefined || location === undefined) throw corrupt('The past of a namespace has a gap');
    const update = fromLog(() => this.#log.updateAt(position, location));
    if (update.position !== position || update.namespace !== name) {
      throw corrupt(`The past of a namespace refers to an update of another one at position ${position}`);
    }
    return update;
  }

  /** Returns the position of the update with this ordinal, which the log may have released. */
  positionAt(name: string, ordinal: number, chunks: ChunkReader): number {
    const position = chunks.of(name, ordinal).positions[ordinal % CHUNK_UPDATES];
    if (position === undefined) throw corrupt('The past of a namespace has a gap');
    return position;
  }

  /** Returns whether the update with this ordinal, which the log may have released, dropped the namespace. */
  isDropAt(name: string, ordinal: number, chunks: ChunkReader): boolean {
    return chunks.of(name, ordinal).drops[ordinal % CHUNK_UPDATES] === true;
  }

  /** Returns the number of the namespace's updates at or before the position. */
  countAt({ name, count, last, firstChunk }: PastSummary, position: number, chunks: ChunkReader): number {
    if (position >= last) return count;
    // A record of an earlier state lacks later positions, which must not look like a shorter past.
    return firstWhere(firstChunk * CHUNK_UPDATES, count, (each) => this.positionAt(name, each, chunks) > position);
  }

  /** Returns the last frame or keyframe that contains at most `count` updates. */
  frameAt(summary: PastSummary, count: number): FoundFrame | undefined {
    const { name, keyframe } = summary;
    const index = this.lastFrame(summary, count);
    const frame = index < summary.firstFrame ? undefined : this.#found(name, index);
    if (keyframe === undefined || keyframe.ordinal > count || keyframe.ordinal <= (frame?.ordinal ?? -1)) return frame;
    return foundKeyframe(name, keyframe);
  }

  /** Iterates over the keyframe and the frames that are kept, oldest first. */
  *framesOf({ name, firstFrame, frames, keyframe }: PastSummary): Generator<FoundFrame> {
    if (keyframe !== undefined) yield foundKeyframe(name, keyframe);
    for (let index = firstFrame; index < frames; index += 1) yield this.#found(name, index);
  }

  /** Returns the number of the last frame with at most `count` updates; less than `firstFrame` without such a frame. */
  lastFrame({ name, firstFrame, frames }: PastSummary, count: number): number {
    return firstWhere(firstFrame, frames, (index) => this.#frame(name, index).ordinal > count) - 1;
  }

  /** Returns a page of a frame. */
  framePage(frame: FoundFrame, page: number): Page {
    return decodePage(this.#read(frame.key(page)));
  }

  /** Iterates over the keys of a frame and its pages. */
  *frameKeys(name: string, index: number): Generator<string> {
    const { pages } = this.#frame(name, index);
    yield frameKey(name, index);
    for (let page = 0; page < pages; page += 1) yield framePageKey(name, index, page);
  }

  #found(name: string, index: number): FoundFrame {
    return { ...this.#frame(name, index), key: (page) => framePageKey(name, index, page) };
  }

  #frame(name: string, index: number): Frame {
    const record = this.#read(frameKey(name, index));
    if (record === undefined) throw corrupt('A frame of the past of a namespace is missing');
    return decodeFrame(record);
  }
}

function foundKeyframe(name: string, keyframe: Keyframe): FoundFrame {
  return { ...keyframe, key: (page) => keyframePageKey(name, keyframe.generation, page) };
}

/** Reads chunks and keeps the last one for a reader that continues in it. Valid within one turn of the event loop. */
export class ChunkReader {
  readonly #read: (key: string) => Uint8Array | undefined;
  #key = '';
  #chunk: Chunk = { positions: [], locations: [], drops: [] };

  constructor(read: (key: string) => Uint8Array | undefined) {
    this.#read = read;
  }

  /** Returns the chunk that holds the ordinal. */
  of(name: string, ordinal: number): Chunk {
    const key = chunkKey(name, Math.floor(ordinal / CHUNK_UPDATES));
    if (key === this.#key) return this.#chunk;
    const record = this.#read(key);
    if (record === undefined) throw corrupt('Updates in the past of a namespace are missing');
    this.#chunk = decodeChunk(record);
    this.#key = key;
    return this.#chunk;
  }
}

import type { Update } from '../../../core/update.ts';
import type { StorageWrite } from '../leveldb/level-storage.ts';
import { corrupt } from '../leveldb/sealed.ts';
import {
  CHUNK_UPDATES,
  type Chunk,
  chunkKey,
  chunkWrite,
  decodeChunk,
  type PastSummary,
  pastWrite,
} from '../records/past-records.ts';
import type { StoredNamespace } from '../records/state-records.ts';

/** Weight of an update in bytes, without its value. */
const OVERHEAD_BYTES = 256;
/** Number of births and drops that are remembered; older ones are looked up among the updates. */
const MAX_LIVES = 64;

const EMPTY: Chunk = { positions: [], updates: [] };

/** Folds updates of one namespace into its past. */
export class PastFold {
  /** The namespace's past including the updates. */
  summary: PastSummary;
  readonly #updates: readonly Update[];
  readonly #before: number;
  #last = EMPTY;

  constructor(base: StoredNamespace, known: PastSummary | undefined, updates: readonly Update[]) {
    const before = known ?? beginning(base);
    this.#before = before.count;
    this.#updates = updates;
    const weight = updates.reduce((sum, { bytes }) => sum + OVERHEAD_BYTES + bytes, before.weight);
    const lives = livesAfter(before.lives, base.version > 0, updates);
    // Drops pairs, so that the first one is always a birth.
    const forgotten = 2 * Math.ceil(Math.max(0, lives.length - MAX_LIVES) / 2);
    this.summary = {
      ...before,
      count: before.count + updates.length,
      last: updates.at(-1)?.position ?? before.last,
      weight,
      lives: lives.slice(forgotten),
      livedBefore: before.livedBefore || forgotten > 0,
    };
  }

  /** Number of updates before these. */
  get count(): number {
    return this.#before;
  }

  get frames(): number {
    return this.summary.frames;
  }

  /** Records that a frame precedes these updates. */
  framed(): void {
    const weight = this.#updates.reduce((sum, { bytes }) => sum + OVERHEAD_BYTES + bytes, 0);
    this.summary = { ...this.summary, frames: this.summary.frames + 1, framedAt: this.#before, weight };
  }

  /** Key of the incomplete chunk that must be loaded; `undefined` if the last chunk is full. */
  get needed(): string | undefined {
    if (this.#before % CHUNK_UPDATES === 0) return undefined;
    return chunkKey(this.summary.name, Math.floor(this.#before / CHUNK_UPDATES));
  }

  load(record: Uint8Array | undefined): void {
    const { positions, updates } = record === undefined ? this.#last : decodeChunk(record);
    const held = this.#before % CHUNK_UPDATES;
    if (updates.length < held) throw corrupt('The past of a namespace ends too early');
    // Updates beyond belong to a batch whose outcome was not known.
    this.#last = { positions: positions.slice(0, held), updates: updates.slice(0, held) };
  }

  *writes(): Generator<StorageWrite> {
    const { name } = this.summary;
    let index = Math.floor(this.#before / CHUNK_UPDATES);
    let chunk = this.#last;
    for (let next = 0; next < this.#updates.length; index += 1) {
      const room = CHUNK_UPDATES - chunk.updates.length;
      yield chunkWrite(name, index, chunk, this.#updates.slice(next, next + room));
      next += room;
      chunk = EMPTY;
    }
    yield pastWrite(this.summary);
  }
}

function beginning({ name, version, position }: StoredNamespace): PastSummary {
  const lives = version > 0 ? [0] : [];
  const nothing = { count: 0, frames: 0, framedAt: 0, weight: 0, firstChunk: 0, firstFrame: 0, keyframe: undefined };
  return { ...nothing, name, last: position, lives, livedBefore: false };
}

function livesAfter(before: readonly number[], wasThere: boolean, updates: readonly Update[]): number[] {
  const lives = [...before];
  let isThere = wasThere;
  for (const { position, drop } of updates) {
    if (!isThere || drop) lives.push(position);
    // The drop of a namespace that did not exist is a life of one update.
    if (!isThere && drop) lives.push(position);
    isThere = !drop;
  }
  return lives;
}

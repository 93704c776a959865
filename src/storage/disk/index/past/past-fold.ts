import type { LocatedUpdate } from '../../log/logged-update.ts';
import type { StorageWrite } from '../leveldb/level-storage.ts';
import { corrupt } from '../leveldb/sealed.ts';
import { countOf, encodeChunk } from '../records/chunk-codec.ts';
import { CHUNK_UPDATES, chunkKey, type PastSummary, pastWrite } from '../records/past-records.ts';
import type { StoredNamespace } from '../records/state-records.ts';

/** Weight of an update in bytes, without its value. */
const OVERHEAD_BYTES = 256;
/** Number of births and drops that are remembered; older ones are looked up among the updates. */
const MAX_LIVES = 64;

/** Folds updates of one namespace into its past. */
export class PastFold {
  /** The namespace's past including the updates. */
  summary: PastSummary;
  readonly #updates: readonly LocatedUpdate[];
  readonly #before: number;
  #last: Uint8Array | undefined;

  constructor(base: StoredNamespace, known: PastSummary | undefined, updates: readonly LocatedUpdate[]) {
    const before = known ?? beginning(base);
    this.#before = before.count;
    this.#updates = updates;
    const lives = livesAfter(before.lives, base.version > 0, updates);
    // Drops pairs, so that the first one is always a birth.
    const forgotten = 2 * Math.ceil(Math.max(0, lives.length - MAX_LIVES) / 2);
    this.summary = {
      ...before,
      count: before.count + updates.length,
      last: updates.at(-1)?.position ?? before.last,
      weight: before.weight + this.#weight(),
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
    this.summary = {
      ...this.summary,
      frames: this.summary.frames + 1,
      framedAt: this.#before,
      weight: this.#weight(),
    };
  }

  /** Key of the incomplete chunk that must be loaded; `undefined` if the last chunk is full. */
  get needed(): string | undefined {
    if (this.#before % CHUNK_UPDATES === 0) return undefined;
    return chunkKey(this.summary.name, Math.floor(this.#before / CHUNK_UPDATES));
  }

  /** @throws {ContextCacheError} `LOG_CORRUPT` if the record does not hold the updates before these. */
  load(record: Uint8Array | undefined): void {
    const held = record === undefined ? 0 : countOf(record);
    if (held !== this.#before % CHUNK_UPDATES) {
      throw corrupt(`The past of a namespace ends with a chunk of ${held} updates`);
    }
    this.#last = record;
  }

  *writes(): Generator<StorageWrite> {
    const { name } = this.summary;
    let index = Math.floor(this.#before / CHUNK_UPDATES);
    let before = this.#last;
    let room = CHUNK_UPDATES - (this.#before % CHUNK_UPDATES);
    for (let next = 0; next < this.#updates.length; index += 1) {
      const value = encodeChunk(before, this.#updates.slice(next, next + room));
      yield { type: 'put', key: chunkKey(name, index), value };
      next += room;
      room = CHUNK_UPDATES;
      before = undefined;
    }
    yield pastWrite(this.summary);
  }

  #weight(): number {
    let weight = 0;
    for (const { bytes } of this.#updates) weight += OVERHEAD_BYTES + bytes;
    return weight;
  }
}

function beginning({ name, version, position }: StoredNamespace): PastSummary {
  const lives = version > 0 ? [0] : [];
  const nothing = { count: 0, frames: 0, framedAt: 0, weight: 0, firstChunk: 0, firstFrame: 0, keyframe: undefined };
  return { ...nothing, name, last: position, lives, livedBefore: false };
}

function livesAfter(before: readonly number[], wasThere: boolean, updates: readonly LocatedUpdate[]): number[] {
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

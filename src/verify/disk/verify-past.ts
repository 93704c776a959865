import { apply } from '../../core/apply.ts';
import { HashSum } from '../../core/encoding/digest.ts';
import { NamespaceState } from '../../core/namespace-state.ts';
import type { Update } from '../../core/update.ts';
import type { PinnedStorage } from '../../storage/disk/leveldb/pinned-storage.ts';
import { corrupt } from '../../storage/disk/leveldb/sealed.ts';
import {
  CHUNK_UPDATES,
  type Chunk,
  chunkKey,
  decodeChunk,
  decodePastUpdate,
  type PastSummary,
} from '../../storage/disk/records/past-records.ts';
import type { Findings } from '../verify-findings.ts';
import { type CheckedFrame, digestOfFold, FrameCheck } from './verify-frames.ts';
import { type Overlap, updateBytes } from './verify-log.ts';

/** Verdict on the past of a namespace. */
export interface PastVerdict {
  /** The namespace after its last update; `undefined` if it could not be determined. */
  readonly state: NamespaceState | undefined;
  /** Sum of hashes over the updates that the log holds too; `undefined` if not all could be read. */
  readonly sum: HashSum | undefined;
}

/** Number of chunks read at a time. */
const CHUNKS = 16;

/** Folds the updates of one namespace again, from the first that is kept, and compares each frame with the result. */
export class PastCheck {
  readonly #storage: PinnedStorage;
  readonly #findings: Findings;
  readonly #summary: PastSummary;
  readonly #overlap: Overlap;
  readonly #frames: FrameCheck;
  readonly #sum = new HashSum();
  readonly #lives: number[] = [];
  /** `true` if the namespace exists after the last update; `undefined` before the first one. */
  #isThere: boolean | undefined;
  /** The folded state so far; `undefined` while it is not known. */
  #state: NamespaceState | undefined;
  #whole = true;
  #last = 0;

  constructor(storage: PinnedStorage, findings: Findings, summary: PastSummary, overlap: Overlap) {
    this.#storage = storage;
    this.#findings = findings;
    this.#summary = summary;
    this.#overlap = overlap;
    this.#frames = new FrameCheck(storage, findings, summary);
  }

  async run(): Promise<PastVerdict> {
    const { count, firstChunk } = this.#summary;
    for (let ordinal = firstChunk * CHUNK_UPDATES; ordinal < count; ordinal += CHUNKS * CHUNK_UPDATES) {
      const end = Math.min(count, ordinal + CHUNKS * CHUNK_UPDATES);
      for (const [index, chunk] of await this.#read(ordinal, end)) await this.#takeChunk(index, chunk);
    }
    await this.#atFrame(count);
    this.#frames.end();
    if (this.#whole) this.#compare();
    return { state: this.#state, sum: this.#whole ? this.#sum : undefined };
  }

  /** Reads the chunks of some ordinals; a chunk that cannot be read is `undefined`. */
  async #read(first: number, end: number): Promise<[index: number, chunk: Chunk | undefined][]> {
    const { name, count } = this.#summary;
    const indexes: number[] = [];
    for (let ordinal = first; ordinal < end; ordinal += CHUNK_UPDATES) indexes.push(ordinal / CHUNK_UPDATES);
    const keys = indexes.map((index) => chunkKey(name, index));
    const records = await this.#storage.getMany(keys).catch((error) => {
      this.#findings.addError('record', { record: keys[0] ?? '', namespace: name }, error);
      return [];
    });
    return indexes.map((index, at) => {
      const held = Math.min(CHUNK_UPDATES, count - index * CHUNK_UPDATES);
      try {
        return [index, chunkOf(records[at], held)];
      } catch (error) {
        this.#findings.addError('record', { record: keys[at] ?? '', namespace: name }, error);
        return [index, undefined];
      }
    });
  }

  async #takeChunk(index: number, chunk: Chunk | undefined): Promise<void> {
    const { name } = this.#summary;
    const first = index * CHUNK_UPDATES;
    if (chunk === undefined) {
      this.#whole = false;
      this.#state = undefined;
      this.#frames.skipTo(first + CHUNK_UPDATES);
      return;
    }
    for (const [at, position] of chunk.positions.entries()) {
      await this.#atFrame(first + at);
      const stored = chunk.updates[at] as Uint8Array;
      try {
        this.#take(position, stored, decodePastUpdate(name, position, stored));
      } catch (error) {
        this.#whole = false;
        this.#state = undefined;
        this.#findings.addError('past', { record: chunkKey(name, index), namespace: name, position }, error);
      }
    }
    await this.#findings.step('namespaces', this.#findings.counts.namespaces);
  }

  #take(position: number, stored: Uint8Array, update: Update): void {
    const { begins, after, through } = this.#overlap;
    if (!(position > this.#last && position > begins && position <= through)) {
      throw corrupt(`The past of a namespace has position ${position} after position ${Math.max(this.#last, begins)}`);
    }
    this.#last = position;
    if (position > after) this.#sum.add(updateBytes(position, stored));
    this.#live(update);
    // A namespace that starts at version 1, or is cleared, needs nothing of what was before.
    if (this.#state === undefined && (update.version === 1 || update.key === null)) {
      this.#state = new NamespaceState(update.namespace);
      this.#state.version = update.version - 1;
    }
    if (this.#state === undefined) return;
    apply(this.#state, update);
    this.#findings.counts.replayed += 1;
  }

  #live({ position, version, drop }: Update): void {
    if (this.#isThere === undefined) {
      this.#isThere = version > 1;
      if (this.#isThere) this.#lives.push(0);
    }
    if (!this.#isThere || drop) this.#lives.push(position);
    if (!this.#isThere && drop) this.#lives.push(position);
    this.#isThere = !drop;
  }

  async #atFrame(ordinal: number): Promise<void> {
    const frame = await this.#frames.at(ordinal, this.#state === undefined);
    if (frame === undefined) return;
    if (this.#state === undefined) this.#state = frame.state;
    else await this.#compareFrame(frame, this.#state);
  }

  async #compareFrame(frame: CheckedFrame, state: NamespaceState): Promise<void> {
    const same = frame.version === state.version && frame.position === state.position;
    if (same && frame.digest === (await digestOfFold(state, this.#findings, true))) return;
    const where = { record: frame.record, namespace: state.name, position: frame.position };
    this.#findings.add('past', where, 'The frame is not what the updates before it lead to.');
  }

  #compare(): void {
    const { name, last, lives, livedBefore, count } = this.#summary;
    const add = (message: string) => this.#findings.add('past', { namespace: name }, message);
    if (count > 0 && last !== this.#last) add(`The last update is at position ${this.#last}, not ${last}.`);
    const { begins, after } = this.#overlap;
    // Only later lives can be checked if earlier updates were released.
    const isLater = (position: number) => begins === after || position > after;
    const known = lives.filter(isLater);
    const met = this.#lives.filter(isLater);
    const before = begins === after ? met.length > known.length : livedBefore;
    if (known.some((position, at) => position !== met[met.length - known.length + at]) || before !== livedBefore) {
      add('The recorded lives of the namespace differ from its updates.');
    }
  }
}

function chunkOf(record: Uint8Array | undefined, held: number): Chunk {
  if (record === undefined) throw corrupt('Updates in the past of a namespace are missing');
  const { positions, updates } = decodeChunk(record);
  if (positions.length < held || updates.length < held) {
    throw corrupt(`A chunk of the past of a namespace holds ${updates.length} updates instead of ${held}`);
  }
  return { positions: positions.slice(0, held), updates: updates.slice(0, held) };
}

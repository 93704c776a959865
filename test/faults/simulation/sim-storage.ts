import { compareNames } from '../../../src/core/names.ts';
import type {
  LevelStorage,
  OpenStorage,
  StorageSnapshot,
  StorageWrite,
} from '../../../src/storage/disk/index/leveldb/level-storage.ts';
import { sumOf } from './sim-files.ts';
import type { Living, Trouble } from './trouble.ts';

type Content = Map<string, Uint8Array>;

/** A batch that a power cut may still take. */
interface Written {
  readonly writes: readonly StorageWrite[];
  /** Number of LevelDB's log file that holds it. */
  readonly file: number;
  /** Set once no power cut can take it. */
  certain: boolean;
}

/** Permanent errors of a storage, for controls. */
export interface StorageSabotage {
  /** Chooses batches that are reported as synced and are not. */
  readonly lies?: ((writes: readonly StorageWrite[]) => boolean) | undefined;
  /** Changes a batch before it is written. */
  readonly changes?: ((writes: readonly StorageWrite[]) => readonly StorageWrite[]) | undefined;
  /** Average number of batches in a file of LevelDB's log. Default 40. */
  readonly batchesInFile?: number | undefined;
}

/** What happens to the index while no process has it open. */
export type Harm = 'lost' | 'older' | 'record lost' | 'record older' | 'bit flipped';

/**
 * LevelDB under the index: an ordered map with atomic batches. It outlives processes and knows what LevelDB's own log would
 * hold after a power cut: everything in the same file up to the last synced batch, and any of the other batches, because
 * the pages of a file reach the disk in any order. Now and then LevelDB starts another file and, a little later, writes the
 * content of the previous one into a synced table. Opening does that with everything present.
 */
export class SimStorage {
  readonly #trouble: Trouble;
  readonly #sabotage: StorageSabotage;
  #content: Content = new Map();
  #safe: Content = new Map();
  #written: Written[] = [];
  #holder: Handle | undefined;
  #file = 0;
  /** A copy of an earlier content. */
  #older: Content = new Map();
  /** Content that was removed. A power cut may bring it back. */
  #removed: Content | undefined;

  constructor(trouble: Trouble, sabotage: StorageSabotage = {}) {
    this.#trouble = trouble;
    this.#sabotage = sabotage;
  }

  /** Returns the engine with which a process opens the storage. */
  openFor(process: Living): OpenStorage {
    return async () => {
      const trouble = this.#trouble;
      await trouble.wait(process, 5);
      if (trouble.isClosed) throw new Error('simulated: cannot open');
      if (this.#holder !== undefined) throw new Error('simulated: locked');
      for (const each of this.#written) each.certain = true;
      this.#fold();
      trouble.timeline.trace.note(`index opened ${this.#content.size}`);
      if (trouble.random.below(4) === 0) this.#older = new Map(this.#content);
      this.#holder = new Handle(process, this, trouble);
      return this.#holder;
    };
  }

  /** Ends the thread that writes: nothing can be written any more until the storage is opened again. */
  killWriter(): void {
    this.#holder?.kill();
  }

  /** Ends the process. Its writes are still in the machine's memory. */
  processDied(): void {
    this.#holder = undefined;
  }

  /** Removes everything. */
  remove(): void {
    this.#trouble.timeline.trace.note('index removed');
    this.#removed = this.#content;
    this.#use(new Map());
  }

  /** Cuts the power: each unsynced batch may be kept or lost. */
  powerCut(): void {
    const { random, timeline } = this.#trouble;
    this.#holder = undefined;
    const doubtful = this.#written.filter(({ certain }) => !certain);
    const cutOff = random.below(2) === 0;
    const kept = random.below(doubtful.length + 1);
    for (const each of this.#written) {
      const index = doubtful.indexOf(each);
      each.certain ||= cutOff ? index < kept : random.below(2) === 0;
    }
    timeline.trace.note(`power cut ${doubtful.length} ${doubtful.filter(({ certain }) => certain).length}`);
    this.#written = this.#written.filter(({ certain }) => certain);
    this.#fold();
    this.#content = new Map(this.#safe);
    if (this.#removed !== undefined && random.below(3) === 0) this.#use(this.#removed);
    this.#removed = undefined;
  }

  /** Damages what is stored. Returns what happened, or `undefined` if a process has it open or nothing is stored. */
  harm(): Harm | undefined {
    const { random, timeline } = this.#trouble;
    if (this.#holder !== undefined || this.#content.size === 0) return undefined;
    const harm = random.pick<Harm>(['lost', 'older', 'record lost', 'record older', 'bit flipped']);
    timeline.trace.note(`index harmed: ${harm}`);
    if (harm === 'lost') this.#use(new Map());
    else if (harm === 'older') this.#use(this.#older);
    else {
      const [key, value] = random.pick([...this.#content]);
      const content = new Map(this.#content);
      const older = this.#older.get(key);
      if (harm === 'record lost') content.delete(key);
      else if (harm === 'record older' && older !== undefined) content.set(key, older);
      else {
        const flipped = Buffer.from(value);
        const at = random.below(Math.max(1, flipped.length));
        flipped[at] = (flipped[at] ?? 0) ^ (1 << random.below(8));
        content.set(key, flipped);
      }
      this.#use(content);
    }
    return harm;
  }

  /** For handles. */
  get content(): Content {
    return this.#content;
  }

  take(asked: readonly StorageWrite[]): Written {
    const { random, timeline } = this.#trouble;
    const writes = this.#sabotage.changes?.(asked) ?? asked;
    if (random.below(this.#sabotage.batchesInFile ?? 40) === 0) this.#beginFile();
    const written = { writes, file: this.#file, certain: false };
    this.#written.push(written);
    put(this.#content, writes);
    for (const write of writes) {
      timeline.trace.note(`index ${write.type} ${write.key} ${write.type === 'del' ? 0 : sumOf(write.value)}`);
    }
    return written;
  }

  sync(written: Written): void {
    if (this.#sabotage.lies?.(written.writes) === true) return;
    for (const each of this.#written) {
      each.certain ||= each.file === written.file;
      if (each === written) break;
    }
    this.#fold();
  }

  release(handle: Handle): void {
    if (this.#holder === handle) this.#holder = undefined;
  }

  #use(content: Content): void {
    this.#content = new Map(content);
    this.#safe = new Map(content);
    this.#written = [];
  }

  #beginFile(): void {
    const holder = this.#holder;
    const before = this.#file;
    this.#file += 1;
    this.#trouble.timeline.after(this.#trouble.random.next() * 300, () => {
      if (holder !== this.#holder) return;
      for (const each of this.#written) each.certain ||= each.file <= before;
      this.#fold();
    });
  }

  #fold(): void {
    while (this.#written[0]?.certain) put(this.#safe, this.#written.shift()?.writes ?? []);
  }
}

/** One opening of the storage. Like LevelDB, it refuses writes after a failed one. */
class Handle implements LevelStorage {
  readonly #process: Living;
  readonly #storage: SimStorage;
  readonly #trouble: Trouble;
  readonly #snapshots = new WeakMap<StorageSnapshot, Content>();
  #failure: Error | undefined;
  #closed = false;
  /** One batch at a time. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(process: Living, storage: SimStorage, trouble: Trouble) {
    this.#process = process;
    this.#storage = storage;
    this.#trouble = trouble;
  }

  kill(): void {
    this.#failure ??= new Error('simulated: the thread that writes the index has stopped');
  }

  batch(writes: readonly StorageWrite[], sync: boolean): Promise<void> {
    this.#assertOpen();
    const done = this.#last.then(() => this.#write(writes, sync));
    this.#last = done.catch(() => {});
    return done;
  }

  getSync(key: string, snapshot?: StorageSnapshot): Uint8Array | undefined {
    this.#assertOpen();
    return copyOf(this.#asOf(snapshot).get(key));
  }

  async getMany(keys: readonly string[], snapshot?: StorageSnapshot): Promise<(Uint8Array | undefined)[]> {
    this.#assertOpen();
    const content = this.#asOf(snapshot);
    const found = keys.map((key) => copyOf(content.get(key)));
    await this.#trouble.delayed(this.#process, 3);
    return found;
  }

  async *entries(
    range: Parameters<LevelStorage['entries']>[0],
    snapshot?: StorageSnapshot,
  ): AsyncGenerator<readonly [string, Uint8Array]> {
    this.#assertOpen();
    const found = [...this.#asOf(snapshot)].filter(
      ([key]) => compareNames(key, range.gte) >= 0 && compareNames(key, range.lt) < 0,
    );
    found.sort((a, b) => compareNames(a[0], b[0]));
    await this.#trouble.delayed(this.#process, 3);
    for (const [key, value] of found.slice(0, range.limit)) yield [key, Buffer.from(value)];
  }

  snapshot(): StorageSnapshot {
    const snapshot: StorageSnapshot = { close: async () => {} };
    this.#snapshots.set(snapshot, new Map(this.#storage.content));
    return snapshot;
  }

  async clear({ gte, lt }: Parameters<LevelStorage['clear']>[0]): Promise<void> {
    const writes: StorageWrite[] = [];
    for await (const [key] of this.entries({ gte, lt })) writes.push({ type: 'del', key });
    await this.batch(writes, false);
  }

  async compact(): Promise<void> {
    this.#assertOpen();
    await this.#trouble.delayed(this.#process, 8);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#last;
    await this.#trouble.delayed(this.#process, 3);
    this.#storage.release(this);
  }

  async #write(writes: readonly StorageWrite[], sync: boolean): Promise<void> {
    await this.#trouble.delayed(this.#process, 4);
    if (this.#failure !== undefined) throw this.#failure;
    const fate = this.#trouble.strike();
    const written = fate === undefined || fate === 'done' ? this.#storage.take(writes) : undefined;
    if (sync) await this.#trouble.delayed(this.#process, 8);
    if (fate !== undefined || written === undefined) this.#failure ??= new Error('simulated: I/O error');
    // The thread may have been ended meanwhile.
    if (this.#failure !== undefined) throw this.#failure;
    if (sync && written !== undefined) this.#storage.sync(written);
  }

  /** Returns the content of a snapshot. Like LevelDB, refuses one of another handle. */
  #asOf(snapshot: StorageSnapshot | undefined): Content {
    if (snapshot === undefined) return this.#storage.content;
    const content = this.#snapshots.get(snapshot);
    if (content === undefined) throw new Error('simulated: the snapshot is not open');
    return content;
  }

  #assertOpen(): void {
    if (this.#closed) throw new Error('simulated: the handle is closed');
  }
}

/** As LevelDB, gives each reader bytes of its own. */
function copyOf(value: Uint8Array | undefined): Uint8Array | undefined {
  return value && Buffer.from(value);
}

function put(content: Content, writes: readonly StorageWrite[]): void {
  for (const write of writes) {
    if (write.type === 'put') content.set(write.key, Buffer.from(write.value));
    else content.delete(write.key);
  }
}

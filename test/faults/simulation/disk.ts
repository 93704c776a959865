import { crc32 } from 'node:zlib';
import { compareNames } from '../../../src/core/names.ts';
import type {
  LevelStorage,
  OpenStorage,
  StorageSnapshot,
  StorageWrite,
} from '../../../src/storage/disk/leveldb/level-storage.ts';
import type { Random } from '../support.ts';
import type { Timeline } from './timeline.ts';

type Content = Map<string, Uint8Array>;

/** A batch that a power cut may still take. */
interface Written {
  readonly writes: readonly StorageWrite[];
  /** Number of LevelDB's log file that holds it. */
  readonly file: number;
  /** Set once no power cut can take it. */
  certain: boolean;
}

/** Permanent errors of a disk, for controls. */
export interface DiskSabotage {
  /** Chooses batches that are reported as synced and are not. */
  readonly lies?: ((writes: readonly StorageWrite[]) => boolean) | undefined;
  /** Average number of batches in a file of LevelDB's log. Default 40. */
  readonly batchesInFile?: number | undefined;
}

/** A process as its environment sees it. */
export interface Living {
  readonly alive: boolean;
}

/** Never settles, for calls of a dead process. */
const NEVER = new Promise<never>(() => {});

/**
 * The disk under LevelDB: an ordered map with atomic batches. It outlives processes and knows what LevelDB's own log
 * would hold after a power cut: everything in the same file up to the last synced batch, and any of the other batches,
 * because the pages of a file reach the disk in any order. Now and then LevelDB starts another file and, a little
 * later, writes the content of the previous one into a synced table. Opening does that with everything present.
 */
export class SimDisk {
  /** Instant until which writes fail. */
  failingUntil = 0;
  /** Instant until which opening fails. */
  closedUntil = 0;
  /** Share of single writes that fail by chance. */
  failureRate = 0;
  /** Share of calls that are slow. */
  slowRate = 0.3;
  readonly #timeline: Timeline;
  readonly #random: Random;
  readonly #sabotage: DiskSabotage;
  #content: Content = new Map();
  #safe: Content = new Map();
  #written: Written[] = [];
  #holder: Handle | undefined;
  #file = 0;

  constructor(timeline: Timeline, random: Random, sabotage: DiskSabotage = {}) {
    this.#timeline = timeline;
    this.#random = random;
    this.#sabotage = sabotage;
  }

  /** Returns the engine with which a process opens its storage. `reached`: called when it does. */
  openFor(process: Living, reached: () => void): OpenStorage {
    const open = async (): Promise<LevelStorage> => {
      await this.#delay(process, 5);
      if (this.#timeline.now < this.closedUntil) throw new Error('simulated: cannot open');
      if (this.#holder !== undefined) throw new Error('simulated: locked');
      for (const each of this.#written) each.certain = true;
      this.#fold();
      this.#timeline.trace.note(`disk opened ${this.#content.size}`);
      const handle = new Handle(process, this, this.#timeline, this.#random);
      this.#holder = handle;
      return handle;
    };
    const prepare = async () => {
      reached();
      return this.#content.size === 0;
    };
    return Object.assign(open, { prepare });
  }

  /** Ends the process. Its writes are still in the machine's memory. */
  processDied(): void {
    this.#holder = undefined;
  }

  /** Cuts the power: each unsynced batch may be kept or lost. */
  powerCut(): void {
    this.#holder = undefined;
    const doubtful = this.#written.filter(({ certain }) => !certain);
    const cutOff = this.#random.below(2) === 0;
    const kept = this.#random.below(doubtful.length + 1);
    for (const each of this.#written) {
      const index = doubtful.indexOf(each);
      each.certain ||= cutOff ? index < kept : this.#random.below(2) === 0;
    }
    this.#timeline.trace.note(`power cut ${doubtful.length} ${doubtful.filter(({ certain }) => certain).length}`);
    this.#written = this.#written.filter(({ certain }) => certain);
    this.#fold();
    this.#content = new Map(this.#safe);
  }

  /** For handles. */
  get content(): Content {
    return this.#content;
  }

  get fails(): boolean {
    return this.#timeline.now < this.failingUntil || this.#random.next() < this.failureRate;
  }

  take(writes: readonly StorageWrite[]): Written {
    if (this.#random.below(this.#sabotage.batchesInFile ?? 40) === 0) this.#beginFile();
    const written = { writes, file: this.#file, certain: false };
    this.#written.push(written);
    put(this.#content, writes);
    for (const write of writes) this.#timeline.trace.note(`disk ${write.type} ${write.key} ${sumOf(write)}`);
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

  /** Waits: mostly not at all, otherwise up to `most` milliseconds. Never resolves for a dead process. */
  async delayed(process: Living, most: number): Promise<void> {
    if (this.#random.next() < this.slowRate) await this.#delay(process, most);
    if (!process.alive) await NEVER;
  }

  async #delay(process: Living, most: number): Promise<void> {
    // A disk that is never slow works without a timeline that advances.
    if (this.slowRate > 0) await this.#timeline.wait(this.#random.next() * most);
    if (!process.alive) await NEVER;
  }

  #beginFile(): void {
    const holder = this.#holder;
    const before = this.#file;
    this.#file += 1;
    this.#timeline.after(this.#random.next() * 300, () => {
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
  readonly #disk: SimDisk;
  readonly #timeline: Timeline;
  readonly #random: Random;
  readonly #snapshots = new WeakMap<StorageSnapshot, Content>();
  #failure: Error | undefined;
  #closed = false;
  /** One batch at a time. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(process: Living, disk: SimDisk, timeline: Timeline, random: Random) {
    this.#process = process;
    this.#disk = disk;
    this.#timeline = timeline;
    this.#random = random;
  }

  batch(writes: readonly StorageWrite[], sync: boolean): Promise<void> {
    this.#assertOpen();
    const done = this.#last.then(() => this.#write(writes, sync));
    this.#last = done.catch(() => {});
    return done;
  }

  getSync(key: string, snapshot?: StorageSnapshot): Uint8Array | undefined {
    this.#assertOpen();
    return this.#asOf(snapshot).get(key);
  }

  async getMany(keys: readonly string[], snapshot?: StorageSnapshot): Promise<(Uint8Array | undefined)[]> {
    this.#assertOpen();
    const content = this.#asOf(snapshot);
    const found = keys.map((key) => content.get(key));
    await this.#disk.delayed(this.#process, 3);
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
    if (range.reverse) found.reverse();
    await this.#disk.delayed(this.#process, 3);
    yield* found.slice(0, range.limit);
  }

  snapshot(): StorageSnapshot {
    const snapshot: StorageSnapshot = { close: async () => {} };
    this.#snapshots.set(snapshot, new Map(this.#disk.content));
    return snapshot;
  }

  async clear({ gte, lt }: Parameters<LevelStorage['clear']>[0]): Promise<void> {
    const writes: StorageWrite[] = [];
    for await (const [key] of this.entries({ gte, lt })) writes.push({ type: 'del', key });
    await this.batch(writes, false);
  }

  async compact(): Promise<void> {
    this.#assertOpen();
    await this.#disk.delayed(this.#process, 8);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#last;
    await this.#disk.delayed(this.#process, 3);
    this.#disk.release(this);
  }

  async #write(writes: readonly StorageWrite[], sync: boolean): Promise<void> {
    await this.#disk.delayed(this.#process, 4);
    if (this.#failure !== undefined) throw this.#failure;
    const fails = this.#disk.fails;
    const arrives = !fails || this.#random.below(2) === 0;
    const written = arrives ? this.#disk.take(writes) : undefined;
    if (sync) await this.#disk.delayed(this.#process, 8);
    if (fails || written === undefined) {
      this.#failure = new Error('simulated: I/O error');
      this.#timeline.trace.note('disk failed');
      throw this.#failure;
    }
    if (sync) this.#disk.sync(written);
  }

  /** Returns the content of a snapshot. Like LevelDB, refuses one of another handle. */
  #asOf(snapshot: StorageSnapshot | undefined): Content {
    if (snapshot === undefined) return this.#disk.content;
    const content = this.#snapshots.get(snapshot);
    if (content === undefined) throw new Error('simulated: the snapshot is not open');
    return content;
  }

  #assertOpen(): void {
    if (this.#closed) throw new Error('simulated: the handle is closed');
  }
}

function put(content: Content, writes: readonly StorageWrite[]): void {
  for (const write of writes) {
    if (write.type === 'put') content.set(write.key, write.value);
    else content.delete(write.key);
  }
}

/** Keys whose value is the random id of a log, which is in no trace. */
const HOLDS_LOG_ID: readonly string[] = ['!meta!log', '!config!continues'];

/** Checksum of a write. Leaves out the id of the log, which is random. */
function sumOf(write: StorageWrite): number {
  return write.type === 'del' || HOLDS_LOG_ID.includes(write.key) ? 0 : crc32(write.value);
}

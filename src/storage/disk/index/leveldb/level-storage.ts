import { setImmediate as nextTurn } from 'node:timers/promises';
import { PrivateFiles } from './private-files.ts';

/** One change in a batch. */
export type StorageWrite =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: string };

/** The keys from `gte` (inclusive) to `lt` (exclusive). */
export interface KeyRange {
  readonly gte: string;
  readonly lt: string;
}

/** The keys to walk, and how. */
export interface StorageRange extends KeyRange {
  /** Greatest number of entries. Default: all. */
  readonly limit?: number;
}

/** The storage at one time, unaffected by later writes. */
export interface StorageSnapshot {
  close(): Promise<void>;
}

/**
 * The part of a storage engine that the log uses: an ordered map from keys (compared by their UTF-8 bytes) to bytes,
 * with atomic batches. Tests replace it to make the disk fail.
 */
export interface LevelStorage {
  /**
   * Writes a batch as a whole or not at all. With `sync` it resolves only when the disk has it. After a failed batch
   * all later ones fail.
   */
  batch(writes: readonly StorageWrite[], sync: boolean): Promise<void>;
  getSync(key: string, snapshot?: StorageSnapshot): Uint8Array | undefined;
  getMany(keys: readonly string[], snapshot?: StorageSnapshot): Promise<readonly (Uint8Array | undefined)[]>;
  entries(range: StorageRange, snapshot?: StorageSnapshot): AsyncIterable<readonly [string, Uint8Array]>;
  snapshot(): StorageSnapshot;
  /** Removes the records of a range, a few at a time and not synced. After a failure some of them may be removed. */
  clear(range: KeyRange): Promise<void>;
  /** Returns the space of removed records in a range to the disk. */
  compact(range: KeyRange): Promise<void>;
  /** Waits for operations in progress, then releases the files. */
  close(): Promise<void>;
}

/** Opens the storage in a directory, or creates it. */
export type OpenStorage = (location: string) => Promise<LevelStorage>;

/** A batch of more writes than this is copied into the storage with turns of the event loop in between. */
const MANY_WRITES = 500;

/** Bytes written between two searches for new files. LevelDB starts a new log every four mebibytes. */
const SWEEP_BYTES = 512 * 1024;

/**
 * A batch of more bytes than this is moved at once from LevelDB's log to tables. LevelDB does so with the next write, and if
 * there is none, every opening reads the log again: 5 s for the last batch of a million updates.
 */
const LARGE_BATCH_BYTES = 4 * 1024 * 1024;
/** The same when the storage is closed, for all that this handle has written. Moving 1 MB takes 30 ms. */
const UNMOVED_BYTES = 1024 * 1024;
/**
 * Bytes written by this handle after which its tables are merged when it is closed. LevelDB merges them as it goes on
 * writing, so that much of what it leaves is replaced records: nearly half of 25 MB after a million updates of ten thousand keys.
 */
const UNMERGED_BYTES = 16 * 1024 * 1024;
/** The tables are merged only if they hold at most this many times what was written: it takes as long as they are large. */
const MOST_MERGED = 4;
/** A range without keys. */
const NOTHING: KeyRange = { gte: '~', lt: '~~' };
/** The range of every key. */
const EVERYTHING: KeyRange = { gte: '', lt: '\u{10ffff}' };

/**
 * Opens LevelDB through `classic-level`, or creates it. Runs one write at a time and none after a failed one, which would
 * come to lie behind half a record and be lost with it.
 *
 * Several threads of a process may open the same database. The thread that opened it first must close it last: the cache
 * of blocks belongs to the first handle, and closing that handle frees it.
 */
export const openLevel: OpenStorage = async (location) => {
  const { ClassicLevel } = await import('classic-level');
  const db = new ClassicLevel<string, Uint8Array>(location, {
    keyEncoding: 'utf8',
    valueEncoding: 'buffer',
    multithreading: true,
  });
  await db.open();
  const files = new PrivateFiles(location);
  await files.sweep();
  let unswept = 0;
  /** Bytes that were written, except for those that were moved to tables. */
  let unmoved = 0;
  /** All bytes that were written. */
  let unmerged = 0;
  // Compacting a range begins with the log, whatever the range is. If it fails, all records are still there, and the next
  // write fails too if the disk is the reason.
  const tidy = async ({ gte, lt }: KeyRange) => {
    unmoved = 0;
    await db.compactRange(gte, lt).catch(() => undefined);
  };
  const written = (bytes: number) => {
    unmoved += bytes;
    unmerged += bytes;
    if (bytes > LARGE_BATCH_BYTES) void tidy(NOTHING);
  };
  const turns = new WriteTurns();
  const snapshots = new WeakMap<StorageSnapshot, ReturnType<typeof db.snapshot>>();
  const asOf = (snapshot: StorageSnapshot | undefined) => {
    if (snapshot === undefined) return {};
    const taken = snapshots.get(snapshot);
    // The present in place of what another handle's snapshot showed would be taken for it.
    if (taken === undefined) throw snapshotGone();
    return { snapshot: taken };
  };
  return {
    batch: async (writes, sync) => {
      const bytes = writes.reduce((sum, write) => sum + (write.type === 'put' ? write.value.length : 0), 0);
      unswept += bytes;
      if (unswept > SWEEP_BYTES) {
        unswept = 0;
        void files.sweep();
      }
      if (writes.length <= MANY_WRITES) {
        await turns.take(() => db.batch([...writes], { sync }));
        return written(bytes);
      }
      const batch = db.batch();
      try {
        for (const [index, write] of writes.entries()) {
          if (write.type === 'put') batch.put(write.key, write.value);
          else batch.del(write.key);
          if (index % MANY_WRITES === MANY_WRITES - 1) await nextTurn();
        }
        await turns.take(() => batch.write({ sync }));
        written(bytes);
      } catch (error) {
        await batch.close();
        throw error;
      }
    },
    getSync: (key, snapshot) => {
      // The key is not passed as a string: classic-level 3.0.0 encodes it into a buffer that it reuses, and if a
      // multi-byte character does not fit at the end of that buffer, it looks up the key without it, which does not
      // exist.
      const bytes = Buffer.from(key);
      const options = { keyEncoding: 'buffer', ...asOf(snapshot) } as const;
      return db.getSync<Buffer, Uint8Array>(bytes, options);
    },
    getMany: (keys, snapshot) => db.getMany([...keys], asOf(snapshot)),
    entries: (range, snapshot) => db.iterator({ ...range, ...asOf(snapshot) }),
    snapshot: () => {
      const taken = db.snapshot();
      const snapshot: StorageSnapshot = { close: () => taken.close() };
      snapshots.set(snapshot, taken);
      return snapshot;
    },
    clear: ({ gte, lt }) => turns.take(() => db.clear({ gte, lt })),
    // Does not take a turn: it takes long, and no write has to wait for it.
    compact: async ({ gte, lt }) => {
      await db.compactRange(gte, lt);
      await files.sweep();
    },
    close: async () => {
      await turns.idle();
      // Tidying may fail; closing must not.
      const size = () => db.approximateSize(EVERYTHING.gte, EVERYTHING.lt).catch(() => Number.POSITIVE_INFINITY);
      const merges = unmerged > UNMERGED_BYTES && (await size()) <= MOST_MERGED * unmerged;
      if (merges) await tidy(EVERYTHING);
      else if (unmoved > UNMOVED_BYTES) await tidy(NOTHING);
      await db.close();
      await files.sweep();
    },
  };
};

/**
 * Runs writes one at a time, in the order of the calls. After a failed write it runs no more of them and rejects all
 * with the same error. LevelDB itself would continue after a record that is only partly in the file, acknowledge what
 * follows, and skip it at the next opening.
 */
export class WriteTurns {
  #last: Promise<void> = Promise.resolve();

  take(write: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(write);
    // The caller handles the rejection.
    this.#last.catch(() => undefined);
    return this.#last;
  }

  /** Resolves when no write is running. */
  async idle(): Promise<void> {
    await this.#last.catch(() => undefined);
  }
}

/** Creates the error that LevelDB reports for a snapshot whose handle is closed. */
function snapshotGone(): Error {
  const error = new Error('The snapshot was taken of a handle that is closed.');
  return Object.assign(error, { code: 'LEVEL_SNAPSHOT_NOT_OPEN' });
}

import { setImmediate as nextTurn } from 'node:timers/promises';
import { PrivateFiles } from './private-files.ts';
import { proveBeforeOpening } from './proof/prove-before-opening.ts';

/** One change of a batch. */
export type StorageWrite =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: string };

/** The keys from `gte` to before `lt`. */
export interface KeyRange {
  readonly gte: string;
  readonly lt: string;
}

/** Which keys to walk. */
export interface StorageRange extends KeyRange {
  /** Last one first. Default false. */
  readonly reverse?: boolean;
  /** At most so many. Default: all. */
  readonly limit?: number;
}

/** A moment of the storage that later writes do not change. */
export interface StorageSnapshot {
  close(): Promise<void>;
}

/**
 * The little that the log asks of its storage engine, an ordered map of keys (by their UTF-8 bytes) to bytes with
 * atomic batches. The seam where a test makes the disk fail.
 */
export interface LevelStorage {
  /** Writes all or nothing; with `sync` only resolves once the disk has it. After one has failed all others do. */
  batch(writes: readonly StorageWrite[], sync: boolean): Promise<void>;
  getSync(key: string, snapshot?: StorageSnapshot): Uint8Array | undefined;
  getMany(keys: readonly string[], snapshot?: StorageSnapshot): Promise<readonly (Uint8Array | undefined)[]>;
  entries(range: StorageRange, snapshot?: StorageSnapshot): AsyncIterable<readonly [string, Uint8Array]>;
  snapshot(): StorageSnapshot;
  /** Removes the range's records, a few at a time and not synced; where it fails some of them may be gone. */
  clear(range: KeyRange): Promise<void>;
  /** Gives back to the disk what the range's removed records still take. */
  compact(range: KeyRange): Promise<void>;
  /** Waits for what is under way, then lets go of the files. */
  close(): Promise<void>;
}

/** Opens the storage in a directory; `create` where it is not there yet. */
export interface OpenStorage {
  (location: string, create: boolean): Promise<LevelStorage>;
  /**
   * Makes the place ready, and says whether there is storage to be made. Default: makes the directory on disk. For
   * tests whose disk is none.
   */
  readonly prepare?: (dataDir: string, location: string) => Promise<boolean>;
}

/** A batch is copied into the storage at once; one of more writes than this, with turns for others in between. */
const MANY_WRITES = 500;

/** New files are looked for after so many bytes; LevelDB begins a log every four mebibytes. */
const SWEEP_BYTES = 512 * 1024;

/** LevelDB, through `classic-level`. Its files are proven before it takes them. */
export const openClassicLevel: OpenStorage = async (location, create) => {
  if (!create) await proveBeforeOpening(location);
  return openUnproven(location, create);
};

/**
 * Takes the files as they are. One write at a time, and after one that has failed none: else the next one would come to
 * lie behind half a record, and be lost with it.
 */
export const openUnproven: OpenStorage = async (location, create) => {
  const { ClassicLevel } = await import('classic-level');
  const db = new ClassicLevel<string, Uint8Array>(location, {
    keyEncoding: 'utf8',
    valueEncoding: 'buffer',
    createIfMissing: create,
  });
  await db.open();
  const files = new PrivateFiles(location);
  await files.sweep();
  let unswept = 0;
  const turns = new WriteTurns();
  const snapshots = new WeakMap<StorageSnapshot, ReturnType<typeof db.snapshot>>();
  const asOf = (snapshot: StorageSnapshot | undefined) => {
    const taken = snapshot && snapshots.get(snapshot);
    return taken === undefined ? {} : { snapshot: taken };
  };
  return {
    batch: async (writes, sync) => {
      for (const write of writes) unswept += write.type === 'put' ? write.value.length : 0;
      if (unswept > SWEEP_BYTES) {
        unswept = 0;
        void files.sweep();
      }
      const [only] = writes;
      // Which a group of the log is, as a rule; a batch of one takes half as long again.
      if (writes.length === 1 && only?.type === 'put') return turns.take(() => db.put(only.key, only.value, { sync }));
      if (writes.length <= MANY_WRITES) return turns.take(() => db.batch([...writes], { sync }));
      const batch = db.batch();
      try {
        for (const [index, write] of writes.entries()) {
          if (write.type === 'put') batch.put(write.key, write.value);
          else batch.del(write.key);
          if (index % MANY_WRITES === MANY_WRITES - 1) await nextTurn();
        }
        await turns.take(() => batch.write({ sync }));
      } catch (error) {
        await batch.close();
        throw error;
      }
    },
    getSync: (key, snapshot) => {
      // Not as a string: classic-level 3.0.0 writes that into a buffer it reuses, and where a character of several
      // bytes does not fit at the buffer's end it looks up the key without it, which is not there.
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
    // Not in turn: it takes long, and nobody need wait for it.
    compact: async ({ gte, lt }) => {
      await db.compactRange(gte, lt);
      await files.sweep();
    },
    close: async () => {
      await turns.idle();
      await db.close();
      await files.sweep();
    },
  };
};

/**
 * Lets one write at a time through, in the order they were asked for, and none after one that has failed: it rejects
 * as that one did. LevelDB by itself goes on behind a record of which only a part got to the file, acknowledges what
 * follows, and passes over it when it is opened again.
 */
export class WriteTurns {
  #last: Promise<void> = Promise.resolve();

  take(write: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(write);
    // Whoever asked handles it.
    this.#last.catch(() => undefined);
    return this.#last;
  }

  /** Resolves once nothing is being written. */
  async idle(): Promise<void> {
    await this.#last.catch(() => undefined);
  }
}

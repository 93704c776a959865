import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { apply } from '../../core/apply.ts';
import type { Clock } from '../../core/clock.ts';
import { decodeValue } from '../../core/encoding/codec.ts';
import { EncodedValue } from '../../core/encoding/entry-codec.ts';
import type { ContextCacheError } from '../../core/errors.ts';
import { type EntryRecord, filled, NamespaceState } from '../../core/namespace-state.ts';
import type { Remembered } from '../../core/remembered.ts';
import type { JsonValue } from '../../core/value.ts';
import type { FollowerSink } from '../follower-sink.ts';
import type { Lineage } from '../lineage.ts';
import type { NamespaceRegistry } from '../namespace-registry.ts';
import type { StateSource } from '../state-source.ts';
import { weigh } from '../update-ring.ts';
import { readBase, writeBase } from './base/base-file.ts';
import { Compressor } from './compressor.ts';
import { corrupt } from './corrupt.ts';
import { DurablePast } from './durable-past.ts';
import { DurableRetained } from './durable-retained.ts';
import { DiskIndex, type IndexEvent } from './index/disk-index.ts';
import { IndexSink } from './index/index-sink.ts';
import { type OpenStorage, openLevel } from './index/leveldb/level-storage.ts';
import { PresentSource } from './index/state/present-source.ts';
import type { StateTable } from './index/state/state-table.ts';
import { DiskLog } from './log/disk-log.ts';
import type { DiskLogOptions } from './log/disk-log-options.ts';
import type { BaseNamespace } from './log/logged-update.ts';

/** Options of {@link DataDirectory.open}. */
export interface DataDirectoryOptions extends DiskLogOptions {
  readonly clock: Clock;
  /** `false` if an external primary keeps the values. Default true. */
  readonly keepsValues?: boolean | undefined;
  /** Opens the storage of the index, which is then written in this thread. Default: LevelDB, written by a worker thread. */
  readonly openStorage?: OpenStorage | undefined;
  /** Receives what happens to the index. */
  readonly onIndex?: ((event: IndexEvent) => void) | undefined;
  /** Receives failures to compress a file of the log. */
  readonly onUncompressed?: ((error: ContextCacheError) => void) | undefined;
}

/** Updates whose values are not decoded yet keep at most about this many bytes of the log in memory. */
const UNDECODED_BYTES = 32 * 1024 * 1024;

/** An index that is open. */
export interface OpenedIndex {
  readonly table: StateTable;
  /** The state of the namespaces that are not in memory. */
  readonly source: StateSource;
  /** The sink of the follower that brings the index up to date with the log. */
  readonly sink: FollowerSink;
}

/** A data directory: the log, the base, and the index that is derived from both. */
export class DataDirectory {
  readonly log: DiskLog;
  readonly #options: DataDirectoryOptions;
  #index: DiskIndex | undefined;

  private constructor(log: DiskLog, options: DataDirectoryOptions) {
    this.log = log;
    this.#options = options;
  }

  /** Opens the log, or creates the directory. Throws as `DiskLog.open` does. */
  static async open(options: DataDirectoryOptions): Promise<DataDirectory> {
    return new DataDirectory(await DiskLog.open(options), options);
  }

  /** The index, once it is open. */
  get index(): DiskIndex {
    if (this.#index === undefined) throw new Error('The index is not open.');
    return this.#index;
  }

  /**
   * Makes an empty directory continue from a state and what was remembered there: writes both as the base. An interruption leaves the
   * directory empty or complete.
   *
   * @throws {ContextCacheError} `NOT_EMPTY` if the log holds updates.
   */
  async adopt(
    namespaces: AsyncIterable<BaseNamespace> | Iterable<BaseNamespace>,
    position: number,
    { operations, floor }: Remembered = {},
  ): Promise<void> {
    const { log } = this;
    log.assertEmpty();
    const remembered: Remembered = {
      ...(operations === undefined ? {} : { operations }),
      ...(floor === undefined ? {} : { floor }),
    };
    await writeBase(log.files, join(log.path, 'base'), { log: log.id, position, ...remembered }, namespaces);
    await log.beginAfter(position, remembered);
  }

  /**
   * Opens the index. One that is missing or wrong is rebuilt in the background from {@link DataDirectory.catchUp} on, while base and log
   * answer.
   *
   * @throws {ContextCacheError} `LOG_CORRUPT` if base and log do not hold everything, also according to the index.
   */
  async openIndex(): Promise<OpenedIndex> {
    const { log } = this;
    const { clock, keepsValues = true, openStorage, onIndex = () => {}, onUncompressed = () => {} } = this.#options;
    const index = await DiskIndex.open({
      ...{ log, files: log.files, clock, keepsValues, onEvent: onIndex },
      ...{ inThread: openStorage !== undefined, openStorage: openStorage ?? openLevel, waits: true },
    });
    this.#index = index;
    const compressor = new Compressor({ log, index, clock, onFailure: onUncompressed });
    log.onRelease(async () => {
      await compressor.finish();
      await index.close();
    });
    const sink = new IndexSink(index, () => compressor.advance());
    return { table: index.table, source: new PresentSource(index.table), sink };
  }

  /** Brings into memory what is in the log and not yet in the index, then lets the index follow. */
  async catchUp(registry: NamespaceRegistry): Promise<void> {
    const { log } = this;
    const { table } = this.index;
    const { base } = log.names();
    const { keepsValues = true } = this.#options;
    if (base > 0 && !table.isLoaded) {
      for await (const found of readBase(log.files, join(log.path, 'base'), { log: log.id, position: base })) {
        registry.put(found.name, filled(keepsValues ? found : withoutValues(found)));
      }
    }
    const reader = log.reader();
    // Most values are replaced by later ones, so they are decoded last.
    const changed = new Map<NamespaceState, Set<string>>();
    let undecoded = 0;
    for (let next = table.checkpoint + 1; next <= log.committed; ) {
      const updates = reader.readBare(next, log.committed);
      next += updates.length;
      for (const update of updates) {
        const { namespace } = update;
        const { state } = registry.find(namespace) ?? registry.put(namespace, new NamespaceState(namespace));
        apply(state, keepsValues ? update : { ...update, value: undefined as unknown as null });
        if (keepsValues && (update.value as unknown) instanceof EncodedValue) {
          const keys = changed.get(state) ?? new Set();
          changed.set(state, keys.add(update.key as string));
        }
        undecoded += weigh(update);
      }
      if (undecoded > UNDECODED_BYTES || next > log.committed) {
        for (const [state, keys] of changed) decodeValues(state, keys);
        changed.clear();
        undecoded = 0;
      }
      await nextTurn();
    }
    // Version 0: these updates dropped the namespace.
    for (const record of [...registry.records()]) if (record.state.version === 0) registry.release(record);
    this.index.follow();
  }

  /** The past; `ancestors` are those of the log. */
  past(ancestors: Lineage): DurablePast {
    return new DurablePast(this.index.table, this.log, ancestors);
  }

  /** Log and past, for retention. */
  retained(past: DurablePast): DurableRetained {
    return new DurableRetained(this.log, this.index, past, this.#options.clock);
  }

  /** Commits what was appended and releases the directory. */
  close(): Promise<void> {
    return this.log.close();
  }
}

/** Decodes those values of a namespace that are still encoded. */
function decodeValues(state: NamespaceState, keys: Iterable<string>): void {
  for (const key of keys) {
    const entry = state.entries.get(key);
    const value: unknown = entry?.value;
    if (entry !== undefined && value instanceof EncodedValue) state.put(key, { ...entry, value: decoded(value) });
  }
}

function decoded({ bytes, start, end }: EncodedValue): JsonValue {
  try {
    return decodeValue(bytes.subarray(start, end));
  } catch (cause) {
    throw corrupt('A value in the log cannot be decoded', cause);
  }
}

/** Returns a namespace whose values an external primary keeps. */
function withoutValues({ entries, ...namespace }: BaseNamespace): BaseNamespace {
  const bare = function* (): Generator<[string, EntryRecord]> {
    for (const [key, entry] of entries) yield [key, { ...entry, value: undefined }];
  };
  return { ...namespace, entries: bare() };
}

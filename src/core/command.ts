import type { Basis } from './basis.ts';
import type { ChangesOptions } from './changes.ts';
import type { ContradictionsOptions } from './contradiction.ts';
import type { SearchOptions } from './entry-search.ts';
import type { Grant } from './grants.ts';
import type { Meta } from './meta.ts';
import type { OriginOptions } from './origin.ts';
import type { RangeOptions } from './range.ts';
import type { RetractOptions } from './retract-options.ts';
import type { SubjectOptions } from './sealed.ts';
import type { ImpactOptions, ProvenanceOptions } from './trace.ts';
import type { Admitted, JsonValue } from './value.ts';

/** A duration: a number of milliseconds, or a string such as `'10s'`, `'5m'`, `'1.5h'`, `'2 days'`. */
export type Duration = number | string;

/** When a written entry expires. */
export interface ExpiryOptions {
  /** Time to live, counted from the command. At least 1 ms. Excludes `expiresAt`. */
  readonly ttl?: Duration | undefined;
  /** Instant at which the entry expires: epoch milliseconds or a Date. `null`: never. */
  readonly expiresAt?: number | Date | null | undefined;
}

/** Conditions of a write, of which one may be given. If it does not hold, the write fails with `VERSION_CONFLICT`. */
export interface Conditions {
  /** Version that the entry must have; 0: the key must be missing. */
  readonly ifVersion?: number | undefined;
  /** The key must be missing. */
  readonly ifAbsent?: boolean | undefined;
  /** The key must have an entry. */
  readonly ifPresent?: boolean | undefined;
}

/** Options of every command that stores a value. */
export interface WriteOptions extends OriginOptions, ExpiryOptions, Conditions, SubjectOptions {
  /**
   * Leaves the entry as it is, with its version and its expiry, if its value equals the new one. The acknowledgement then
   * has `changed: false`. Not together with `ifAbsent`, `subject` or `subjects`, nor over a primary of your own.
   */
  readonly ifDifferent?: boolean | undefined;
}

/** Options of every command that removes an entry. */
export type RemoveOptions = Omit<Conditions, 'ifAbsent'> & OriginOptions;

/** Options of `touch`. */
export type TouchOptions = RemoveOptions & ExpiryOptions;

/** Options of `getOrSet`. */
export type MakeOptions = OriginOptions & ExpiryOptions & SubjectOptions;

/** How a batch treats an operation whose condition does not hold. */
export interface ConflictOption {
  /** `fail` refuses the whole batch, `skip` leaves out the operation. Default `fail`. */
  readonly onConflict?: 'fail' | 'skip' | undefined;
}

/** Options of `setMany`. The conditions are those of each key. */
export type ManyOptions = Omit<WriteOptions, 'ifVersion'> & ConflictOption;

/** Options of `increment`. Without `ttl` and `expiresAt` an entry keeps its expiry. */
export type IncrementOptions = TouchOptions;

/** Options of `clearNamespace`. */
export interface ClearOptions extends OriginOptions {
  /** Removes only the keys that start with this text. Default: all keys. */
  readonly prefix?: string | undefined;
}

/** Options of `append`. */
export interface AppendOptions extends OriginOptions, ExpiryOptions, SubjectOptions {
  /** Start of the key. Default: none. */
  readonly prefix?: string | undefined;
}

/** One step of a batch. */
export type BatchOperation =
  | ({ readonly operation: 'set'; readonly key: string; readonly value: unknown } & InBatch<WriteOptions>)
  | ({ readonly operation: 'delete'; readonly key: string } & InBatch<RemoveOptions>)
  | ({ readonly operation: 'touch'; readonly key: string } & InBatch<TouchOptions>)
  /** Changes nothing; the batch is refused unless the condition holds. */
  | ({ readonly operation: 'check'; readonly key: string } & Conditions & ConflictOption);

/** One operation of a transaction: as in a batch, of any namespace. */
export type TransactionOperation = BatchOperation & InNamespace;

/** Options of a write as those of an operation of a batch. */
export type InBatch<Options> = Omit<Options, keyof OriginOptions> & ConflictOption;

/** A command in one namespace. */
export interface InNamespace {
  /** Default: `default`. */
  readonly namespace?: string | undefined;
}
/** A command about one key. */
export interface OfKey extends InNamespace {
  readonly key: string;
}

/**
 * Commands that change a namespace. Their answer is an {@link Acknowledgement}; that of `context.increment` also has the
 * `value`, and that of `context.append` the `key`.
 */
export type DataCommand =
  | ({ readonly type: 'context.set'; readonly value: unknown } & OfKey & WriteOptions)
  | ({ readonly type: 'context.delete' } & OfKey & RemoveOptions)
  | ({ readonly type: 'context.touch' } & OfKey & TouchOptions)
  | ({ readonly type: 'context.increment'; readonly by?: number | undefined } & OfKey & IncrementOptions)
  | ({ readonly type: 'context.append'; readonly value: unknown } & InNamespace & AppendOptions)
  | ({ readonly type: 'context.clear' } & InNamespace & ClearOptions)
  | ({ readonly type: 'context.drop' } & InNamespace & OriginOptions)
  | ({ readonly type: 'context.batch'; readonly operations: readonly BatchOperation[] } & InNamespace & OriginOptions);

/**
 * Commands that read. Their answer is what the method of the same name returns: `context.keys` is `listKeys`,
 * `context.namespaces` is `listNamespaces`, and `context.entries` answers with an array, sorted if there are options.
 */
export type QueryCommand =
  | ({ readonly type: 'context.get'; readonly maxStalenessMs?: Duration | undefined } & OfKey)
  | ({ readonly type: 'context.has' } & OfKey)
  | ({ readonly type: 'context.entry'; readonly maxStalenessMs?: Duration | undefined } & OfKey)
  | ({ readonly type: 'context.keys' } & InNamespace & RangeOptions)
  | ({ readonly type: 'context.entries' } & InNamespace & RangeOptions)
  | ({ readonly type: 'context.namespaces' } & RangeOptions)
  | ({ readonly type: 'context.changes' } & ChangesOptions)
  | ({ readonly type: 'context.search' } & SearchOptions)
  | ({ readonly type: 'context.provenance' } & OfKey & ProvenanceOptions)
  | ({ readonly type: 'context.contradictions' } & ContradictionsOptions)
  | ({
      readonly type: 'context.impact';
      /** Position of the write. Excludes `key`. */
      readonly position?: number | undefined;
      /** Key of the entry whose last write is meant. Excludes `position`. */
      readonly key?: string | undefined;
    } & InNamespace &
      ImpactOptions);

/** The settings of the backup, as `getBackupSettings` returns them. */
export interface BackupSettings {
  /** Seconds between two snapshots (`periodic`), or at least between two (`on_change`). Default 300. */
  readonly interval: number;
  /** When a snapshot is taken: every interval, when something has changed, or only on request. Default `periodic`. */
  readonly mode: 'periodic' | 'on_change' | 'manual';
  /** Number of snapshots kept. Default 5, at least 1. */
  readonly keep: number;
}

/** Changes to the backup's settings. A setting that is absent stays unchanged. */
export interface BackupSettingsChange extends Partial<Pick<BackupSettings, 'mode' | 'keep'>> {
  /**
   * The interval: a number of **seconds**, or a string such as `'10s'` or `'5m'`. More than 0, at most 30 days. This
   * is the only duration whose number is not milliseconds; use `intervalMs` for those.
   */
  readonly interval?: number | string | undefined;
  /** The interval as any other duration: a number of milliseconds, or a string. Not together with `interval`. */
  readonly intervalMs?: Duration | undefined;
}

/** Commands about the cache itself: grants, topics, backup and life-cycle. The answer of a `grants` command is the list of grants. */
export type ControlCommand =
  | ({ readonly type: 'context.retract'; readonly position: number } & RetractOptions)
  | ({
      readonly type: 'context.transaction';
      readonly operations: readonly TransactionOperation[];
    } & OriginOptions)
  | { readonly type: 'grants.set'; readonly grants: readonly Grant[] }
  | { readonly type: 'grants.add'; readonly grant: Grant }
  | { readonly type: 'grants.remove'; readonly agent: string }
  | { readonly type: 'grants.list' }
  | { readonly type: 'topics.set'; readonly topics: readonly string[] }
  | { readonly type: 'topics.add'; readonly topic: string }
  | { readonly type: 'topics.remove'; readonly topic: string }
  | { readonly type: 'topics.list' }
  | { readonly type: 'context.backup' }
  | { readonly type: 'backup.enable'; readonly settings?: BackupSettingsChange | undefined }
  | { readonly type: 'backup.disable' }
  | { readonly type: 'backup.set'; readonly settings: BackupSettingsChange }
  | { readonly type: 'backup.status' }
  | { readonly type: 'namespace.passivate'; readonly namespace: string }
  | { readonly type: 'namespace.restart'; readonly namespace: string }
  | {
      readonly type: 'cache.compact';
      readonly keepUpdates?: number | undefined;
      readonly keepMs?: Duration | undefined;
      readonly keepBytes?: number | undefined;
      readonly forget?: readonly string[] | undefined;
    }
  | ({
      readonly type: 'subjects.forget';
      readonly subject: string;
      readonly reason?: string | undefined;
    } & OriginOptions)
  | { readonly type: 'subjects.list' }
  | { readonly type: 'cache.flush' }
  | { readonly type: 'cache.barrier' }
  | { readonly type: 'cache.reached'; readonly position: number; readonly timeoutMs?: Duration | undefined }
  | { readonly type: 'cluster.raise'; readonly protocol?: number | undefined }
  | { readonly type: 'cache.health' }
  | {
      readonly type: 'cache.verify';
      readonly against?: string | undefined;
      readonly repair?: boolean | undefined;
    };

/**
 * Every command of a cache. `ask(command)` resolves with the answer; `supervisor.send(command)` has none, and a failure
 * reaches `onError`.
 *
 * @example
 * ```ts
 * cache.supervisor.send({ type: 'context.set', namespace: 'auth', key: 'token', value: 't-1', ttl: '10m' });
 * const { version } = await cache.ask({ type: 'context.delete', namespace: 'auth', key: 'token' });
 * ```
 */
export type ContextCommand = DataCommand | QueryCommand | ControlCommand;

/** Answer to a command that changes a namespace. */
export interface Acknowledgement {
  /** Version of the namespace after the command; unchanged if the command changed nothing. */
  readonly version: number;
  /** Position of the command's last update; if it changed nothing, a position at which nothing had to change. */
  readonly position: number;
  /** `true` if the command caused an update. */
  readonly changed: boolean;
}

/** Answer to a transaction. */
export interface TransactionResult {
  /** Position of the transaction's last update; if it changed nothing, a position at which nothing had to change. */
  readonly position: number;
  /** `true` if the transaction caused an update. */
  readonly changed: boolean;
  /** The namespaces that it changed, each with its version after the transaction. */
  readonly namespaces: readonly { readonly namespace: string; readonly version: number }[];
}

/** Answer to an `increment`. */
export interface Incremented extends Acknowledgement {
  /** The new value. */
  readonly value: number;
}

/** Answer to an `append`. */
export interface Appended extends Acknowledgement {
  /** The key of the new entry. */
  readonly key: string;
}

/** The `expiresAt` of a step that keeps the expiry of the present entry. */
export const SAME_EXPIRY = -1;

/** A step of a data command after validation: names checked, value admitted, durations turned into instants. */
export interface Step {
  readonly operation: 'set' | 'delete' | 'touch';
  readonly key: string;
  readonly value: JsonValue;
  readonly bytes: number;
  /** {@link SAME_EXPIRY}: that of the present entry. */
  readonly expiresAt: number | null;
  /** A version, `UNCONDITIONAL` or `ANY_VERSION`. */
  readonly ifVersion: number;
  /** `true` if the step only demands its condition. */
  readonly isCheck?: boolean | undefined;
  /** `true` if an equal value stays as it is. */
  readonly ifDifferent?: boolean | undefined;
  /** `true` if the batch goes on without this step if its condition does not hold. */
  readonly skips?: boolean | undefined;
  /** Checks a value that is known only when the step is decided. `undefined`: it needs no check. */
  readonly finish?: ((key: string, value: JsonValue) => Admitted) | undefined;
  /** Agent of this step, if it differs from the agent of the batch. */
  readonly agent?: string | null | undefined;
  /** JSON object that the writer attached to this step, if it differs from that of the batch. */
  readonly meta?: Meta | undefined;
  /** What the writer had read, if it differs from that of the batch. */
  readonly basis?: Basis | undefined;
}

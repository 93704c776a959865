import type { Meta, OriginOptions } from './origin.ts';
import type { RangeOptions } from './range.ts';
import type { JsonValue } from './value.ts';

/** A duration: a number of milliseconds, or a string such as `'10s'`, `'5m'`, `'1.5h'`, `'2 days'`. */
export type Duration = number | string;

/** Options of every command that writes an entry. */
export interface WriteOptions extends OriginOptions {
  /** Time to live, counted from the command. At least 1 ms. Excludes `expiresAt`. */
  readonly ttl?: Duration | undefined;
  /** Instant at which the entry expires: epoch milliseconds or a Date. `null`: never. */
  readonly expiresAt?: number | Date | null | undefined;
  /** Version that the entry must have; 0: the key must be missing. Otherwise the write fails with `VERSION_CONFLICT`. */
  readonly ifVersion?: number | undefined;
}

/** Options of every command that removes an entry. */
export type RemoveOptions = Pick<WriteOptions, 'ifVersion'> & OriginOptions;

/** One step of a batch. */
export type BatchOperation =
  | ({ readonly operation: 'set'; readonly key: string; readonly value: unknown } & Omit<
      WriteOptions,
      keyof OriginOptions
    >)
  | ({ readonly operation: 'delete'; readonly key: string } & Omit<RemoveOptions, keyof OriginOptions>)
  | ({ readonly operation: 'touch'; readonly key: string } & Omit<WriteOptions, keyof OriginOptions>);

/** A command in one namespace. */
export interface InNamespace {
  /** Default: `default`. */
  readonly namespace?: string | undefined;
}
/** A command about one key. */
export interface OfKey extends InNamespace {
  readonly key: string;
}

/** Commands that change a namespace. Their answer is an {@link Acknowledgement}. */
export type DataCommand =
  | ({ readonly type: 'context.set'; readonly value: unknown } & OfKey & WriteOptions)
  | ({ readonly type: 'context.delete' } & OfKey & RemoveOptions)
  | ({ readonly type: 'context.touch' } & OfKey & WriteOptions)
  | ({ readonly type: 'context.clear' } & InNamespace & OriginOptions)
  | ({ readonly type: 'context.drop' } & InNamespace & OriginOptions)
  | ({ readonly type: 'context.batch'; readonly operations: readonly BatchOperation[] } & InNamespace & OriginOptions);

/**
 * Commands that read. Their answer is what the method of the same name returns: `context.keys` is `listKeys`,
 * `context.namespaces` is `listNamespaces`, and `context.entries` answers with an array, sorted if there are options.
 */
export type QueryCommand =
  | ({ readonly type: 'context.get' } & OfKey)
  | ({ readonly type: 'context.has' } & OfKey)
  | ({ readonly type: 'context.entry' } & OfKey)
  | ({ readonly type: 'context.keys' } & InNamespace & RangeOptions)
  | ({ readonly type: 'context.entries' } & InNamespace & RangeOptions)
  | ({ readonly type: 'context.namespaces' } & RangeOptions);

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

/** Commands about the cache itself: topics, backup and life-cycle. */
export type ControlCommand =
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
  | { readonly type: 'cache.flush' }
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

/** A step of a data command after validation: names checked, value admitted, durations turned into instants. */
export interface Step {
  readonly operation: 'set' | 'delete' | 'touch';
  readonly key: string;
  readonly value: JsonValue;
  readonly bytes: number;
  readonly expiresAt: number | null;
  /** -1: unconditional. */
  readonly ifVersion: number;
  /** Agent of this step, if it differs from the agent of the batch. */
  readonly agent?: string | null | undefined;
  /** What the writer of this step attached, if it differs from that of the batch. */
  readonly meta?: Meta | undefined;
}

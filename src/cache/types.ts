import type { BaseContextCache } from '../backends/base-context-cache.ts';
import type { Changes } from '../core/changes.ts';
import type {
  Acknowledgement,
  Appended,
  BackupSettings,
  ContextCommand,
  DataCommand,
  Duration,
  Incremented,
  TransactionResult,
} from '../core/command.ts';
import type { Contradictions } from '../core/contradiction.ts';
import type { Found } from '../core/entry-search.ts';
import type { Grant } from '../core/grants.ts';
import type { Entry } from '../core/namespace-state.ts';
import type { RetractReport } from '../core/retract-options.ts';
import type { Impact, Provenance } from '../core/trace.ts';
import type { JsonValue } from '../core/value.ts';
import type { CacheHealth } from '../engine/health.ts';
import type { BackupStatus } from '../followers/backup/backup-sink.ts';
import type { SnapshotInfo } from '../followers/backup/snapshot-format.ts';
import type { CompactOptions, CompactReport } from '../storage/retention.ts';
import type { VerifyReport } from '../verify/verify-report.ts';
import type { ForgetReport, SubjectInfo } from './forget.ts';

/** The result of a read: the value itself over a synchronous primary, a promise of it over an asynchronous one. */
export type Answer<P extends BaseContextCache, T> = [ReturnType<P['get']>] extends [PromiseLike<unknown>]
  ? Promise<T>
  : [Extract<ReturnType<P['get']>, PromiseLike<unknown>>] extends [never]
    ? T
    : T | Promise<T>;

/** An iteration over what a cache holds: with `for await` if the primary is asynchronous. */
export type Iteration<P extends BaseContextCache, T> = [ReturnType<P['get']>] extends [PromiseLike<unknown>]
  ? AsyncIterableIterator<T>
  : [Extract<ReturnType<P['get']>, PromiseLike<unknown>>] extends [never]
    ? IterableIterator<T>
    : IterableIterator<T> | AsyncIterableIterator<T>;

/** Options of `compact`: the bounds, with the age as a duration. */
export type CompactionOptions = Omit<CompactOptions, 'keepMs'> & { readonly keepMs?: Duration | undefined };

/** Bounds of a wait. */
export interface WaitOptions {
  /** Duration after which the wait ends: milliseconds, or a text such as `'10s'`. */
  readonly timeoutMs?: Duration | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Answers {
  'context.get': JsonValue | undefined;
  'context.has': boolean;
  'context.entry': Entry | undefined;
  'context.keys': string[];
  'context.entries': Entry[];
  'context.namespaces': string[];
  'context.changes': Changes;
  'context.search': Found;
  'context.provenance': Provenance | undefined;
  'context.impact': Impact;
  'context.contradictions': Contradictions;
  'context.transaction': TransactionResult;
  'grants.set': readonly Grant[];
  'grants.add': readonly Grant[];
  'grants.remove': readonly Grant[];
  'grants.list': readonly Grant[];
  'topics.set': string[];
  'topics.add': string[];
  'topics.remove': string[];
  'topics.list': string[];
  'context.backup': SnapshotInfo;
  'backup.enable': BackupSettings;
  'backup.disable': BackupSettings;
  'backup.set': BackupSettings;
  'backup.status': BackupStatus;
  'namespace.passivate': boolean;
  'namespace.restart': undefined;
  'cache.compact': CompactReport;
  'subjects.forget': ForgetReport;
  'context.retract': RetractReport;
  'subjects.list': SubjectInfo[];
  'cache.flush': undefined;
  'cache.barrier': undefined;
  'cache.reached': undefined;
  'cluster.raise': { readonly protocol: number };
  'cache.health': CacheHealth;
  'cache.verify': VerifyReport;
}

/** The answer of `ask` to a command. */
export type AnswerTo<C extends ContextCommand> = C extends { readonly type: 'context.increment' }
  ? Incremented
  : C extends { readonly type: 'context.append' }
    ? Appended
    : C extends DataCommand
      ? Acknowledgement
      : C['type'] extends keyof Answers
        ? Answers[C['type']]
        : never;

/** Options of a read. */
export interface ReadOptions {
  /**
   * In a cluster: the read is refused with `LOG_UNAVAILABLE` if this node was last known to be up to date longer ago than
   * this. A node that does not write asks the stream about once a second, so less than about 1,500 ms may be refused at
   * rest; call `barrier()` to be up to date for certain. Default: no limit. Without a cluster nothing is refused.
   */
  readonly maxStalenessMs?: Duration | undefined;
}

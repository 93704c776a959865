/** Types that the signatures of the other entries mention, for annotations of your own. This entry has no code. */
export type { Watching } from './actors/watch.ts';
export type { LogMark } from './backends/base-context-cache.ts';
export type { FileContextCacheOptions } from './backends/file-context-cache.ts';
export type { MultiBackendOptions } from './backends/multi-backend-context-cache.ts';
export type { Owner } from './backends/owner.ts';
export type { RedisContextCacheOptions } from './backends/redis/redis-context-cache.ts';
export type { HandleOptions } from './cache/basis-handle.ts';
export type { CacheMethods } from './cache/cache-methods.ts';
export type { ForgetOptions, ForgetReport, PublishedAbout, SubjectInfo } from './cache/forget.ts';
export type { ForkOptions } from './cache/fork.ts';
export type { GovernanceMethods } from './cache/governance-methods.ts';
export type { OwnerMethods } from './cache/owner-methods.ts';
export type { Replayed } from './cache/replay.ts';
export type { Transaction } from './cache/transact.ts';
export type {
  Answer,
  AnswerTo,
  CompactionOptions as CompactOptions,
  Iteration,
  ReadOptions,
  WaitOptions,
} from './cache/types.ts';
export type { VerifyDirectoryOptions } from './cache/verify-directory.ts';
export type { Denied, GrantAction } from './core/access-denied.ts';
export type { Basis, ReadEntry, Reading, ReadRange, ReadUntil } from './core/basis.ts';
export type { BriefedChange, Briefing, BriefingOptions } from './core/briefing.ts';
export type { Changes, ChangesOptions } from './core/changes.ts';
export type {
  Appended,
  AppendOptions,
  ClearOptions,
  Conditions,
  ConflictOption,
  ControlCommand,
  ExpiryOptions,
  InBatch,
  Incremented,
  IncrementOptions,
  InNamespace,
  MakeOptions,
  ManyOptions,
  OfKey,
  QueryCommand,
  TouchOptions,
  TransactionOperation,
  TransactionResult,
} from './core/command.ts';
export type { MergeConflict } from './core/conflict.ts';
export type { Contradiction, Contradictions, ContradictionsOptions } from './core/contradiction.ts';
export type { EntryName, Found, SearchOptions } from './core/entry-search.ts';
export type { Grant, GrantSelection } from './core/grants.ts';
export type { CacheLimits } from './core/limits.ts';
export type { Meta } from './core/meta.ts';
export type { MigratedKey, Migration } from './core/migrations.ts';
export type { JoinedNamespace, NamespaceName, NamespaceParts } from './core/namespace-parts.ts';
export type {
  BatchOf,
  DeepReadonly,
  DefaultNamespace,
  FoundIn,
  KeyOf,
  NamespaceOf,
  PartsArgument,
  SearchOf,
  TransactionOf,
  ValueOf,
} from './core/namespace-types.ts';
export type { StoredOperations } from './core/operations.ts';
export type { OriginOptions } from './core/origin.ts';
export type { NamespaceRangeOptions } from './core/range.ts';
export type { Remembered } from './core/remembered.ts';
export type { FailureSource } from './core/report.ts';
export type { RestartPolicy } from './core/restart-policy.ts';
export type {
  Cascade,
  DependentEntry,
  RetractConflict,
  RetractedEntry,
  RetractOptions,
  RetractReport,
} from './core/retract-options.ts';
export type { Retraction, RetractionFields, Stale } from './core/retraction.ts';
export type {
  RefusedValue,
  SchemaCheckOptions,
  SchemaCheckProgress,
  SchemaReport,
  ValueCounts,
} from './core/schema-report.ts';
export type { NamespaceSchema } from './core/schemas.ts';
export type { SealedFields, SubjectOptions } from './core/sealed.ts';
export type { Stamp, StampContext } from './core/stamp.ts';
export type { EntryRecord } from './core/tables/entry-table.ts';
export type {
  Impact,
  ImpactOptions,
  OpenReading,
  Provenance,
  ProvenanceOptions,
  TracedLink,
  TracedWrite,
  WriteTarget,
} from './core/trace.ts';
export type { Operation } from './core/update.ts';
export type { WatchFilter } from './core/update-filter.ts';
export type { UpdateResult } from './core/update-result.ts';
export type { ValueLimits } from './core/value.ts';
export type { Comparison, Where } from './core/where.ts';
export type { AccessHealth, Denial } from './engine/access.ts';
export type { ClusterOptions } from './engine/cluster-options.ts';
export type { Conflicts, RefusedWrite } from './engine/conflicts.ts';
export type { ServerHealth } from './engine/health.ts';
export type { LogRange } from './engine/log-range.ts';
export type { SubjectsOptions } from './engine/options.ts';
export type { ClusterHealth, ClusterLease, ClusterMember } from './engine/sequencer.ts';
export type { Manifest, ManifestNamespace, PartRef, StoredCluster } from './followers/backup/snapshot-format.ts';
export type { Written } from './followers/backup/snapshot-writer.ts';
export type { EncodedMessage } from './followers/broadcast/public-message.ts';
export type { TopicEntry } from './followers/broadcast/topics.ts';
export type { TopicMessage } from './followers/broadcast/wire-frames.ts';
export type { BackOff } from './followers/follower.ts';
export type { Undelivered } from './followers/followers.ts';
export type { DifferenceOptions } from './past/difference-options.ts';
export type { BisectOptions, Culprit, PositionOrDate } from './past/history.ts';
export type { MergeReport } from './past/merge.ts';
export type { Resolution, ResolvedConflict } from './past/merge-plan.ts';
export type { ReplayProgress } from './replay/fill.ts';
export type { ReplayProblem, ReplayProblemKind } from './replay/problem.ts';
export type { RawRecord } from './replay/record.ts';
export type { ReplayIterable, ReplaySource, StreamSource } from './replay/source.ts';
export type { StateCapture } from './storage/follower-sink.ts';
export type { CompactReport, RetentionHealth } from './storage/retention.ts';
export type { LogStatus } from './storage/update-log.ts';
export type { SubjectKey, SubjectKeyRecord, SubjectKeyStore } from './subjects/subject-keys.ts';
export type { VerifyCounts, VerifyLocation, VerifyProblemKind, VerifyProgress } from './verify/verify-findings.ts';

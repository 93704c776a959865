export type { WatchedUpdate, WatchOptions } from './actors/watch.ts';
export type { WatchFilter } from './actors/watch-hub.ts';
export {
  type BackendSetOptions,
  BaseContextCache,
  type LogMark,
  type MaybePromise,
} from './backends/base-context-cache.ts';
export { FileContextCache, type FileContextCacheOptions } from './backends/file-context-cache.ts';
export { InMemoryContextCache } from './backends/in-memory-context-cache.ts';
export { MultiBackendContextCache, type MultiBackendOptions } from './backends/multi-backend-context-cache.ts';
export { RedisContextCache, type RedisContextCacheOptions } from './backends/redis/redis-context-cache.ts';
export { AgentContextCache } from './cache/agent-context-cache.ts';
export type { ForkOptions } from './cache/fork.ts';
export type { NamespaceHandle } from './cache/namespace-handle.ts';
export { type Replayed, type ReplayOptions, replay } from './cache/replay.ts';
export { startInspector } from './cache/start-inspector.ts';
export type { AnswerTo } from './cache/types.ts';
export { type VerifyDirectoryOptions, verifyDirectory } from './cache/verify-directory.ts';
export { isDataCommand } from './core/admission.ts';
export { type Clock, systemClock } from './core/clock.ts';
export type {
  Acknowledgement,
  BackupSettings,
  BatchOperation,
  ContextCommand,
  ControlCommand,
  DataCommand,
  Duration,
  QueryCommand,
  RemoveOptions,
  WriteOptions,
} from './core/command.ts';
export { type MergeConflict, MergeConflictError, VersionConflictError } from './core/conflict.ts';
export { ContextCacheError, type ErrorCode, InvalidValueError } from './core/errors.ts';
export { compareNames, DEFAULT_NAMESPACE, MAX_NAME_BYTES } from './core/names.ts';
export type { Entry } from './core/namespace-state.ts';
export type { AnyNamespaces, NamespaceTypes } from './core/namespace-types.ts';
export type { FailureSource } from './core/report.ts';
export type { RestartPolicy } from './core/restart-policy.ts';
export type { NamespaceSchema, NamespaceSchemas } from './core/schemas.ts';
export type { Operation, Update } from './core/update.ts';
export type { JsonValue, ValueLimits } from './core/value.ts';
export type { ShutdownReport } from './engine/engine.ts';
export type { CacheHealth, ServerHealth } from './engine/health.ts';
export type { Inspection, NamespaceInfo, ObservedActor } from './engine/inspection.ts';
export type { Inspector, InspectorOptions, Redact, ValuePath } from './engine/inspector-options.ts';
export type { BackupOptionsOfCache, CacheOptions, LogOptions, OpenOptions } from './engine/options.ts';
export { BackupInitiator, type BackupInitiatorOptions } from './followers/backup/backup-initiator.ts';
export {
  BackupLoader,
  type BackupLoaderOptions,
  type LoadedNamespace,
  type LoadedSnapshot,
} from './followers/backup/backup-loader.ts';
export {
  BackupManager,
  type BackupManagerOptions,
  type BackupOptions,
  type BackupResult,
} from './followers/backup/backup-manager.ts';
export type { BackupStatus } from './followers/backup/backup-sink.ts';
export { DirectorySnapshotStore } from './followers/backup/directory-snapshot-store.ts';
export { type EncryptOptions, encrypt } from './followers/backup/encrypt-transform.ts';
export { MemorySnapshotStore } from './followers/backup/memory-snapshot-store.ts';
export { RedisSnapshotStore, type RedisSnapshotStoreOptions } from './followers/backup/redis-snapshot-store.ts';
export { SnapshotCorruptError, type SnapshotInfo } from './followers/backup/snapshot-format.ts';
export type { SnapshotStore } from './followers/backup/snapshot-store.ts';
export { compress, type SnapshotTransform } from './followers/backup/snapshot-transform.ts';
export { ContextBufferQueue, type ContextBufferQueueOptions } from './followers/broadcast/buffer-queue.ts';
export { ContextUpdateEventPusher, type ContextUpdateEventPusherOptions } from './followers/broadcast/event-pusher.ts';
export { type NatsAddress, parseNatsAddress } from './followers/broadcast/nats-address.ts';
export { type ConnectRequest, connectNats, type NatsConnectionSettings } from './followers/broadcast/nats-connect.ts';
export { parsePublicMessage } from './followers/broadcast/parse-public-message.ts';
export {
  type ContextUpdateMessage,
  ContextUpdateProcessor,
  type ContextUpdateProcessorOptions,
} from './followers/broadcast/public-message.ts';
export { TopicsListConfig } from './followers/broadcast/topics.ts';
export type { BackOff, FollowerConnection, FollowerHealth } from './followers/follower.ts';
export type { Undelivered } from './followers/followers.ts';
export { hidesSecrets, wordsOf } from './inspector/reads/hides-secrets.ts';
export { type Difference, type DifferenceOptions, diff } from './past/difference.ts';
export type { BisectOptions, Culprit, EntryVersion, PositionOrDate } from './past/history.ts';
export type { MergeOptions, MergeReport } from './past/merge.ts';
export type { Resolution, ResolvedConflict } from './past/merge-plan.ts';
export { CacheView } from './past/view.ts';
export type { ReplayProgress } from './replay/fill.ts';
export { type ReplayProblem, type ReplayProblemKind, ReplayRefusedError } from './replay/problem.ts';
export type { ReplayReport } from './replay/report.ts';
export type { ReplayIterable, ReplaySource, StreamSource } from './replay/source.ts';
export type { RawRecord } from './replay/upcast.ts';
export { type ConfigStore, MemoryConfigStore } from './storage/config-store.ts';
export type { CompactOptions, CompactReport, RetentionHealth } from './storage/retention.ts';
export type { LogStatus } from './storage/update-log.ts';
export type {
  VerifyCounts,
  VerifyLocation,
  VerifyProblem,
  VerifyProblemKind,
  VerifyProgress,
} from './verify/verify-findings.ts';
export type { VerifyOptions, VerifyReport } from './verify/verify-report.ts';

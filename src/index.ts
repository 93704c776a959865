export type { BackOff, FollowerHealth } from './actors/follower.ts';
export type { Undelivered } from './actors/followers.ts';
export type { FailureSource } from './actors/report.ts';
export type { WatchedUpdate, WatchOptions } from './actors/watch.ts';
export type { WatchFilter } from './actors/watch-hub.ts';
export { AgentContextCache } from './agent-context-cache.ts';
export {
  type BackendSetOptions,
  BaseContextCache,
  type LogMark,
  type MaybePromise,
} from './backends/base-context-cache.ts';
export { FileContextCache, type FileContextCacheOptions } from './backends/file-context-cache.ts';
export { InMemoryContextCache } from './backends/in-memory-context-cache.ts';
export { MultiBackendContextCache, type MultiBackendOptions } from './backends/multi-backend-context-cache.ts';
export { RedisContextCache, type RedisContextCacheOptions } from './backends/redis-context-cache.ts';
export { BackupInitiator, type BackupInitiatorOptions } from './backup/backup-initiator.ts';
export {
  BackupLoader,
  type BackupLoaderOptions,
  type LoadedNamespace,
  type LoadedSnapshot,
} from './backup/backup-loader.ts';
export {
  BackupManager,
  type BackupManagerOptions,
  type BackupOptions,
  type BackupResult,
} from './backup/backup-manager.ts';
export type { BackupStatus } from './backup/backup-sink.ts';
export { DirectorySnapshotStore } from './backup/directory-snapshot-store.ts';
export { type EncryptOptions, encrypt } from './backup/encrypt-transform.ts';
export { MemorySnapshotStore } from './backup/memory-snapshot-store.ts';
export { RedisSnapshotStore, type RedisSnapshotStoreOptions } from './backup/redis-snapshot-store.ts';
export { SnapshotCorruptError, type SnapshotInfo } from './backup/snapshot-format.ts';
export type { SnapshotStore } from './backup/snapshot-store.ts';
export { compress, type SnapshotTransform } from './backup/snapshot-transform.ts';
export { ContextBufferQueue, type ContextBufferQueueOptions } from './broadcast/buffer-queue.ts';
export { ContextUpdateEventPusher, type ContextUpdateEventPusherOptions } from './broadcast/event-pusher.ts';
export { type NatsAddress, parseNatsAddress } from './broadcast/nats-address.ts';
export { type ConnectRequest, connectNats, type NatsConnectionSettings } from './broadcast/nats-connect.ts';
export { parsePublicMessage } from './broadcast/parse-public-message.ts';
export {
  type ContextUpdateMessage,
  ContextUpdateProcessor,
  type ContextUpdateProcessorOptions,
} from './broadcast/public-message.ts';
export { TopicsListConfig } from './broadcast/topics.ts';
export type { ShutdownReport } from './cache/composition.ts';
export { type Difference, type DifferenceOptions, diff } from './cache/difference.ts';
export type { ForkOptions } from './cache/fork.ts';
export type { CacheHealth } from './cache/health.ts';
export { hidesSecrets, wordsOf } from './cache/hides-secrets.ts';
export type { BisectOptions, Culprit, EntryVersion, MomentInTime } from './cache/history.ts';
export type { Inspection, NamespaceInfo, ObservedActor } from './cache/inspection.ts';
export type { Inspector, InspectorOptions, Redact, ShownPlace } from './cache/inspector-options.ts';
export type { MergeOptions, MergeReport } from './cache/merge.ts';
export type { Resolution, ResolvedConflict } from './cache/merge-plan.ts';
export type { BackupOptionsOfCache, CacheOptions, LogOptions, OpenOptions } from './cache/options.ts';
export type { CompactOptions, CompactReport, RetentionHealth } from './cache/retention.ts';
export type { AnswerTo, AnyNamespaces, NamespaceTypes } from './cache/types.ts';
export type { VerifyOptions, VerifyReport } from './cache/verify-report.ts';
export { CacheView } from './cache/view.ts';
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
export type { RestartPolicy } from './core/restart-policy.ts';
export type { NamespaceSchema, NamespaceSchemas } from './core/schemas.ts';
export type { Operation, Update } from './core/update.ts';
export type { JsonValue, ValueLimits } from './core/value.ts';
export { type ConfigStore, MemoryConfigStore } from './log/config-store.ts';
export type { LogStatus } from './log/update-log.ts';
export type {
  VerifyCounts,
  VerifyPlace,
  VerifyProblem,
  VerifyProblemKind,
  VerifyProgress,
} from './log/verify-findings.ts';
export type { NamespaceHandle } from './namespace-handle.ts';
export type { ReplayProgress } from './replay/fill.ts';
export { type ReplayProblem, type ReplayProblemKind, ReplayRefusedError } from './replay/problem.ts';
export { type Replayed, type ReplayOptions, replay } from './replay/replay.ts';
export type { ReplayReport } from './replay/report.ts';
export type { ReplayIterable, ReplaySource, StreamSource } from './replay/source.ts';
export type { RawRecord } from './replay/upcast.ts';
export { startInspector } from './start-inspector.ts';
export { type VerifyDirectoryOptions, verifyDirectory } from './verify-directory.ts';

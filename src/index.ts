export type { WatchedUpdate, WatchOptions } from './actors/watch.ts';
export {
  type BackendSetOptions,
  BaseContextCache,
  type MaybePromise,
} from './backends/base-context-cache.ts';
export { FileContextCache } from './backends/file-context-cache.ts';
export { InMemoryContextCache } from './backends/in-memory-context-cache.ts';
export { MultiBackendContextCache } from './backends/multi-backend-context-cache.ts';
export { RedisContextCache } from './backends/redis/redis-context-cache.ts';
export { AgentContextCache } from './cache/agent-context-cache.ts';
export type { ContextStore } from './cache/context-store.ts';
export type { NamespaceHandle } from './cache/namespace-handle.ts';
export { type ReplayOptions, replay } from './cache/replay.ts';
export { verifyDirectory } from './cache/verify-directory.ts';
export { AccessDeniedError } from './core/access-denied.ts';
export { isDataCommand } from './core/admission.ts';
export { type Clock, systemClock } from './core/clock.ts';
export type {
  Acknowledgement,
  BackupSettings,
  BackupSettingsChange,
  BatchOperation,
  ContextCommand,
  DataCommand,
  Duration,
  RemoveOptions,
  WriteOptions,
} from './core/command.ts';
export { MergeConflictError, VersionConflictError } from './core/conflict.ts';
export { fromJsonValue, toJsonValue } from './core/envelope.ts';
export { ContextCacheError, type ErrorCode, InvalidValueError } from './core/errors.ts';
export { compareNames, DEFAULT_NAMESPACE } from './core/names.ts';
export { joinNamespace, splitNamespace } from './core/namespace-parts.ts';
export type { Entry } from './core/namespace-state.ts';
export type { AnyNamespaces, NamespaceTypes } from './core/namespace-types.ts';
export { OperationReusedError } from './core/operations.ts';
export type { RangeOptions } from './core/range.ts';
export type { NamespaceSchemas } from './core/schemas.ts';
export { packSerialized, unpackSerialized } from './core/serialized.ts';
export type { Update } from './core/update.ts';
export type { JsonValue } from './core/value.ts';
export type { ShutdownReport } from './engine/engine.ts';
export type { CacheHealth } from './engine/health.ts';
export type { CacheOptions, LogOptions, OpenOptions } from './engine/options.ts';
export { BackupInitiator } from './followers/backup/backup-initiator.ts';
export { BackupLoader } from './followers/backup/backup-loader.ts';
export { BackupManager } from './followers/backup/backup-manager.ts';
export { ContextBufferQueue } from './followers/broadcast/buffer-queue.ts';
export { ContextUpdateEventPusher } from './followers/broadcast/event-pusher.ts';
export { ContextUpdateProcessor } from './followers/broadcast/public-message.ts';
export { TopicsListConfig } from './followers/broadcast/topics.ts';
export type { FollowerHealth } from './followers/follower.ts';
export { type Difference, diff } from './past/difference.ts';
export type { EntryVersion } from './past/history.ts';
export type { MergeOptions } from './past/merge.ts';
export { CacheView } from './past/view.ts';
export { ReplayRefusedError } from './replay/problem.ts';
export type { ReplayReport } from './replay/report.ts';
export type { ShareOptions } from './share/share-options.ts';
export { fileSubjectKeys } from './subjects/file-subject-keys.ts';
export { memorySubjectKeys } from './subjects/memory-subject-keys.ts';
export type { VerifyProblem } from './verify/verify-findings.ts';
export type { VerifyOptions, VerifyReport } from './verify/verify-report.ts';

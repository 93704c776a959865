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
export { FileContextCache } from './backends/file-context-cache.ts';
export { InMemoryContextCache } from './backends/in-memory-context-cache.ts';
export { MultiBackendContextCache } from './backends/multi-backend-context-cache.ts';
export { RedisContextCache } from './backends/redis-context-cache.ts';
export { BackupInitiator } from './backup/backup-initiator.ts';
export { BackupLoader, type LoadedNamespace, type LoadedSnapshot } from './backup/backup-loader.ts';
export { BackupManager, type BackupResult } from './backup/backup-manager.ts';
export type { BackupStatus } from './backup/backup-sink.ts';
export { DirectorySnapshotStore } from './backup/directory-snapshot-store.ts';
export { MemorySnapshotStore } from './backup/memory-snapshot-store.ts';
export { RedisSnapshotStore } from './backup/redis-snapshot-store.ts';
export type { SnapshotInfo } from './backup/snapshot-format.ts';
export type { SnapshotStore } from './backup/snapshot-store.ts';
export type { SnapshotTransform } from './backup/snapshot-transform.ts';
export { ContextBufferQueue } from './broadcast/buffer-queue.ts';
export { ContextUpdateEventPusher } from './broadcast/event-pusher.ts';
export { type NatsAddress, parseNatsAddress } from './broadcast/nats-address.ts';
export { type ConnectRequest, connectNats, type NatsConnectionSettings } from './broadcast/nats-connect.ts';
export { parsePublicMessage } from './broadcast/parse-public-message.ts';
export { type ContextUpdateMessage, ContextUpdateProcessor } from './broadcast/public-message.ts';
export { TopicsListConfig } from './broadcast/topics.ts';
export type { ShutdownReport } from './cache/composition.ts';
export type { CacheHealth } from './cache/health.ts';
export type {
  BisectOptions,
  Culprit,
  Difference,
  DifferenceOptions,
  EntryVersion,
  MomentInTime,
} from './cache/history.ts';
export type { BackupOptionsOfCache, CacheOptions, OpenOptions } from './cache/options.ts';
export type { AnswerTo, AnyNamespaces, NamespaceTypes } from './cache/types.ts';
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
export { VersionConflictError } from './core/conflict.ts';
export { ContextCacheError, type ErrorCode, InvalidValueError } from './core/errors.ts';
export { compareNames, DEFAULT_NAMESPACE, MAX_NAME_BYTES } from './core/names.ts';
export type { Entry } from './core/namespace-state.ts';
export type { RestartPolicy } from './core/restart-policy.ts';
export type { NamespaceSchema, NamespaceSchemas } from './core/schemas.ts';
export type { Operation, Update } from './core/update.ts';
export type { JsonValue, ValueLimits } from './core/value.ts';
export { type ConfigStore, MemoryConfigStore } from './log/config-store.ts';
export type { LogStatus } from './log/update-log.ts';
export type { NamespaceHandle } from './namespace-handle.ts';

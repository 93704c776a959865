import type { BaseContextCache } from '../backends/base-context-cache.ts';
import type { Owner } from '../backends/owner.ts';
import { RedisContextCache } from '../backends/redis/redis-context-cache.ts';
import type { Clock } from '../core/clock.ts';
import type { BackupSettings } from '../core/command.ts';
import { ContextCacheError } from '../core/errors.ts';
import { BackupManager } from '../followers/backup/backup-manager.ts';
import { DirectorySnapshotStore } from '../followers/backup/directory-snapshot-store.ts';
import { RedisSnapshotStore } from '../followers/backup/redis-snapshot-store.ts';
import type { SnapshotStore } from '../followers/backup/snapshot-store.ts';
import { BroadcasterSink } from '../followers/broadcast/broadcaster-sink.ts';
import { ContextUpdateEventPusher } from '../followers/broadcast/event-pusher.ts';
import { ContextUpdateProcessor } from '../followers/broadcast/public-message.ts';
import type { TopicsListConfig } from '../followers/broadcast/topics.ts';
import type { ConfigStore } from '../storage/config-store.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import type { EngineOptions } from './options.ts';

const DEFAULT_NATS_URL = 'nats://127.0.0.1:4222';
const DEFAULT_REDIS_URL = 'redis://127.0.0.1:6379';

/** Returns the backend to mirror to, or `undefined` if the options name none. */
export function secondaryOf(options: EngineOptions, clock: Clock): BaseContextCache | undefined {
  const url = redisUrlOf(options);
  if (options.secondaryCache !== undefined) return options.secondaryCache;
  return url === undefined ? undefined : new RedisContextCache({ url, prefix: options.redisPrefix, clock });
}

/** Returns the backend if it is Redis, whose address can be shown; `undefined` for any other backend. */
export function redisIn(secondary: BaseContextCache | undefined): RedisContextCache | undefined {
  return secondary instanceof RedisContextCache ? secondary : undefined;
}

/** Returns the backup settings that an earlier process stored in the data directory. */
export function keptBackup(config: ConfigStore): { enabled?: boolean; settings?: Partial<BackupSettings> } {
  return (config.get('backup') ?? {}) as { enabled?: boolean; settings?: Partial<BackupSettings> };
}

/** Creates the manager of the snapshots. Returns `undefined` if the options give no store. */
export function backupManagerOf(
  options: EngineOptions,
  clock: Clock,
  config: ConfigStore,
  owner: Owner,
): BackupManager | undefined {
  const { store = defaultStoreOf(options, clock), transforms, enabled: _, ...given } = options.backup ?? {};
  if (store === undefined) return undefined;
  const manager = new BackupManager({ store, settings: keptBackup(config).settings, transforms, clock, owner });
  manager.setSettings(given);
  return manager;
}

function defaultStoreOf(options: EngineOptions, clock: Clock): SnapshotStore | undefined {
  const { dataDir } = options;
  const url = redisUrlOf(options);
  if (url !== undefined) return new RedisSnapshotStore({ url, prefix: options.redisPrefix, clock });
  return dataDir === undefined ? undefined : new DirectorySnapshotStore(`${dataDir}/backups`);
}

/** @throws {ContextCacheError} `INVALID_OPTION` if a prefix is given without a Redis. */
function redisUrlOf({ redisUrl, useDefault, redisPrefix }: EngineOptions): string | undefined {
  const url = redisUrl ?? (useDefault ? process.env.REDIS_URL || DEFAULT_REDIS_URL : undefined);
  if (url !== undefined || redisPrefix === undefined) return url;
  throw new ContextCacheError('INVALID_OPTION', 'redisPrefix needs a Redis: give redisUrl or useDefault as well.');
}

/** Creates the broadcaster, which connects once there are topics. */
export function broadcasterOf(
  { natsUrl, natsConnection, subjectId, internals }: EngineOptions,
  topics: TopicsListConfig,
  log: UpdateLog,
  clock: Clock,
  onError: (error: Error) => void,
): BroadcasterSink {
  return new BroadcasterSink({
    topics,
    processor: new ContextUpdateProcessor({ log: log.id, subjectId }),
    pusher: new ContextUpdateEventPusher({
      // With `null` nothing is ever published: the follower is not started.
      url: (natsUrl === undefined ? process.env.NATS_URL : natsUrl) || DEFAULT_NATS_URL,
      connection: natsConnection,
      clock,
      openLink: internals?.openLink,
    }),
    onError,
  });
}

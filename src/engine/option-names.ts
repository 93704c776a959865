import type { CacheLimits } from '../core/limits.ts';
import { type NamesOf, optionNames } from '../core/options.ts';
import type { RestartPolicy } from '../core/restart-policy.ts';
import { NATS_CONNECTION } from '../followers/broadcast/nats-connect.ts';
import type { BackOff } from '../followers/follower.ts';
import { MONITORING_NAMES, type MonitoringOptions } from '../monitoring/reporter.ts';
import { CLUSTER_OPTIONS } from './cluster-checks.ts';
import type { InspectorOptions } from './inspector-options.ts';
import type {
  BackupOptionsOfCache,
  CacheOptions,
  InternalOptions,
  LogOptions,
  OpenOptions,
  SubjectsOptions,
} from './options.ts';

/** Names of {@link InspectorOptions}, for `startInspector` and for `inspector` of the cache. */
const INSPECTOR = {
  port: true,
  host: true,
  token: true,
  allowWrite: true,
  redact: true,
  sendTo: true,
  onListening: true,
} as const satisfies NamesOf<InspectorOptions>;

const LOG = optionNames<LogOptions>('log', {
  capacityUpdates: true,
  capacityBytes: true,
  keepUpdates: true,
  keepMs: true,
  keepBytes: true,
});

const BACKUP = optionNames<BackupOptionsOfCache>('backup', {
  enabled: true,
  store: true,
  transforms: true,
  interval: true,
  intervalMs: true,
  mode: true,
  keep: true,
});

const CACHE = {
  primaryCache: true,
  secondaryCache: true,
  useDefault: true,
  redisUrl: true,
  redisPrefix: true,
  natsUrl: true,
  natsConnection: NATS_CONNECTION,
  topics: true,
  subjectId: true,
  backup: BACKUP,
  grants: true,
  schemas: true,
  migrations: true,
  subjects: optionNames<SubjectsOptions>('subjects', { keys: true }),
  limits: optionNames<CacheLimits>('limits', { maxDepth: true, maxBytes: true, maxKeyBytes: true }),
  log: LOG,
  restart: optionNames<RestartPolicy>('restart', { intensity: true, periodMs: true, backOffMs: true }),
  backOff: optionNames<BackOff>('backOff', { initialMs: true, maximumMs: true, stalledAfter: true }),
  mirrorTimeoutMs: true,
  maxWaiting: true,
  onError: true,
  onContradiction: true,
  logger: true,
  context: true,
  monitoring: optionNames<MonitoringOptions>('monitoring', MONITORING_NAMES),
  inspector: optionNames<InspectorOptions>('inspector', INSPECTOR),
  clock: true,
  internals: optionNames<InternalOptions>('internals', {
    apply: true,
    lane: true,
    files: true,
    openStorage: true,
    openLink: true,
    checkpointMs: true,
    protocols: true,
  }),
} as const satisfies NamesOf<CacheOptions>;

/** Names of {@link OpenOptions}. `fork` and `replay` accept most of them. */
export const OPEN_NAMES = {
  ...CACHE,
  dataDir: true,
  cluster: CLUSTER_OPTIONS,
  restoreFrom: true,
  durability: true,
  sync: true,
  passivateAfterMs: true,
  maxResidentNamespaces: true,
} as const satisfies NamesOf<OpenOptions>;

export const OPEN_OPTIONS = optionNames<OpenOptions>('AgentContextCache.open', OPEN_NAMES);

export const CACHE_OPTIONS = optionNames<CacheOptions>('new AgentContextCache', CACHE, {
  elsewhere: () => [OPEN_OPTIONS],
});

export const INSPECTOR_OPTIONS = optionNames<InspectorOptions>('startInspector', INSPECTOR);

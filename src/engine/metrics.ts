import type { ActivityHealth, Meter } from '../monitoring/activity.ts';
import type { CacheHealth } from './health.ts';

/** One value of a {@link MetricFamily}. */
export interface MetricSample {
  /** End of the sample's name, after that of the family: `_bucket`, `_sum` or `_count` of a histogram. */
  readonly suffix?: string;
  readonly labels: { readonly [name: string]: string };
  readonly value: number;
}

/** A metric with its values, as Prometheus has them. */
export interface MetricFamily {
  /** Such as `agent_context_cache_hits_total`. */
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly samples: readonly MetricSample[];
}

/** The sources of the metrics. */
export interface MetricSources {
  readonly health: CacheHealth;
  readonly meters: Iterable<Meter>;
  /** Namespaces with figures of their own. Their names become labels. */
  readonly namespaces: readonly NamedFigures[];
}

/** The figures of one namespace. */
interface NamedFigures {
  readonly name: string;
  readonly keys: number;
  readonly bytes: number;
  readonly version: number;
}

const STATUSES: readonly CacheHealth['status'][] = ['ok', 'degraded', 'closed'];
const LOG_STATUSES: readonly CacheHealth['log']['status'][] = ['ready', 'degraded', 'closed'];
const FOLLOWER_STATES: readonly CacheHealth['followers'][number]['state'][] = [
  ...(['connecting', 'resyncing', 'catchingUp', 'following', 'backingOff', 'stalled', 'stopped'] as const),
];

/**
 * Returns the figures of a cache as metrics. Labels are types of commands, codes of errors, states and names of followers, so
 * that their number is bounded; and the namespaces that were asked for.
 */
export function metricsOf({ health, meters, namespaces }: MetricSources): MetricFamily[] {
  return [
    ...ofCache(health),
    ...ofActivity(health.activity),
    durations(meters),
    ...ofLog(health),
    ...ofNamespaces(health, namespaces),
    ...ofFollowers(health.followers),
    ...ofBackup(health.backup),
  ];
}

function ofCache({ status, watchers, topics, errors, activity, access }: CacheHealth): MetricFamily[] {
  return [
    gauge('status', 'State of the cache: 1 for the present one.', oneOf('status', STATUSES, status)),
    gauge('opened_timestamp_seconds', 'When the cache was opened.', [plain(activity.since / 1_000)]),
    gauge('watchers', 'Watches and subscriptions in the process of the cache.', [plain(watchers)]),
    gauge('topics', 'NATS topics that updates are broadcast to.', [plain(topics.length)]),
    gauge('grants', 'Grants of agents; without any, every agent may do everything.', [plain(access.grants)]),
    counter('access_denied_total', 'Attempts refused because an agent had no grant for them.', [plain(access.denied)]),
    counter('errors_total', 'Failures that no caller has handled.', [plain(errors.count)]),
  ];
}

function ofActivity(activity: ActivityHealth): MetricFamily[] {
  const commands = Object.entries(activity.operations);
  const failures = Object.entries(activity.failures);
  return [
    counter(
      'commands_total',
      'Commands by type, those that failed included.',
      commands.map(([command, { count }]) => sample({ command }, count)),
    ),
    counter(
      'command_failures_total',
      'Failed commands by type.',
      commands.map(([command, { failed }]) => sample({ command }, failed)),
    ),
    counter(
      'failures_total',
      'Failed commands, and calls refused before they became commands, by code of the error.',
      failures.map(([code, count]) => sample({ code }, count)),
    ),
    counter('hits_total', 'Keys that reads found.', [plain(activity.hits)]),
    counter('misses_total', 'Keys that reads did not find.', [plain(activity.misses)]),
    counter('conflicts_total', 'Writes refused because their condition did not hold.', [plain(activity.conflicts)]),
    counter('expiries_total', 'Entries removed because their time had come.', [plain(activity.expiries)]),
    counter('written_bytes_total', 'Estimated bytes of the values that were written.', [plain(activity.bytesWritten)]),
  ];
}

function durations(meters: Iterable<Meter>): MetricFamily {
  const samples: MetricSample[] = [];
  for (const { command, latency } of meters) {
    if (latency.count === 0) continue;
    for (const { upToMs, count } of latency.cumulative()) {
      samples.push({ suffix: '_bucket', labels: { command, le: String(upToMs / 1_000) }, value: count });
    }
    samples.push({ suffix: '_bucket', labels: { command, le: '+Inf' }, value: latency.count });
    samples.push({ suffix: '_sum', labels: { command }, value: latency.sumMs / 1_000 });
    samples.push({ suffix: '_count', labels: { command }, value: latency.count });
  }
  const help =
    'Durations of commands until the answer. Beyond 1,024 commands of a type one in 64 is measured and counts for 64, beyond 65,536 one in 1,024.';
  return { name: `${PREFIX}command_duration_seconds`, help, type: 'histogram', samples };
}

function ofLog({ log, retention }: CacheHealth): MetricFamily[] {
  return [
    gauge('log_status', 'State of the log: 1 for the present one.', oneOf('status', LOG_STATUSES, log.status)),
    counter('log_updates_total', 'Position of the last update.', [plain(log.head)]),
    counter('log_committed_updates_total', 'Position of the last committed update.', [plain(log.committed)]),
    gauge('log_first_position', 'Oldest position that the log holds.', [plain(log.first)]),
    gauge('retention_begin_position', 'Oldest position whose state can be read.', [plain(retention.begin)]),
  ];
}

function ofNamespaces({ namespaces }: CacheHealth, named: readonly NamedFigures[]): MetricFamily[] {
  const families = [
    gauge('namespaces', 'Namespaces.', [plain(namespaces.total)]),
    gauge('namespaces_resident', 'Namespaces in memory.', [plain(namespaces.resident)]),
    gauge('namespaces_failed', 'Namespaces that were given up or cannot be read.', [plain(namespaces.failed.length)]),
    counter('namespace_restarts_total', 'Restarts of crashed namespaces.', [plain(namespaces.restarts)]),
  ];
  if (named.length === 0) return families;
  const each = (field: 'keys' | 'bytes' | 'version') =>
    named.map((info) => sample({ namespace: info.name }, info[field]));
  return [
    ...families,
    gauge('namespace_keys', 'Keys of a namespace.', each('keys')),
    gauge('namespace_bytes', 'Estimated bytes of the values of a namespace.', each('bytes')),
    gauge('namespace_version', 'Version of a namespace.', each('version')),
  ];
}

function ofFollowers(followers: CacheHealth['followers']): MetricFamily[] {
  const each = (field: 'lag' | 'checkpoint' | 'delivered' | 'skipped' | 'attempts') =>
    followers.map(({ name, [field]: value }) => sample({ follower: name }, value));
  return [
    gauge(
      'follower_state',
      'State of a follower: 1 for the present one.',
      followers.flatMap(({ name, state }) => oneOf('state', FOLLOWER_STATES, state, { follower: name })),
    ),
    gauge('follower_lag_updates', 'Committed updates that a follower has not delivered yet.', each('lag')),
    gauge(
      'follower_checkpoint_position',
      'Position up to which a follower has delivered everything.',
      each('checkpoint'),
    ),
    gauge('follower_failures_in_row', 'Failures of a follower since its last success.', each('attempts')),
    counter('follower_delivered_updates_total', 'Updates that a follower has delivered.', each('delivered')),
    counter(
      'follower_skipped_updates_total',
      'Updates replaced by later ones before a follower delivered them.',
      each('skipped'),
    ),
  ];
}

function ofBackup(backup: CacheHealth['backup']): MetricFamily[] {
  if (backup === undefined) return [];
  const { enabled, lastSnapshot } = backup;
  const families = [gauge('backup_enabled', '1 if snapshots are taken by the settings.', [plain(enabled ? 1 : 0)])];
  if (lastSnapshot === undefined) return families;
  const { at, position } = lastSnapshot;
  return [
    ...families,
    gauge('backup_last_timestamp_seconds', 'When the last snapshot was taken.', [plain(at / 1_000)]),
    gauge('backup_last_position', 'Position of the last snapshot.', [plain(position)]),
  ];
}

const PREFIX = 'agent_context_cache_';

function counter(name: string, help: string, samples: readonly MetricSample[]): MetricFamily {
  return { name: PREFIX + name, help, type: 'counter', samples };
}

function gauge(name: string, help: string, samples: readonly MetricSample[]): MetricFamily {
  return { name: PREFIX + name, help, type: 'gauge', samples };
}

function plain(value: number): MetricSample {
  return { labels: {}, value };
}

function sample(labels: MetricSample['labels'], value: number): MetricSample {
  return { labels, value };
}

/** Returns a sample for each state, which is 1 for the present one and 0 for the others. */
function oneOf(
  label: string,
  states: readonly string[],
  present: string,
  labels: MetricSample['labels'] = {},
): MetricSample[] {
  return states.map((state) => ({ labels: { ...labels, [label]: state }, value: state === present ? 1 : 0 }));
}

import type { StreamInfo as ServerStreamInfo } from '@nats-io/jetstream';
import { systemClock } from '../../core/clock.ts';
import { within } from '../../core/deadline.ts';
import { ContextCacheError } from '../../core/errors.ts';
import { parseNatsAddress } from '../../followers/broadcast/nats-address.ts';
import { connectNats } from '../../followers/broadcast/nats-connect.ts';
import { type JetStreamOptions, monitorsOf, settingsOf } from './open-jetstream.ts';
import { checkServerVersion } from './server-version.ts';
import { API_MS, askLeader } from './stream-api.ts';
import { streamNames } from './stream-names.ts';
import { identityOf } from './stream-settings.ts';
import { syncsAlways } from './sync-setting.ts';

/** A server that stores the stream of a cluster. */
export interface ClusterServer {
  readonly name: string;
  readonly isLeader: boolean;
  /** `false` if the leader does not hear from it. */
  readonly isOnline: boolean;
  /** `true` if it has everything that the leader has. */
  readonly isCurrent: boolean;
  /** Number of messages that it lacks. */
  readonly lag: number;
}

/** The condition of the stream that orders the commands of a cluster. */
export interface ClusterStatus {
  /** Name of the cluster. */
  readonly cluster: string;
  /** Name of the stream in JetStream. */
  readonly stream: string;
  /** Names this incarnation of the stream. */
  readonly epoch: string;
  /** Format of the messages. */
  readonly format: number;
  /** Sequence of the oldest message; `last + 1` if there is none. */
  readonly first: number;
  /** Sequence of the newest message; 0 if there never was one. */
  readonly last: number;
  /** Size of the stored messages. */
  readonly bytes: number;
  /** Size at which the stream refuses writes; -1: none. */
  readonly maxBytes: number;
  /** Number of servers that store each message. */
  readonly replicas: number;
  /** The servers that store the stream, the leader first. */
  readonly servers: readonly ClusterServer[];
  /**
   * `true` if an acknowledged message is on disk, `false` if a server syncs only now and then, `null` if the monitoring ports of
   * too few servers answer.
   */
  readonly syncs: boolean | null;
  /** Version of the server that was asked. */
  readonly serverVersion: string;
}

/**
 * Reads the condition of a cluster's stream. Needs the permissions of a node. Changes nothing.
 *
 * @throws {ContextCacheError} `NOT_FOUND` if the stream does not exist; `BACKEND_FAILED` if the servers are too old, a permission is
 *   missing, or the stream is not set as a cluster needs it; `UNREACHABLE`, `TIMED_OUT`, `LOG_UNAVAILABLE`, `INVALID_OPTION`.
 */
export async function clusterStatus(options: JetStreamOptions): Promise<ClusterStatus> {
  const { clock = systemClock, connectTimeoutMs = API_MS, clientName = 'agent-context-cache' } = options;
  const names = streamNames(options.name);
  const address = parseNatsAddress(options.servers);
  const settings = await settingsOf(options)();
  const request = { address, settings, name: clientName, timeoutMs: connectTimeoutMs, clock, signals: [] };
  const connection = await connectNats(request);
  try {
    const { version } = connection.info ?? {};
    checkServerVersion(version, connection.getServer());
    const link = {
      request: (subject: string, payload: string) => connection.request(subject, payload, { timeout: API_MS }),
    };
    const timedOut = () => new ContextCacheError('TIMED_OUT', `NATS did not answer within ${API_MS} ms.`);
    const answer = await askLeader(link, names, { subject: names.info, payload: '' }, (work, timeoutMs) =>
      within(work, { clock, timeoutMs, timedOut, signals: [] }),
    );
    const { config, state, cluster } = answer as ServerStreamInfo;
    const { format, epoch } = identityOf(names, config);
    const { first_seq: first, last_seq: last, bytes } = state;
    const syncs = await syncsAlways(options.monitors ?? monitorsOf(address), config.num_replicas, clock);
    return {
      ...{ cluster: names.cluster, stream: names.stream, epoch, format },
      // The server says 0 for a stream that never had a message.
      ...{ first: first === 0 ? last + 1 : first, last, bytes, maxBytes: config.max_bytes },
      ...{ replicas: config.num_replicas, servers: serversOf(cluster), syncs: syncs ?? null },
      serverVersion: version ?? '',
    };
  } finally {
    await connection.close();
  }
}

function serversOf(cluster: ServerStreamInfo['cluster']): ClusterServer[] {
  const { leader, replicas = [] } = cluster ?? {};
  const first = { name: leader ?? '', isLeader: true, isOnline: true, isCurrent: true, lag: 0 };
  const others = replicas.map(({ name, current, offline, lag }) => {
    return { name, isLeader: false, isOnline: offline !== true, isCurrent: current, lag: lag ?? 0 };
  });
  return leader === undefined || leader === '' ? others : [first, ...others];
}

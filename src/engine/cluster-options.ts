import type { Duration } from '../core/command.ts';
import type { SnapshotStore } from '../followers/backup/snapshot-store.ts';
import type { NatsConnectionSettings } from '../followers/broadcast/nats-connect.ts';

/**
 * The cluster that a cache joins as a node: one memory for processes on many machines, ordered by a JetStream stream. Every
 * node holds everything and reads from its own memory. See `docs/cluster.md`.
 *
 * @example
 * ```ts
 * const servers = ['nats://n1:4222', 'nats://n2:4222', 'nats://n3:4222'];
 * const cache = await AgentContextCache.open({ cluster: { servers, name: 'plans', snapshots: 'redis://redis:6379' } });
 * ```
 */
export interface ClusterOptions {
  /** NATS servers with JetStream: `nats://[user:password@]host[:port]` or `tls://…`; several in an array or separated by commas. */
  readonly servers: string | readonly string[];
  /** Name of the cluster: 1 to 64 letters, digits, `-` and `_`. Its stream is `ACC_<name>_0`. */
  readonly name: string;
  /**
   * Name of this node, which no other node has: 1 to 64 letters, digits, `.`, `-` and `_`. Health, leases and messages show
   * it. Default: `node-` and 8 random digits.
   */
  readonly node?: string | undefined;
  /** Credentials and TLS for NATS, or a function that returns them for each connection. Default: those of the URLs. */
  readonly connection?:
    | NatsConnectionSettings
    | (() => NatsConnectionSettings | Promise<NatsConnectionSettings>)
    | undefined;
  /**
   * Number of servers that store each message: 1, 3 or 5. If the stream does not exist, it is created with so many, which the
   * user must be permitted to do; a stream with fewer is refused with `INVALID_OPTION`. Default: the stream must exist, and its
   * number of replicas is not checked.
   */
  readonly replicas?: number | undefined;
  /**
   * The store of the snapshots that nodes join from, which all nodes share: a `SnapshotStore`, a `redis://` URL, or a directory that
   * all nodes see. One node takes the snapshots, by the settings of `backup`, which is enabled unless `backup.enabled` is
   * `false`, and then discards what the stream no longer needs. Default: none. The stream then grows until it is full, and a
   * node that joins reads all of it.
   */
  readonly snapshots?: SnapshotStore | string | undefined;
  /**
   * Longest time from a write to its result: at least 100 ms. A write that was never sent by then rejects with `LOG_UNAVAILABLE`,
   * one that was sent and not answered with `OUTCOME_UNKNOWN`. Default 30,000 ms.
   */
  readonly writeTimeoutMs?: Duration | undefined;
  /** Writes of this node that may wait for the cluster at once; more reject with `OVERLOADED`. From 1; default 100,000. */
  readonly maxQueued?: number | undefined;
}

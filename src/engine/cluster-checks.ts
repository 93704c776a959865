import { ContextCacheError } from '../core/errors.ts';
import { optionNames } from '../core/options.ts';
import { NATS_CONNECTION } from '../followers/broadcast/nats-connect.ts';
import type { ClusterOptions } from './cluster-options.ts';
import { durationOf } from './durations.ts';

/** Names of {@link ClusterOptions}. */
export const CLUSTER_OPTIONS = optionNames<ClusterOptions>('cluster', {
  servers: true,
  name: true,
  node: true,
  connection: NATS_CONNECTION,
  replicas: true,
  snapshots: true,
  writeTimeoutMs: true,
  maxQueued: true,
});

const WRITE_TIMEOUT_MS = 30_000;
const LEAST_WRITE_TIMEOUT_MS = 100;
const MAX_QUEUED = 100_000;
const REPLICAS: readonly unknown[] = [1, 3, 5];

/** The options of a cluster with their defaults. */
export interface CheckedClusterOptions extends ClusterOptions {
  readonly writeTimeoutMs: number;
  readonly maxQueued: number;
}

/**
 * Checks the values of the options and adds the defaults. Servers and name are left for the parts that use them.
 *
 * @throws {ContextCacheError} `INVALID_OPTION` naming the option.
 */
export function checkedCluster(options: ClusterOptions): CheckedClusterOptions {
  if (typeof options !== 'object' || options === null) throw invalid('cluster takes an object: { servers, name }.');
  CLUSTER_OPTIONS.check(options);
  const { servers, name, node, replicas, snapshots, maxQueued = MAX_QUEUED } = options;
  const writeTimeoutMs = durationOf('cluster.writeTimeoutMs', options.writeTimeoutMs) ?? WRITE_TIMEOUT_MS;
  if (servers === undefined) throw invalid('cluster.servers is missing: the URLs of the NATS servers.');
  if (name === undefined) throw invalid('cluster.name is missing: the name of the cluster.');
  if (node !== undefined && !(typeof node === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(node))) {
    throw invalid(`cluster.node has 1 to 64 letters, digits, ".", "-" and "_", unlike ${shown(node)}.`);
  }
  if (replicas !== undefined && !REPLICAS.includes(replicas)) {
    throw invalid(`cluster.replicas is 1, 3 or 5, not ${shown(replicas)}.`);
  }
  if (!(Number.isSafeInteger(maxQueued) && maxQueued >= 1)) {
    throw invalid(`cluster.maxQueued is an integer from 1, not ${shown(maxQueued)}.`);
  }
  if (writeTimeoutMs < LEAST_WRITE_TIMEOUT_MS) {
    throw invalid(`cluster.writeTimeoutMs is at least ${LEAST_WRITE_TIMEOUT_MS} ms, not ${writeTimeoutMs}.`);
  }
  const isStore = typeof snapshots === 'object' && snapshots !== null;
  if (snapshots !== undefined && !isStore && (typeof snapshots !== 'string' || snapshots === '')) {
    throw invalid('cluster.snapshots is a store of snapshots, a redis:// URL or a directory that all nodes see.');
  }
  return { ...options, writeTimeoutMs, maxQueued };
}

function shown(value: unknown): string {
  return JSON.stringify(String(value).slice(0, 80));
}

function invalid(message: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', message);
}

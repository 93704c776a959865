import { createRequire } from 'node:module';
import { ContextCacheError } from '../../core/errors.ts';
import { checkedCluster } from '../../engine/cluster-checks.ts';
import type { ClusterOptions } from '../../engine/cluster-options.ts';
import type { EngineOptions } from '../../engine/options.ts';
import { snapshotStore } from '../../engine/restore.ts';
import { type CreateCache, joinCluster } from './join-cluster.ts';

const { version } = createRequire(import.meta.url)('agent-context-cache/package.json') as { readonly version: string };

/**
 * Opens a cache that is a node of a cluster on JetStream.
 *
 * @throws {ContextCacheError} (as a rejection) `INVALID_OPTION`; `NOT_FOUND` if the stream does not exist; `UNREACHABLE`,
 *   `TIMED_OUT`, `LOG_UNAVAILABLE`, `BACKEND_FAILED` (a server that is too old, a permission that is missing, a stream with
 *   other settings); and those of {@link joinCluster}.
 */
export async function openCluster<
  Cache extends { shutdown(options: { readonly timeoutMs: number }): Promise<unknown> },
>(
  { cluster, ...options }: EngineOptions & { readonly cluster: ClusterOptions },
  create: CreateCache<Cache>,
): Promise<Cache> {
  const { servers, name, connection, replicas, snapshots, node, writeTimeoutMs, maxQueued } = checkedCluster(cluster);
  const { backup } = options;
  if (snapshots !== undefined && backup?.store !== undefined) {
    const message =
      'backup.store and cluster.snapshots both name the store of the snapshots. Give cluster.snapshots alone.';
    throw new ContextCacheError('INVALID_OPTION', message);
  }
  const engineOptions =
    snapshots === undefined ? options : { ...options, backup: { ...backup, store: snapshotStore(snapshots) } };
  const { createJetStream, openJetStream } = await import('../jetstream/open-jetstream.ts');
  const given = { servers, name, connection, clock: options.clock };
  if (replicas !== undefined) await createJetStream({ ...given, replicas });
  const stream = await openJetStream(given);
  const join = { stream, node, version, writeTimeoutMs, maxQueued, sharesSnapshots: snapshots !== undefined };
  return joinCluster(engineOptions, join, create);
}

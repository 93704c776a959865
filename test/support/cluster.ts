import { onTestFinished } from 'vitest';
import type { CommandStream } from '../../src/cluster/command-stream.ts';
import { joinCluster } from '../../src/cluster/open/join-cluster.ts';
import { INTERNALS } from '../../src/engine/internals.ts';
import type { EngineOptions } from '../../src/engine/options.ts';
import type { Storage } from '../../src/engine/storage.ts';
import { AgentContextCache } from '../../src/index.ts';
import { type MemoryConnection, MemoryStream } from './memory-stream.ts';

/** Options of a node in a test. */
export interface NodeOptions extends EngineOptions {
  readonly node?: string;
  readonly writeTimeoutMs?: number;
  readonly maxQueued?: number;
  readonly sharesSnapshots?: boolean;
}

/** Opens a cache that is a node of a cluster on a stream. Ends with the test. */
export async function openNode(stream: CommandStream, options: NodeOptions = {}): Promise<AgentContextCache> {
  const { node, writeTimeoutMs = 30_000, maxQueued = 100_000, sharesSnapshots, ...given } = options;
  const create = async (engineOptions: EngineOptions, storage: Storage) => {
    const cache = await AgentContextCache.over(engineOptions, storage);
    return { cache, parts: cache[INTERNALS].parts };
  };
  const join = { stream, node, version: '0.0.0', writeTimeoutMs, maxQueued, sharesSnapshots };
  return joinCluster({ natsUrl: null, onError: () => {}, ...given }, join, create);
}

/** A cluster in this process, over a stream in memory. */
export interface TestCluster {
  readonly stream: MemoryStream;
  readonly nodes: readonly AgentContextCache[];
  readonly connections: readonly MemoryConnection[];
  /** Waits until every node has everything that was acknowledged. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

/** Opens a cluster of caches. {@link TestCluster.close} ends it, at the latest when the test does. */
export async function openCluster(size: number, options: NodeOptions = {}): Promise<TestCluster> {
  const { clock } = options;
  const stream = new MemoryStream(clock && (() => clock.now()));
  const connections = Array.from({ length: size }, () => stream.connect());
  const nodes: AgentContextCache[] = [];
  for (const [index, connection] of connections.entries()) {
    nodes.push(await openNode(connection, { node: `n-${index + 1}`, ...options }));
  }
  const close = async () => {
    await Promise.all(nodes.map((node) => node.shutdown({ timeoutMs: 100 })));
  };
  const settle = async () => {
    await Promise.all(nodes.map((node) => node.barrier()));
    // A later barrier of another node may not have arrived everywhere yet.
    const isBehind = (node: AgentContextCache) => node.health().cluster?.sequence !== stream.last;
    while (nodes.some(isBehind)) await new Promise(setImmediate);
  };
  return { stream, nodes, connections, settle, close };
}

/** Opens a cluster that ends with the test. */
export async function clusterOf(size: number, options: NodeOptions = {}): Promise<TestCluster> {
  const cluster = await openCluster(size, options);
  onTestFinished(() => cluster.close());
  return cluster;
}

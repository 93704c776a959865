import { randomUUID } from 'node:crypto';
import { type Clock, systemClock } from '../../core/clock.ts';
import { ContextCacheError } from '../../core/errors.ts';
import type { Engine } from '../../engine/engine.ts';
import type { EngineOptions } from '../../engine/options.ts';
import type { CommandStream } from '../command-stream.ts';
import { ClusterNode } from '../node.ts';
import { StreamClock } from '../stream-clock.ts';
import { EngineReplica } from './engine-replica.ts';
import { NodeSequencer } from './node-sequencer.ts';

/** Options of {@link joinCluster}. */
export interface JoinOptions {
  readonly stream: CommandStream;
  readonly node?: string | undefined;
  /** Version of the package. */
  readonly version: string;
  readonly writeTimeoutMs?: number | undefined;
  readonly maxQueued?: number | undefined;
  /** Runs something in the next turn. Default: `setImmediate`. */
  readonly schedule?: ((run: () => void) => void) | undefined;
}

/** A cache, as far as one that cannot join must be ended. */
interface Joinable {
  shutdown(options: { readonly timeoutMs: number }): Promise<unknown>;
}

const WRITE_TIMEOUT_MS = 30_000;
const MAX_QUEUED = 100_000;

/**
 * Makes a cache a node of a cluster. `create` creates it with the options that a node needs. Resolves once it has everything
 * that was acknowledged before.
 *
 * @throws {ContextCacheError} (as a rejection) `INVALID_OPTION` for options that a node cannot have; the errors of `create` and of
 *   {@link ClusterNode.join}.
 */
export async function joinCluster<Cache extends Joinable>(
  options: EngineOptions,
  join: JoinOptions,
  create: (options: EngineOptions, logId: string) => Promise<{ readonly cache: Cache; readonly parts: Engine }>,
): Promise<Cache> {
  const { stream } = join;
  let created: Cache | undefined;
  try {
    checkOptions(options);
    const { epoch } = await stream.info();
    const clock: Clock = options.clock ?? systemClock;
    const streamClock = new StreamClock(clock);
    const name = join.node ?? `node-${randomUUID().slice(0, 8)}`;
    const sequencer = new NodeSequencer(name, stream);
    const { cache, parts } = await create({ ...options, clock: streamClock, sequencer }, epoch);
    created = cache;
    const node = new ClusterNode({
      ...{ stream, clock, streamClock, name, version: join.version, schedule: join.schedule },
      replica: new EngineReplica(parts),
      newSession: randomUUID,
      maxQueued: join.maxQueued ?? MAX_QUEUED,
      writeTimeoutMs: join.writeTimeoutMs ?? WRITE_TIMEOUT_MS,
      onFailed: (error) => parts.report(error, { source: 'cluster' }),
      onStalled: (error) => {
        sequencer.stalled(error);
        if (error !== undefined) parts.report(error, { source: 'cluster' });
      },
    });
    sequencer.connect(node);
    await node.join();
    return cache;
  } catch (error) {
    await created?.shutdown({ timeoutMs: 0 });
    await stream.close();
    throw error;
  }
}

/** Options that would change the data of one node alone, or that only one node of a cluster may have. */
const REFUSED = {
  primaryCache: 'keeps the values outside the cache, where the other nodes cannot see them',
  secondaryCache: 'would be written by every node',
  redisUrl: 'would be written by every node',
  topics: 'would be published by every node',
  restoreFrom: 'would change this node alone',
  dataDir: 'is not supported in a cluster yet: the stream keeps the data',
} as const satisfies Partial<Record<keyof EngineOptions, string>>;

function checkOptions(options: EngineOptions): void {
  for (const [name, reason] of Object.entries(REFUSED)) {
    if (options[name as keyof typeof REFUSED] === undefined) continue;
    throw new ContextCacheError('INVALID_OPTION', `${name} cannot be given together with cluster: it ${reason}.`);
  }
  if (options.backup?.enabled === true) {
    throw new ContextCacheError(
      'INVALID_OPTION',
      'backup.enabled cannot be given together with cluster: every node would take the snapshots. Call backup() on one of them.',
    );
  }
}

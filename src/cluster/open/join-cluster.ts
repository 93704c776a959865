import { randomUUID } from 'node:crypto';
import { type Clock, systemClock } from '../../core/clock.ts';
import { ContextCacheError } from '../../core/errors.ts';
import { type Engine, FOLLOWER } from '../../engine/engine.ts';
import type { EngineOptions } from '../../engine/options.ts';
import { Settings } from '../../engine/settings.ts';
import { openStorage, type Storage } from '../../engine/storage.ts';
import type { CommandStream } from '../command-stream.ts';
import { ClusterNode } from '../node.ts';
import { StreamClock } from '../stream-clock.ts';
import { ClusterSettings } from './cluster-settings.ts';
import { cursorChanges } from './cursor.ts';
import { EngineReplica } from './engine-replica.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { NodeSequencer } from './node-sequencer.ts';
import { Origin } from './origin.ts';

/** Options of {@link joinCluster}. */
export interface JoinOptions {
  readonly stream: CommandStream;
  readonly node?: string | undefined;
  /** Version of the package. */
  readonly version: string;
  readonly writeTimeoutMs: number;
  readonly maxQueued: number;
  /** `true` if the store of `backup` is the one that all nodes share. Default `false`. */
  readonly sharesSnapshots?: boolean | undefined;
  /** Runs something in the next turn. Default: `setImmediate`. */
  readonly schedule?: ((run: () => void) => void) | undefined;
}

/** A cache, as far as one that cannot join must be ended. */
interface Joinable {
  shutdown(options: { readonly timeoutMs: number }): Promise<unknown>;
}

/** Creates a cache on a storage, which the cache closes. */
export type CreateCache<Cache> = (
  options: EngineOptions,
  storage: Storage,
) => Promise<{ readonly cache: Cache; readonly parts: Engine }>;

/**
 * Makes a cache a node of a cluster. `create` creates it with the options that a node needs. Resolves once it has everything
 * that was acknowledged before.
 *
 * @throws {ContextCacheError} (as a rejection) `INVALID_OPTION` for options that a node cannot have; the errors of opening a
 *   directory, of reading a snapshot, and of {@link ClusterNode.join}.
 */
export async function joinCluster<Cache extends Joinable>(
  options: EngineOptions,
  join: JoinOptions,
  create: CreateCache<Cache>,
): Promise<Cache> {
  const { stream } = join;
  let created: Cache | undefined;
  try {
    checkOptions(options);
    const info = await stream.info();
    const clock: Clock = options.clock ?? systemClock;
    const streamClock = new StreamClock(clock, join.schedule);
    const name = join.node ?? `node-${randomUUID().slice(0, 8)}`;
    const sequencer = new NodeSequencer(name, stream, clock);
    const origin = new Origin(info, options, join.sharesSnapshots === true);
    const engineOptions: EngineOptions = {
      ...{ durability: 'memory', ...options, clock: streamClock, sequencer },
      sharesSnapshots: join.sharesSnapshots,
      ...{ logId: info.epoch, begin: (log, settings) => origin.find(log, settings) },
    };
    const storage = await openStorage(engineOptions);
    const { cache, parts } = await create(engineOptions, storage);
    created = cache;
    const node = new ClusterNode({
      ...{ stream, clock, streamClock, name, version: join.version, schedule: join.schedule },
      ...{ stored: origin.machine, predecessor: origin.session, protocols: options.internals?.protocols },
      replica: new EngineReplica(parts),
      newSession: randomUUID,
      maxQueued: join.maxQueued,
      writeTimeoutMs: join.writeTimeoutMs,
      onFailed: (error) => parts.report(error, { source: 'cluster' }),
      onStalled: (error) => parts.report(error, { source: 'cluster' }),
    });
    stream.onProblem = (problem) => {
      if (problem !== undefined) parts.report(problem, { source: 'cluster' });
    };
    sequencer.connect(node);
    const { noteWith } = storage;
    if (noteWith !== undefined) node.onApplied(() => noteCursor(node, noteWith));
    await node.join();
    let leases: LeaseKeeper | undefined;
    const settings = new ClusterSettings(node, parts, () => leases?.look());
    leases = new LeaseKeeper({ node, parts, stream, settings, clock, streamClock });
    sequencer.serve(settings, leases);
    settings.start();
    await shareSettings(options, node, parts);
    leases.start();
    return cache;
  } catch (error) {
    await created?.shutdown({ timeoutMs: 0 });
    await stream.close();
    throw error;
  }
}

/** Writes the cursor with the updates of the message that was just applied. */
function noteCursor(node: ClusterNode, noteWith: NonNullable<Storage['noteWith']>): void {
  if (node.isRunning && !node.machine.isStalled) noteWith(cursorChanges(node.machine, node.session));
}

/** Shares the settings that this node was given and the cluster does not have yet. */
async function shareSettings(
  { grants, topics = [], backup }: EngineOptions,
  node: ClusterNode,
  parts: Engine,
): Promise<void> {
  const { config } = node.machine;
  const settings = new Settings(parts);
  if (grants !== undefined && !config.has('grants')) await parts.access.set(grants);
  for (const topic of topics) if (!config.has(`topic/${topic}`)) await settings.addTopic(topic);
  if (!parts.duties.includes(FOLLOWER.backup) || config.has('backup')) return;
  if (backup?.enabled === false) await settings.disableBackup();
  else await settings.enableBackup();
}

/** Options that would change the data of one node alone. */
const REFUSED = {
  primaryCache: 'keeps the values outside the cache, where the other nodes cannot see them',
  restoreFrom: 'would change this node alone',
} as const satisfies Partial<Record<keyof EngineOptions, string>>;

function checkOptions(options: EngineOptions): void {
  for (const [name, reason] of Object.entries(REFUSED)) {
    if (options[name as keyof typeof REFUSED] === undefined) continue;
    throw new ContextCacheError('INVALID_OPTION', `${name} cannot be given together with cluster: it ${reason}.`);
  }
}

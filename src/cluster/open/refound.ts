import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { systemClock } from '../../core/clock.ts';
import { ContextCacheError } from '../../core/errors.ts';
import type { JsonValue } from '../../core/value.ts';
import { storeContinuation } from '../../engine/continue-log.ts';
import type { EngineOptions } from '../../engine/options.ts';
import { clusterSnapshot, isDataDirectory, snapshotStore } from '../../engine/restore.ts';
import { openStorage, type Storage } from '../../engine/storage.ts';
import type { CreateJetStreamOptions } from '../jetstream/open-jetstream.ts';
import { PROTOCOLS, type StoredMachine } from '../machine/machine.ts';
import { encodeMessage } from '../machine/message-encoder.ts';
import { MAX_MESSAGE_BYTES } from '../machine/message-format.ts';
import { protocolError } from '../node-errors.ts';
import { CONTINUES, continuedBy, cursorIn, STREAM, type StreamSize, sizeOfStream } from './cursor.ts';
import {
  changing,
  checkRefounding,
  checkStreamSize,
  isUnstarted,
  type KnownSnapshot,
  keyOfStream,
  type OldStream,
} from './refound-checks.ts';

const { version } = createRequire(import.meta.url)('agent-context-cache/package.json') as { readonly version: string };

/** Options of {@link refoundCluster}. */
export interface RefoundOptions extends Omit<CreateJetStreamOptions, 'replicas' | 'maxBytes'> {
  /** Servers that store each message: 1, 3 or 5. Default: as in the old stream; if it is gone, as in the last refounding, or 3. */
  readonly replicas?: number | undefined;
  /** Greatest size of the stream in bytes, on each of its servers. Default: as in the old stream; if it is gone, as in the last refounding, or 1 GiB. */
  readonly maxBytes?: number | undefined;
  /** The store of snapshots that all nodes share. The nodes join from the snapshot that is written there. */
  readonly snapshots: NonNullable<Parameters<typeof snapshotStore>[0]>;
  /**
   * Data directory of the node that the new stream goes on from. The node is stopped, and is the most advanced one. Default: the
   * newest whole snapshot in `snapshots`.
   */
  readonly dataDir?: string | undefined;
  /** Transforms of the snapshots, as in `backup.transforms` of the nodes. */
  readonly transforms?: NonNullable<EngineOptions['backup']>['transforms'];
  /** Replaces the stream although it can be used, or although a newer state is known. What is lost is lost. Default `false`. */
  readonly force?: boolean | undefined;
}

/** A stream that was founded from the state of another one. */
export interface Refounded {
  /** Epoch of the new stream. */
  readonly epoch: string;
  /** Epoch of the stream that it continues. */
  readonly previousEpoch: string;
  /** Position of the last update in it. */
  readonly position: number;
  /** Sequence of the old stream's message up to which everything is in it. */
  readonly sequence: number;
  /** Sequence of the newest message of that stream; `undefined` if it is gone, has no leader, or another one was replaced. */
  readonly last: number | undefined;
  /** Id of the snapshot that nodes join from. */
  readonly snapshot: string;
}

/**
 * Founds the stream of a cluster anew from the data directory of a node or the newest whole snapshot, after the stream was lost or
 * restored from an older copy. Nodes then join from the snapshot that is written, with empty directories: directories of the old
 * stream are refused. Needs a user who may delete and create streams, and publish commands.
 *
 * @throws {ContextCacheError} `NOT_EMPTY` if the stream can be used as it is; `POSITION_UNAVAILABLE` if a newer state is known;
 *   `LOG_UNAVAILABLE` if the stream has no leader, or answers differently for 20 s; each of them only without `force`. `NOT_FOUND` if there is no state to go on from;
 *   `INVALID_OPTION` for a directory that was no node, and for replicas or a size that the servers cannot have; `DIRECTORY_LOCKED` if its node runs; `BACKEND_FAILED` if JetStream refuses.
 */
export async function refoundCluster(options: RefoundOptions): Promise<Refounded> {
  const { dataDir, transforms, force = false, clock } = options;
  if (options.snapshots === undefined) {
    const message = 'snapshots is missing: the store that all nodes share, from which they join the new stream.';
    throw new ContextCacheError('INVALID_OPTION', message);
  }
  checkStreamSize(options);
  const { clusterStatus } = await import('../jetstream/stream-status.ts');
  const ask = () =>
    clusterStatus(options).then(
      ({ stream, epoch, last, replicas, maxBytes }): OldStream => ({ stream, epoch, last, replicas, maxBytes }),
      (error) => lost(error),
    );
  const first = await ask();
  const store = snapshotStore(options.snapshots);
  try {
    const engineOptions: EngineOptions = { natsUrl: null, clock, backup: { transforms }, durability: 'memory' };
    const newest = await clusterSnapshot(store, engineOptions, () => true);
    const known = newest && knownOf(newest);
    // The snapshot of a failed attempt is passed over while the stream that it was to replace exists.
    const isLeft = known !== undefined && isUnstarted(known) && known.continues.includes(first?.epoch ?? '');
    const ofOld = isLeft && dataDir === undefined;
    const older = ofOld ? await clusterSnapshot(store, engineOptions, (log) => log === first?.epoch) : undefined;
    const chosen = older ?? newest;
    const source = await (dataDir === undefined ? ofSnapshot(chosen, store.description) : ofDirectory(dataDir));
    const begin: EngineOptions['begin'] = dataDir === undefined ? async () => chosen : undefined;
    const storage = await openStorage({ ...engineOptions, dataDir, begin });
    try {
      const { machine, previousEpoch } = source(storage);
      const unsupported = protocolError(machine.protocol, PROTOCOLS, 'refounding');
      if (unsupported !== undefined) throw unsupported;
      const continues = continuedBy(machine) ?? [];
      const check = (old: OldStream | undefined) =>
        checkRefounding({ old, known, machine, previousEpoch, ancestors: continues, force });
      check(first);
      const { lastingAnswer } = await import('../jetstream/lasting.ts');
      const { answer: old, isCertain } = await lastingAnswer(ask, keyOfStream, clock ?? systemClock);
      check(old);
      if (!isCertain && !force) throw changing();
      const epoch = randomUUID();
      const ancestors = [previousEpoch, ...continues];
      const size = sizeFor(
        options,
        old,
        // The size that an interrupted attempt has kept.
        known?.continues.includes(previousEpoch) ? sizeOfStream(newest?.cluster as StoredMachine) : undefined,
        sizeOfStream(machine),
      );
      const cluster = continued(machine, ancestors, size);
      const { id } = await storeContinuation(storage, {
        ...{ log: epoch, ancestors, cluster, store, transforms, clock },
        settings: (new Map(machine.config).get('backup') as { readonly settings?: object } | undefined)?.settings,
      });
      const { replaceStream } = await import('../jetstream/replace-stream.ts');
      await replaceStream({ ...options, ...size, epoch, first: firstMessage(cluster) });
      const last = old?.epoch === previousEpoch ? old.last : undefined;
      return { epoch, previousEpoch, position: machine.position, sequence: machine.sequence, last, snapshot: id };
    } finally {
      await (storage.directory ?? storage.log).close();
    }
  } finally {
    // The nodes claim it next.
    if (store === options.snapshots) await store.releaseClaim?.();
    else await store.close();
  }
}

function knownOf({ info, cluster }: LoadedSnapshot): KnownSnapshot {
  const { id, log, position } = info;
  const continues = cluster === undefined ? [] : (continuedBy(cluster as StoredMachine) ?? []);
  return { id, log, position, sequence: cluster?.sequence ?? 0, continues };
}

type LoadedSnapshot = NonNullable<Awaited<ReturnType<typeof clusterSnapshot>>>;

type Source = (storage: Storage) => { readonly machine: StoredMachine; readonly previousEpoch: string };

async function ofDirectory(dataDir: string): Promise<Source> {
  if (!(await isDataDirectory(dataDir))) {
    throw new ContextCacheError('NOT_FOUND', `There is no data directory at ${dataDir}. Give that of a node.`);
  }
  return ({ config, log }) => {
    const machine = cursorIn(config)?.machine;
    if (machine === undefined) {
      const message = `The directory ${dataDir} was never a node of a cluster. Give that of a node, or leave it out to use a snapshot.`;
      throw new ContextCacheError('INVALID_OPTION', message);
    }
    if (machine.position !== log.head) {
      const message = `The log in ${dataDir} ends at position ${log.head}, and the node's cursor at ${machine.position}.`;
      throw new ContextCacheError('LOG_CORRUPT', `${message} Give the directory of another node, or use a snapshot.`);
    }
    return { machine, previousEpoch: log.id };
  };
}

async function ofSnapshot(newest: Awaited<ReturnType<typeof clusterSnapshot>>, where: string): Promise<Source> {
  if (newest === undefined) {
    const message = `There is no whole snapshot of a cluster in ${where}. Give the data directory of a node.`;
    throw new ContextCacheError('NOT_FOUND', message);
  }
  return () => ({ machine: newest.cluster as StoredMachine, previousEpoch: newest.info.log });
}

/** Returns replicas and size of the new stream: each as the first of the sources says that knows it. */
function sizeFor(...sources: readonly (StreamSize | undefined)[]): StreamSize {
  const replicas = sources.find((source) => source?.replicas !== undefined)?.replicas;
  const maxBytes = sources.find((source) => source?.maxBytes !== undefined)?.maxBytes;
  return { ...(replicas !== undefined && { replicas }), ...(maxBytes !== undefined && { maxBytes }) };
}

/**
 * Returns the state that the new stream begins with: no message of it is applied, and the sessions of the old one are over. It keeps
 * the size of the stream, because the old stream is deleted next and its size is known nowhere else.
 */
function continued(machine: StoredMachine, ancestors: readonly string[], size: StreamSize): StoredMachine {
  const config = new Map(machine.config);
  config.set(CONTINUES, [...ancestors] as JsonValue);
  config.set(STREAM, { ...size } as JsonValue);
  return { ...machine, sequence: 0, sessions: [], leases: [], config: [...config] };
}

/** A node that has not joined from the snapshot stops at this message, because it is at another position. */
function firstMessage({ position, time, hash, protocol }: StoredMachine): Uint8Array {
  const heading = { session: randomUUID(), counter: 1, seenSequence: 0, seenHash: 0 };
  const protocols = { minProtocol: protocol, maxProtocol: PROTOCOLS.max };
  const hello = { type: 'hello', node: 'refound', version, ...protocols, predecessor: null } as const;
  return encodeMessage(heading, [hello, { type: 'begin', position, time, hash }, { type: 'leave' }], {
    maxBytes: MAX_MESSAGE_BYTES,
  }).bytes;
}

/** Returns that the stream is gone, or that its servers do not know whether it is. */
function lost(error: unknown): OldStream | undefined {
  if (error instanceof ContextCacheError && error.code === 'NOT_FOUND') return undefined;
  if (!(error instanceof ContextCacheError && error.code === 'LOG_UNAVAILABLE')) throw error;
  return { stream: error.message, epoch: undefined, last: undefined };
}

import { type Clock, elapsedBy } from '../../core/clock.ts';
import type { Acknowledgement, TransactionResult } from '../../core/command.ts';
import { ContextCacheError } from '../../core/errors.ts';
import type { Request } from '../../core/request.ts';
import type { JsonValue } from '../../core/value.ts';
import type { ClusterHealth, ClusterLease, ClusterMember, LeftUndone, Sequencer } from '../../engine/sequencer.ts';
import type { CommandStream } from '../command-stream.ts';
import { leave } from '../leave.ts';
import { LIVE_MS, PROTOCOL_LEASE, type StoredMachine } from '../machine/machine.ts';
import type { ClusterNode } from '../node.ts';
import { raiseProtocol } from '../raise-protocol.ts';
import type { ClusterSettings } from './cluster-settings.ts';
import type { LeaseKeeper } from './lease-keeper.ts';

/** Hands the requests of an engine to a node of a cluster. */
export class NodeSequencer implements Sequencer {
  readonly name: string;
  readonly #stream: CommandStream;
  readonly #clock: Clock;
  #node: ClusterNode | undefined;
  #settings: ClusterSettings | undefined;
  #leases: LeaseKeeper | undefined;

  constructor(name: string, stream: CommandStream, clock: Clock) {
    this.name = name;
    this.#stream = stream;
    this.#clock = clock;
  }

  /** Connects the node, which needs the engine first. */
  connect(node: ClusterNode): void {
    this.#node = node;
  }

  /** Connects what works once the node has joined. */
  serve(settings: ClusterSettings, leases: LeaseKeeper): void {
    this.#settings = settings;
    this.#leases = leases;
  }

  get #joined(): ClusterNode {
    if (this.#node !== undefined) return this.#node;
    throw new ContextCacheError('INVARIANT', 'The node of the cluster is not connected yet.');
  }

  send(request: Request): void {
    if (request.finish !== undefined) {
      request.fail(checkedLater(request));
      return;
    }
    const node = this.#joined;
    node.submit(request, (outcome) => {
      if (outcome instanceof Error) {
        request.fail(outcome);
        return;
      }
      request.executedAt(node.machine.time);
      request.succeed(outcome as Acknowledgement);
    });
  }

  transact(parts: readonly Request[]): Promise<TransactionResult> {
    return new Promise((resolve, reject) => {
      this.#joined.submit({ type: 'transaction', parts }, (outcome) => {
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome as TransactionResult);
      });
    });
  }

  async configure(name: string, value: JsonValue): Promise<void> {
    if (this.#settings === undefined) throw notJoined();
    await this.#settings.set(name, value);
  }

  async snapshot(signal: AbortSignal | undefined): ReturnType<Sequencer['snapshot']> {
    if (this.#settings === undefined) throw notJoined();
    return this.#settings.snapshots.ask(signal);
  }

  barrier(): Promise<void> {
    return this.#joined.barrier();
  }

  get stalenessMs(): number {
    return this.#joined.stalenessMs;
  }

  onApplied(listener: () => void): () => void {
    return this.#joined.onApplied(listener);
  }

  get failure(): Error | undefined {
    return this.#node?.failure;
  }

  get reason(): string | undefined {
    return this.#node?.reason;
  }

  async raise(protocol: number | undefined): Promise<number> {
    return raiseProtocol(this.#joined, protocol);
  }

  health(): ClusterHealth {
    const node = this.#joined;
    const { machine, info } = node;
    const failure = node.problem ?? this.#leases?.problem;
    return {
      ...{ status: node.status, node: this.name, connected: this.#stream.connected, sequence: machine.sequence },
      ...{ head: Math.max(info?.last ?? 0, machine.sequence), stalenessMs: node.stalenessMs, waiting: node.waiting },
      ...{ time: machine.time, hash: machine.hash, protocol: machine.protocol },
      ...{ syncs: info?.syncs, replicas: info?.replicas, members: membersOf(node) },
      leases: leasesOf(node),
      failure: failure && {
        code: failure instanceof ContextCacheError ? failure.code : failure.name,
        message: failure.message,
      },
    };
  }

  stored(): StoredMachine {
    if (this.failure !== undefined) throw this.failure;
    const machine = this.#node?.machine;
    if (machine !== undefined && !machine.isStalled) return machine.stored();
    const message =
      'The node is in the middle of a message of the stream that it cannot apply at present. Try again later.';
    throw new ContextCacheError('LOG_UNAVAILABLE', message, { cause: this.#node?.problem });
  }

  async close(timeoutMs: number): Promise<LeftUndone> {
    const elapsed = () => elapsedBy(this.#clock);
    const until = elapsed() + timeoutMs;
    const undelivered = (await this.#leases?.close(timeoutMs)) ?? [];
    const isDone = (await this.#node?.drain(until - elapsed())) ?? true;
    if (this.#node !== undefined) await leave(this.#node, this.#stream.connected, this.#clock, until - elapsed());
    await (this.#node === undefined ? this.#stream.close() : this.#node.close());
    return { unfinishedCommands: !isDone, undelivered };
  }
}

function notJoined(): ContextCacheError {
  return new ContextCacheError('INVARIANT', 'The node of the cluster has not joined yet.');
}

function leasesOf({ machine }: ClusterNode): ClusterLease[] {
  const { leases, sessions, time } = machine;
  const names = new Set([...leases.stored().map(([name]) => name), ...leases.checkpoints.keys()]);
  names.delete(PROTOCOL_LEASE);
  return Array.from(names, (name) => {
    const lease = leases.held(name, time);
    const node = lease && sessions.nodeOf(lease.session);
    return { name, node, leftMs: Math.max(0, (lease?.until ?? 0) - time), checkpoint: leases.checkpointOf(name) };
  });
}

function membersOf({ machine }: ClusterNode): ClusterMember[] {
  const { time, sequence } = machine;
  return Array.from(machine.sessions.live(time, LIVE_MS), ([, { node, version, maxProtocol, at, seen }]) => {
    return { node, version, maxProtocol, silentMs: time - at, lag: sequence - seen };
  });
}

/** A value that is known only when the command is executed would be checked by the schema of each node for itself. */
function checkedLater({ type, namespace }: Request): ContextCacheError {
  const message = `${type} is not possible in namespace ${JSON.stringify(namespace)} of a cluster, because it has a schema`;
  return new ContextCacheError(
    'INVALID_COMMAND',
    `${message}, which must see the value before it is ordered. Use update.`,
  );
}

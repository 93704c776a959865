import type { Request } from '../../core/request.ts';
import type { JsonValue } from '../../core/value.ts';

/** Operations of several namespaces, executed together or not at all: a request for each namespace, in order. */
export interface TransactionCommand {
  readonly type: 'transaction';
  readonly parts: readonly Request[];
}

/** Changes nothing. Brings the stream's time forward, and shows its sender what was ordered before it. */
export interface NoopCommand {
  readonly type: 'noop';
}

/** The first command of a session: the node that sends it, and what it can do. */
export interface HelloCommand {
  readonly type: 'hello';
  /** Name of the node. */
  readonly node: string;
  /** Version of the package. */
  readonly version: string;
  /** Lowest and highest protocol that the node understands. */
  readonly minProtocol: number;
  readonly maxProtocol: number;
  /** An earlier session of this node, which is over: nothing of it that arrives later is applied. */
  readonly predecessor: string | null;
}

/** Takes a lease, keeps it, or with 0 ms returns it. */
export interface LeaseCommand {
  readonly type: 'lease';
  /** Name of the work that the holder does, such as `mirror`. */
  readonly name: string;
  /** Milliseconds of the stream's time for which the sender wants it. */
  readonly forMs: number;
}

/** The position up to which a follower has delivered. Valid from the holder of the follower's lease only. */
export interface CheckpointCommand {
  readonly type: 'checkpoint';
  /** Name of the follower and of its lease. */
  readonly name: string;
  readonly position: number;
}

/** Changes a setting that all nodes share; `null` removes it. */
export interface ConfigCommand {
  readonly type: 'config';
  readonly name: string;
  readonly value: JsonValue;
}

/** Raises the protocol of the cluster for the messages after this one, if all live nodes understand it. Valid from the holder of the lease `protocol` only. */
export interface ProtocolCommand {
  readonly type: 'protocol';
  readonly protocol: number;
}

/** The start of a stream that continues another one: the state that the first message after it is applied to. */
export interface BeginCommand {
  readonly type: 'begin';
  readonly position: number;
  readonly time: number;
  readonly hash: number;
}

/** Ends the session of its sender, which is shut down: nothing of it that arrives later is applied. */
export interface LeaveCommand {
  readonly type: 'leave';
}

/** A command about the cluster itself. */
export type ClusterCommand =
  | NoopCommand
  | HelloCommand
  | LeaseCommand
  | CheckpointCommand
  | ConfigCommand
  | ProtocolCommand
  | BeginCommand
  | LeaveCommand;

/** A command of a message: a data command, a transaction, or a command about the cluster. */
export type Command = Request | TransactionCommand | ClusterCommand;

/** The content of a message. */
export interface Message {
  /** Session of the sender: a run of a node. */
  readonly session: string;
  /** Number of the message within its session, from 1 up. */
  readonly counter: number;
  /** Sequence of the last message that the sender had applied; 0: none. */
  readonly seenSequence: number;
  /** Hash of the sender at that message. */
  readonly seenHash: number;
  readonly commands: readonly Command[];
}

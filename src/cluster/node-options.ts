import type { Clock } from '../core/clock.ts';
import type { ContextCacheError } from '../core/errors.ts';
import type { CommandStream } from './command-stream.ts';
import type { Protocols, StoredMachine } from './machine/machine.ts';
import type { Replica } from './machine/replica.ts';
import type { StreamClock } from './stream-clock.ts';

/** The parts of a node of a cluster. */
export interface NodeOptions {
  readonly stream: CommandStream;
  readonly replica: Replica;
  /** The clock of this machine, for durations and timers. */
  readonly clock: Clock;
  /** The clock of the data, which the node sets. */
  readonly streamClock: StreamClock;
  /** Name of this node among the others. */
  readonly name: string;
  /** Version of the package. */
  readonly version: string;
  /** Returns the id of a new session, unlike any other. */
  readonly newSession: () => string;
  readonly maxQueued: number;
  readonly writeTimeoutMs: number;
  /** Called once when the node leaves service for good. */
  readonly onFailed: (error: ContextCacheError) => void;
  /** Called when the node can apply no messages at present. It goes on by itself. */
  readonly onStalled: (error: ContextCacheError) => void;
  /** The protocols that this node understands. Default: those of this version. */
  readonly protocols?: Protocols | undefined;
  /** State of the cluster that the replica's data belongs to. Default: the start of the stream. */
  readonly stored?: StoredMachine | undefined;
  /** An earlier session of this node, which is over. */
  readonly predecessor?: string | undefined;
  /** Runs something in the next turn. Default: `setImmediate`. */
  readonly schedule?: ((run: () => void) => void) | undefined;
}

import type { TransactionResult } from '../../core/command.ts';
import type { Request } from '../../core/request.ts';

/**
 * The data of a node, which changes by the commands of the stream alone. Its answers depend on its
 * state and the command alone, so that all nodes answer the same.
 *
 * If it cannot execute a command because of this machine or this process, it throws, and has changed nothing: `LOG_UNAVAILABLE` or
 * `OVERLOADED` if trying again may help, any other error if not. A command that is refused by the rules does not throw.
 */
export interface Replica {
  /** Position of the last update. */
  readonly position: number;
  /** The next instant at which something expires; `Infinity` if nothing will. */
  readonly nextExpiryAt: number;
  /** Runs the changes of one message, in this turn. After a crash either all of them are on the disk of this node or none. */
  together(run: () => void): void;
  /** Removes everything that has expired at `now`, by (deadline, name). Called again after an error, it goes on. */
  expire(now: number): void;
  /** Executes a request and settles it in this turn. */
  execute(request: Request): void;
  /** Executes a transaction in this turn. Returns its result, or the error with which the rules refuse it. */
  transact(parts: readonly Request[]): TransactionResult | Error;
}

import type { TransactionResult } from '../../core/command.ts';
import { ContextCacheError, type ErrorCode, toError } from '../../core/errors.ts';
import { repeatedTransaction } from '../../core/operations.ts';
import { Request } from '../../core/request.ts';
import type { Engine } from '../../engine/engine.ts';
import { executeTogether } from '../../engine/transactions.ts';
import type { Replica } from '../machine/replica.ts';

/** The parts of an engine that a replica uses. */
export type ReplicaParts = Pick<Engine, 'supervisor' | 'registry' | 'conflicts' | 'log'>;

/**
 * Codes of the errors with which the rules refuse a command: they follow from the state and the command alone. Any other
 * error comes from this machine or this process, and would be a refusal on this node alone.
 */
const BY_RULE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'VERSION_CONFLICT',
  'OPERATION_REUSED',
  'INVALID_VALUE',
  'INVALID_COMMAND',
]);

const NOT_NAMED = { agent: null, meta: undefined, operationId: undefined };

/** The data of a node in an engine. The engine executes the stream's commands, and nothing else changes it. */
export class EngineReplica implements Replica {
  readonly #parts: ReplicaParts;

  constructor(parts: ReplicaParts) {
    this.#parts = parts;
  }

  get position(): number {
    return this.#parts.log.head;
  }

  get nextExpiryAt(): number {
    return this.#parts.supervisor.nextExpiryAt;
  }

  together(run: () => void): void {
    this.#parts.log.together(run);
  }

  expire(now: number): void {
    const { supervisor } = this.#parts;
    for (let name = supervisor.nextDue(now); name !== undefined; name = supervisor.nextDue(now)) this.#probe(name, now);
  }

  execute(request: Request): void {
    this.#parts.supervisor.dispatch(request);
    const { error, result } = request;
    if (result !== undefined) return;
    if (error === undefined) throw unsettled(request.namespace);
    if (!isByRule(error)) throw error;
  }

  transact(parts: readonly Request[]): TransactionResult | Error {
    try {
      const known = repeatedTransaction(this.#parts.log.operations, parts);
      if (known !== undefined) return known;
      // Brings the namespaces into memory.
      for (const { namespace, at } of parts) if (this.#parts.registry.has(namespace)) this.#probe(namespace, at);
      return executeTogether(this.#parts, parts);
    } catch (thrown) {
      const error = toError(thrown);
      if (isByRule(error)) return error;
      throw error;
    }
  }

  /** Removes what has expired in a namespace, with a batch of nothing. */
  #probe(namespace: string, at: number): void {
    this.execute(Request.ofWhole('context.batch', namespace, at, NOT_NAMED, []));
  }
}

function isByRule(error: Error): boolean {
  return error instanceof ContextCacheError && BY_RULE.has(error.code);
}

function unsettled(namespace: string): ContextCacheError {
  const message = `Namespace ${JSON.stringify(namespace)} has crashed, so this node cannot apply what the others apply.`;
  return new ContextCacheError('NAMESPACE_UNAVAILABLE', message);
}

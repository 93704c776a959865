import { randomUUID } from 'node:crypto';
import type { Acknowledgement, TransactionOperation, TransactionResult } from '../core/command.ts';
import { VersionConflictError } from '../core/conflict.ts';
import { decide } from '../core/decide.ts';
import { ContextCacheError } from '../core/errors.ts';
import { NamespaceState } from '../core/namespace-state.ts';
import { repeatedTransaction } from '../core/operations.ts';
import type { OriginOptions } from '../core/origin.ts';
import type { Request } from '../core/request.ts';
import type { Engine } from './engine.ts';

/** The parts of a cache that a transaction uses. */
export type TransactionDeps = Pick<
  Engine,
  'activity' | 'admission' | 'door' | 'conflicts' | 'log' | 'primary' | 'registry' | 'supervisor' | 'sequencer'
> & {
  /** Executes the request of one namespace. */
  readonly send: (request: Request) => Promise<Acknowledgement>;
};

/**
 * Executes operations of several namespaces, all or none of them, in one turn: nothing else is executed between them, and no
 * reader sees a part. First everything that may refuse is asked: each namespace decides its part, and the log says whether it
 * accepts updates. Then each namespace executes its part as it does a batch, and the log takes all parts as one.
 *
 * All updates have one operation id: the writer's, or one of its own. So readers of the log know what belongs together,
 * followers receive it together, and a repetition is recognized.
 */
export async function executeTransaction(
  deps: TransactionDeps,
  operations: readonly TransactionOperation[],
  origin: OriginOptions,
): Promise<TransactionResult> {
  const { admission, door } = deps;
  const named = { ...origin, operationId: origin.operationId ?? randomUUID() };
  return executeParts(deps, admission.transaction(door.now(), operations, named));
}

/** Executes the parts of a transaction, which have an operation id. See {@link executeTransaction}. */
export async function executeParts(deps: TransactionDeps, parts: readonly Request[]): Promise<TransactionResult> {
  const { log, primary, sequencer } = deps;
  if (sequencer !== undefined) return parts.length === 0 ? resultOf(log.head, parts) : sequencer.transact(parts);
  const known = repeatedTransaction(log.operations, parts);
  if (known !== undefined) return known;
  const [only] = parts;
  if (only !== undefined && parts.length === 1) {
    // A namespace executes its operations as one anyway, also if it waits for a primary.
    const { changed, position } = await deps.send(only);
    return resultOf(changed ? position : log.head, parts);
  }
  if (primary !== undefined) {
    const message =
      'A transaction over several namespaces needs the values in the cache; here a primary of your own keeps them.';
    throw new ContextCacheError('INVALID_COMMAND', `${message} Write each namespace with a batch.`);
  }
  // A caller in the middle of another command waits for its end, so that its own commands are executed at once.
  for (const { namespace, at } of parts) while (!settles(deps, namespace, at)) await undefined;
  const result = executeTogether(deps, parts);
  for (const part of parts) deps.activity.wrote(part);
  return result;
}

/**
 * Executes the parts of a transaction in this turn, all or none of them. What has expired in their namespaces was removed
 * before.
 *
 * @throws the error with which a namespace or the log refuses a part. Nothing has changed then.
 */
export function executeTogether(
  deps: Pick<TransactionDeps, 'registry' | 'conflicts' | 'log' | 'supervisor'>,
  parts: readonly Request[],
): TransactionResult {
  for (const part of parts) tryOut(deps, part);
  deps.log.together(() => {
    for (const part of parts) deps.supervisor.dispatch(part);
  });
  const failed = parts.find(({ result }) => result === undefined);
  if (failed !== undefined) throw failed.error ?? unfinished(failed.namespace);
  return resultOf(deps.log.head, parts);
}

/**
 * Removes what has expired in a namespace, with a batch of nothing. Returns whether that was executed at once.
 *
 * @throws {ContextCacheError} `NAMESPACE_UNAVAILABLE`, and the errors of bringing the namespace into memory.
 */
function settles({ registry, supervisor, admission }: TransactionDeps, namespace: string, at: number): boolean {
  const record = registry.find(namespace);
  if (record === undefined) return true;
  if (record.status !== 'resident') throw unavailable(namespace);
  const probe = admission.batch(at, namespace, [], undefined);
  supervisor.dispatch(probe);
  if (probe.error !== undefined) throw probe.error;
  return probe.settled;
}

/** @throws the error with which a namespace would refuse its part. */
function tryOut(
  { registry, conflicts, log }: Pick<TransactionDeps, 'registry' | 'conflicts' | 'log'>,
  part: Request,
): void {
  try {
    decide(registry.find(part.namespace)?.state ?? new NamespaceState(part.namespace), part, log.floor);
  } catch (error) {
    if (error instanceof VersionConflictError) conflicts.add(part, error);
    throw error;
  }
}

function resultOf(position: number, parts: readonly Request[]): TransactionResult {
  const changed = parts.filter(({ result }) => result?.changed);
  const namespaces = changed.map(({ namespace, result }) => ({ namespace, version: result?.version ?? 0 }));
  return { position, changed: changed.length > 0, namespaces };
}

function unavailable(namespace: string): ContextCacheError {
  const message = `Namespace ${JSON.stringify(namespace)} has crashed and takes no commands until it is restarted; nothing has changed. Try again.`;
  return new ContextCacheError('NAMESPACE_UNAVAILABLE', message);
}

function unfinished(namespace: string): ContextCacheError {
  const message = `Namespace ${JSON.stringify(namespace)} did not finish its part of a transaction. Read the entries before you retry.`;
  return new ContextCacheError('NAMESPACE_UNAVAILABLE', message);
}

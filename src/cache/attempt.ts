import { parseCommand } from '../core/admission.ts';
import type { Acknowledgement, DataCommand } from '../core/command.ts';
import { KeyPending } from '../core/sealed.ts';
import { INTERNALS, type Internals } from '../engine/internals.ts';

/** A cache, by its parts. */
interface WithInternals {
  readonly [INTERNALS]: Internals;
}

/**
 * Executes a data command that was just parsed from text. Does the same as `ask`, but returns the result itself if the
 * command ends in this turn; the result is durable after {@link whenDurable}. The command's value may become the stored
 * value.
 *
 * @throws {ContextCacheError} if the command is refused in this turn.
 */
export function attempt(cache: WithInternals, command: DataCommand): Acknowledgement | Promise<Acknowledgement> {
  const { writer, parts, restricted } = cache[INTERNALS];
  parseCommand(command);
  try {
    const admitted = restricted === undefined ? command : restricted.admit(command);
    const answer = writer.attempt(parts.admission.ofParsed(parts.door.now(), admitted));
    if (restricted === undefined || !(answer instanceof Promise)) return answer;
    return answer.catch((error: unknown) => concealed(restricted, error));
  } catch (error) {
    // The grants may have changed by the time the key has arrived, so the command is judged again.
    if (error instanceof KeyPending) return error.ready.then(() => attempt(cache, command));
    return concealed(restricted, error);
  }
}

/** Throws an error without what the agent of the cache may not see. */
function concealed(restricted: Internals['restricted'], error: unknown): never {
  throw restricted === undefined ? error : restricted.concealed(error);
}

/**
 * Resolves when a result with this position is durable. Returns `undefined` if it is, or if the cache does not wait for
 * its log. Results of the same commit get the same promise.
 */
export function whenDurable(cache: WithInternals, position: number): Promise<void> | undefined {
  return cache[INTERNALS].writer.whenDurable(position);
}

/**
 * Returns whether it is known if the write with an operation id was applied since a position: it is remembered, or every
 * operation since then is.
 */
export function knowsOperation(cache: WithInternals, id: string, since: number): boolean {
  const { log, clock } = cache[INTERNALS].parts;
  return log.operations.forgotten <= since || log.operations.find(id, clock.now()) !== undefined;
}

import { parseCommand } from '../core/admission.ts';
import type { Acknowledgement, DataCommand } from '../core/command.ts';
import { INTERNALS } from '../engine/internals.ts';
import type { AgentContextCache } from './agent-context-cache.ts';

/**
 * Executes a data command as `ask` does, without a promise if it ends in this turn. The result is durable after
 * {@link whenDurable}.
 *
 * @throws {ContextCacheError} if the command is refused in this turn.
 */
export function attempt(cache: AgentContextCache, command: DataCommand): Acknowledgement | Promise<Acknowledgement> {
  const { writer, parts } = cache[INTERNALS];
  parseCommand(command);
  return writer.attempt(parts.admission.request(parts.clock.now(), command));
}

/**
 * Resolves when a result with this position is durable. Returns `undefined` if it is, or if the cache does not wait for
 * its log. Results of the same commit get the same promise.
 */
export function whenDurable(cache: AgentContextCache, position: number): Promise<void> | undefined {
  return cache[INTERNALS].writer.whenDurable(position);
}

import { admitBasis, type Basis } from './basis.ts';
import { invalidCommand } from './invalid-command.ts';
import { admitMeta, type Meta } from './meta.ts';
import { refuseReserved } from './retraction.ts';

/** Options of every write that say who writes and why. */
export interface OriginOptions {
  /** Agent that writes, 1 to 1,024 characters. Default: none. */
  readonly agent?: string | undefined;
  /**
   * An object that update, entry and history keep beside the value: JSON, at most 1,024 bytes as text. Default: none. An
   * update of the entry replaces it.
   */
  readonly meta?: Meta | undefined;
  /**
   * Identifies the write, 1 to 128 characters: a repetition answers as the first time and writes nothing, also after a
   * restart. The last 10,000 operations of a cache are remembered, for 24 hours. Only what was applied is: a write that was
   * refused, or that changed nothing, is decided again. Another write with the id is refused with `OPERATION_REUSED`.
   * Default: none.
   */
  readonly operationId?: string | undefined;
  /**
   * What the writer had read: entries, by namespace, key and version. Kept in the update, and followed by `provenance` and
   * `impact`. At most 256 readings. `[]` says that it had read nothing; default: it is not known.
   */
  readonly basis?: Basis | undefined;
}

/** Who writes and why, after the checks. */
export interface Origin {
  /** `null`: none was named. */
  readonly agent: string | null;
  readonly meta: Meta | undefined;
  readonly operationId: string | undefined;
  readonly basis?: Basis | undefined;
}

/** Most characters in the name of an agent. */
export const LONGEST_AGENT = 1024;
const LONGEST_OPERATION_ID = 128;

/** The origin of a write without options. */
const UNNAMED: Origin = Object.freeze({ agent: null, meta: undefined, operationId: undefined, basis: undefined });

/**
 * Returns the origin that options name.
 *
 * @throws {ContextCacheError} `INVALID_COMMAND`.
 */
export function originOf(options: OriginOptions | undefined): Origin {
  if (options === undefined) return UNNAMED;
  const { agent, meta, operationId, basis } = options;
  return {
    agent: agentOf(agent),
    meta: meta === undefined ? undefined : refuseReserved(admitMeta(meta)),
    operationId: operationId === undefined ? undefined : operationIdOf(operationId),
    basis: basis === undefined ? undefined : admitBasis(basis),
  };
}

function agentOf(agent: unknown): string | null {
  if (agent === undefined || agent === null) return null;
  if (isAgent(agent)) return agent;
  throw invalidCommand('agent must be a well-formed string of 1 to 1,024 characters');
}

/** Returns whether a value is a valid name of an agent. */
export function isAgent(candidate: unknown): candidate is string {
  return isText(candidate, LONGEST_AGENT);
}

function operationIdOf(operationId: unknown): string {
  if (isOperationId(operationId)) return operationId;
  throw invalidCommand('operationId must be a well-formed string of 1 to 128 characters');
}

/** Returns whether a value is a valid operation id. */
export function isOperationId(candidate: unknown): candidate is string {
  return isText(candidate, LONGEST_OPERATION_ID);
}

function isText(candidate: unknown, longest: number): candidate is string {
  return (
    typeof candidate === 'string' && candidate.length > 0 && candidate.length <= longest && candidate.isWellFormed()
  );
}

import { ANY_VERSION } from './conditions.ts';
import { ContextCacheError } from './errors.ts';
import type { Entry } from './namespace-state.ts';

/** A write whose condition did not hold. Nothing has changed. */
export class VersionConflictError extends ContextCacheError {
  readonly namespace: string;
  readonly key: string;
  /** Version that the writer expected; 0: no entry; -2: an entry of any version. */
  readonly expected: number;
  /** The present entry; `undefined` if the key is missing. */
  readonly current: Entry | undefined;

  constructor(namespace: string, key: string, expected: number, current: Entry | undefined) {
    const found = current === undefined ? 'there is none' : `it has version ${current.version}`;
    const version = expected === ANY_VERSION ? 'an entry' : `version ${expected} of the entry`;
    const wanted = expected === 0 ? 'no entry' : version;
    super('VERSION_CONFLICT', `The write expected ${wanted}, but ${found}. Read it again, then decide.`);
    this.name = 'VersionConflictError';
    this.namespace = namespace;
    this.key = key;
    this.expected = expected;
    this.current = current;
  }
}

/** Returns the conflict for an agent that may not read the entry: without the entry, its version, or whether it exists. */
export function concealedConflict({ namespace, key, expected }: VersionConflictError): VersionConflictError {
  const message =
    'The condition of the write does not hold. The present entry is not shown: the agent may not read it.';
  return Object.assign(new VersionConflictError(namespace, key, expected, undefined), { message });
}

/** A key that both sides of a merge changed to different entries. `undefined`: the key is missing. */
export interface MergeConflict {
  readonly namespace: string;
  readonly key: string;
  /** The entry at the fork, or at the last merge. */
  readonly base: Entry | undefined;
  /** The present entry of the target cache. */
  readonly ours: Entry | undefined;
  /** The present entry of the branch. */
  readonly theirs: Entry | undefined;
}

/** A merge that was refused because of conflicts. Nothing has changed. */
export class MergeConflictError extends ContextCacheError {
  readonly conflicts: readonly MergeConflict[];

  constructor(conflicts: readonly MergeConflict[]) {
    const keys = conflicts.length === 1 ? 'One key was' : `${conflicts.length} keys were`;
    super(
      'MERGE_CONFLICT',
      `${keys} changed on both sides (see conflicts); nothing was merged. Set onConflict to resolve them.`,
    );
    this.name = 'MergeConflictError';
    this.conflicts = conflicts;
  }
}

import { ContextCacheError } from './errors.ts';
import type { Entry } from './namespace-state.ts';

/** A write whose `ifVersion` did not hold. Nothing has changed. */
export class VersionConflictError extends ContextCacheError {
  readonly namespace: string;
  readonly key: string;
  /** What the writer took the entry's version to be; 0: absent. */
  readonly expected: number;
  /** The entry as it is; `undefined` where there is none. */
  readonly current: Entry | undefined;

  constructor(namespace: string, key: string, expected: number, current: Entry | undefined) {
    const found = current === undefined ? 'there is none' : `it has version ${current.version}`;
    const wanted = expected === 0 ? 'no entry' : `version ${expected} of the entry`;
    super('VERSION_CONFLICT', `The write expected ${wanted}, but ${found}. Read it again and decide anew.`);
    this.name = 'VersionConflictError';
    this.namespace = namespace;
    this.key = key;
    this.expected = expected;
    this.current = current;
  }
}

/** A key that was changed on both sides of a merge, and not to the same. `undefined`: there is no entry. */
export interface MergeConflict {
  readonly namespace: string;
  readonly key: string;
  /** As the branch began with it, or as it was when the branch was merged last. */
  readonly base: Entry | undefined;
  /** As it is in the cache that is merged into. */
  readonly ours: Entry | undefined;
  /** As it is in the branch. */
  readonly theirs: Entry | undefined;
}

/** A merge with conflicts that were not to be resolved. Nothing has changed. */
export class MergeConflictError extends ContextCacheError {
  readonly conflicts: readonly MergeConflict[];

  constructor(conflicts: readonly MergeConflict[]) {
    const keys = conflicts.length === 1 ? 'One key was' : `${conflicts.length} keys were`;
    super('MERGE_CONFLICT', `${keys} changed on both sides (see conflicts); nothing was merged. Give onConflict.`);
    this.name = 'MergeConflictError';
    this.conflicts = conflicts;
  }
}

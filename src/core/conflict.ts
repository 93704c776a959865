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

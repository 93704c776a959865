import { ContextCacheError } from './errors.ts';
import { checkName } from './names.ts';
import { joinNamespace, type NamespaceName, type NamespaceParts, nameOf } from './namespace-parts.ts';
import { optionNames } from './options.ts';
import type { Update } from './update.ts';

/** Which changes are asked for. */
export interface ChangesOptions {
  /** The changes after this position. 0: all. */
  readonly since: number;
  /** Only those of this namespace, given by name or in parts. Excludes `prefix`. Default: of all. */
  readonly namespace?: NamespaceName | undefined;
  /** Only those of namespaces whose name starts with this text, or that start with these parts. Default: of all. */
  readonly prefix?: string | NamespaceParts | undefined;
  /** Most changes to return, from 1 to 10,000. Default 1,000. */
  readonly limit?: number | undefined;
}

/** A page of changes. */
export interface Changes<Changed = Update> {
  /**
   * The last update of each key that has changed, in order of position. A key that exists is a `set` with its present
   * value, also if its last update was a `touch`. A clear of a namespace stands for all keys that were gone with it.
   */
  readonly changes: readonly Changed[];
  /** The `since` of the next call. */
  readonly next: number;
  /** `true` if there are more changes now. */
  readonly more: boolean;
}

/** Options with which changes are read, as plain data. */
export interface PlainChanges {
  readonly since: number;
  readonly namespace?: string;
  readonly prefix?: string;
  readonly limit: number;
}

const OPTIONS = optionNames<ChangesOptions>('changes', { since: true, namespace: true, prefix: true, limit: true });

export const HANDLE_CHANGES_OPTIONS = optionNames<Pick<ChangesOptions, 'since' | 'limit'>>(
  'changes of a namespace',
  { since: true, limit: true },
  { elsewhere: () => [OPTIONS] },
);

const DEFAULT_LIMIT = 1_000;
const MAX_LIMIT = 10_000;

/**
 * Checks the options of `changes`, and returns them with parts joined.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`.
 */
export function plainChanges(options: ChangesOptions): PlainChanges {
  if (options === undefined) throw invalid('changes needs since: the position after which changes are asked for');
  OPTIONS.check(options);
  const { since, namespace, prefix, limit = DEFAULT_LIMIT } = options;
  if (!Number.isSafeInteger(since) || since < 0)
    throw invalid('changes needs since: a position of the log, an integer from 0 up');
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > MAX_LIMIT)
    throw invalid(`changes: limit must be an integer from 1 to ${MAX_LIMIT}`);
  if (namespace !== undefined && prefix !== undefined) throw invalid('changes: give namespace or prefix, not both');
  if (namespace !== undefined) {
    const name = nameOf(namespace);
    checkName('namespace', name);
    return { since, namespace: name, limit };
  }
  if (prefix === undefined) return { since, limit };
  const joined: unknown = Array.isArray(prefix) ? joinNamespace(prefix) : prefix;
  if (typeof joined !== 'string' || !joined.isWellFormed())
    throw invalid('changes: prefix must be a string of well-formed Unicode');
  return { since, prefix: joined, limit };
}

function invalid(problem: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', `${problem}.`);
}

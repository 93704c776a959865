import { ContextCacheError } from './errors.ts';
import { checkName } from './names.ts';
import { type NamespaceName, nameOf } from './namespace-parts.ts';
import { optionNames } from './options.ts';
import { limitOf, type TracedWrite } from './trace.ts';

/** Two writes of a key by different agents, of which the later did not know of the earlier and says something else. */
export interface Contradiction {
  readonly namespace: string;
  readonly key: string;
  readonly earlier: Omit<TracedWrite, 'depth'>;
  readonly later: Omit<TracedWrite, 'depth'>;
}

/** A page of contradictions. */
export interface Contradictions {
  /** In order of the position of the later write. */
  readonly contradictions: readonly Contradiction[];
  /** The `since` of the next call. */
  readonly next: number;
  /** `true` if there may be more now. */
  readonly more: boolean;
}

/** Which contradictions are asked for. */
export interface ContradictionsOptions {
  /** Only those of this namespace, given by name or in parts. Default: of all. */
  readonly namespace?: NamespaceName | undefined;
  /** Only those whose later write has a position after this one. Default 0: all that the log knows. */
  readonly since?: number | undefined;
  /** Most to return, from 1 to 100,000. Default 10,000. */
  readonly limit?: number | undefined;
}

const OPTIONS = optionNames<ContradictionsOptions>('contradictions', { namespace: true, since: true, limit: true });

/** The options of `contradictions` as plain data. */
export interface PlainContradictions {
  readonly namespace?: string | undefined;
  readonly since: number;
  readonly limit: number;
}

/**
 * Checks the options of `contradictions`, and returns them with parts joined.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`.
 */
export function plainContradictions(options: ContradictionsOptions = {}): PlainContradictions {
  OPTIONS.check(options);
  const { namespace, since = 0 } = options;
  const name = namespace === undefined ? undefined : nameOf(namespace);
  if (name !== undefined) checkName('namespace', name);
  if (!Number.isSafeInteger(since) || since < 0)
    throw new ContextCacheError('INVALID_OPTION', 'contradictions: since must be a position, an integer from 0 up.');
  return { namespace: name, since, limit: limitOf('contradictions', options.limit) };
}

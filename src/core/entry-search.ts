import { ContextCacheError } from './errors.ts';
import { checkName } from './names.ts';
import { joinNamespace, type NamespaceName, type NamespaceParts, nameOf } from './namespace-parts.ts';
import type { Entry } from './namespace-state.ts';
import { optionNames } from './options.ts';
import { testOf, type Where } from './where.ts';

/** The name of an entry, from which a search continues. */
export interface EntryName {
  readonly namespace: string;
  readonly key: string;
}

/**
 * Which entries are searched for. A server tests the values itself and sends only what it finds. A search takes several turns: each
 * namespace is shown as it is when it is reached. A value with subjects is tested as readers see it.
 *
 * @example
 * ```ts
 * const options: SearchOptions = { prefix: ['hotels'], where: { '/stars': { gte: 4 } }, limit: 20 };
 * let { entries, next } = await cache.search(options);
 * while (next !== undefined) ({ entries, next } = await cache.search({ ...options, after: next }));
 * ```
 */
export interface SearchOptions {
  /** Filter of values, as plain data. Default: any value. */
  readonly where?: Where | undefined;
  /** Only entries of this namespace, given by name or in parts. Excludes `prefix`. Default: of all. */
  readonly namespace?: NamespaceName | undefined;
  /** Only entries of namespaces whose name starts with this text, or that start with these parts. Default: of all. */
  readonly prefix?: string | NamespaceParts | undefined;
  /** Only entries that follow this one in order of namespace and key: the `next` of the previous page. Default: from the first. */
  readonly after?: EntryName | undefined;
  /** Most entries to return, from 1 to 10,000. A page also ends after 4 MiB of values. Default 100. */
  readonly limit?: number | undefined;
}

/** A page of entries that were found. */
export interface Found<Value = Entry['value']> {
  /** In order of the code points of namespace and key. */
  readonly entries: readonly Entry<Value>[];
  /** The `after` of the next call; `undefined` if there are no more. The page after a full one may be empty. */
  readonly next: EntryName | undefined;
}

/** What a search may find: what is not allowed counts for nothing, as if it were not there. */
export interface Allowed {
  /** Returns whether there may be an allowed key in a namespace. */
  maySome(namespace: string): boolean;
  may(namespace: string, key: string): boolean;
}

/** The options of a search as plain data. */
export interface PlainSearch {
  readonly where?: Where;
  readonly namespace?: string;
  readonly prefix?: string;
  readonly after?: EntryName;
  readonly limit: number;
}

const OPTIONS = optionNames<SearchOptions>('search', {
  ...{ where: true, namespace: true, prefix: true, limit: true },
  after: true,
});

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 10_000;

/**
 * Checks the options of `search`, and returns them with parts joined.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`.
 */
export function plainSearch(options: SearchOptions = {}): PlainSearch {
  OPTIONS.check(options);
  const { where, namespace, prefix, after, limit = DEFAULT_LIMIT } = options;
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > MAX_LIMIT)
    throw invalid(`limit must be an integer from 1 to ${MAX_LIMIT}`);
  testOf(where);
  const rest = { ...(where !== undefined && { where }), ...afterOf(after), limit };
  if (namespace !== undefined && prefix !== undefined) throw invalid('give namespace or prefix, not both');
  if (namespace !== undefined) {
    const name = nameOf(namespace);
    checkName('namespace', name);
    return { ...rest, namespace: name };
  }
  if (prefix === undefined) return rest;
  const joined: unknown = Array.isArray(prefix) ? joinNamespace(prefix) : prefix;
  if (typeof joined !== 'string' || !joined.isWellFormed())
    throw invalid('prefix must be a string of well-formed Unicode');
  return { ...rest, prefix: joined };
}

function afterOf(after: EntryName | undefined): { readonly after?: EntryName } {
  if (after === undefined) return {};
  const { namespace, key } = typeof after === 'object' && after !== null ? after : ({} as Partial<EntryName>);
  const isText = (text: unknown): text is string => typeof text === 'string' && text.isWellFormed();
  if (!isText(namespace) || !isText(key)) throw invalid('after must be the next of a page: { namespace, key }');
  return { after: { namespace, key } };
}

function invalid(problem: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', `search: ${problem}.`);
}

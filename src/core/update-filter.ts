import { narrowed } from './cleared-keys.ts';
import { ContextCacheError } from './errors.ts';
import { checkName } from './names.ts';
import { joinNamespace, type NamespaceParts } from './namespace-parts.ts';
import type { NamesOf } from './options.ts';
import type { Update } from './update.ts';

/** Returns what a reader may see of an update; `undefined`: nothing. Asked before the update is opened, which may fail. */
export type See = <Seen extends Update>(update: Seen) => Seen | undefined;

/** Selects updates by namespace and key. */
export interface WatchFilter {
  /** One namespace, or several. Excludes `namespacePrefix`. Default: all. */
  readonly namespace?: string | readonly string[] | undefined;
  /** Namespaces whose name starts with this text, or that start with these parts. Default: all. */
  readonly namespacePrefix?: string | NamespaceParts | undefined;
  /**
   * Keys. Updates that clear a namespace are always included, and a `clear` names only those of its keys that are selected.
   * Excludes `keyPrefix`. Default: all keys.
   */
  readonly keys?: readonly string[] | undefined;
  /** Keys that start with this text; otherwise as `keys`. Default: all keys. */
  readonly keyPrefix?: string | undefined;
}

/** Names of {@link WatchFilter}. */
export const FILTER_NAMES = {
  namespace: true,
  namespacePrefix: true,
  keys: true,
  keyPrefix: true,
} as const satisfies NamesOf<WatchFilter>;

/** A filter with its conditions as plain data. */
export interface PlainFilter {
  readonly namespace?: string | readonly string[] | undefined;
  readonly namespacePrefix?: string | undefined;
  readonly keys?: readonly string[] | undefined;
  readonly keyPrefix?: string | undefined;
}

/**
 * Checks a filter, and returns its conditions with a prefix in parts joined.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`.
 */
export function plainFilter({ namespace, namespacePrefix, keys, keyPrefix }: WatchFilter): PlainFilter {
  if (keys !== undefined && !Array.isArray(keys)) throw invalid('keys must be an array of keys');
  for (const name of [namespace ?? []].flat()) checkName('namespace', name);
  for (const key of keys ?? []) checkName('key', key);
  if (namespace !== undefined && namespacePrefix !== undefined)
    throw invalid('Give namespace or namespacePrefix, not both');
  if (keys !== undefined && keyPrefix !== undefined) throw invalid('Give keys or keyPrefix, not both');
  const joined = Array.isArray(namespacePrefix) ? joinNamespace(namespacePrefix) : namespacePrefix;
  for (const [name, prefix] of Object.entries({ namespacePrefix: joined, keyPrefix })) {
    if (prefix !== undefined && (typeof prefix !== 'string' || !prefix.isWellFormed()))
      throw invalid(`${name} must be a string of well-formed Unicode`);
  }
  return { namespace, namespacePrefix: joined as string | undefined, keys, keyPrefix };
}

/** The conditions of a filter as tests. */
export class UpdateFilter {
  readonly plain: PlainFilter;
  readonly #namespaces: ReadonlySet<string> | undefined;
  readonly #keys: ReadonlySet<string> | undefined;

  /** @throws {ContextCacheError} the errors of {@link plainFilter}. */
  constructor(filter: WatchFilter) {
    this.plain = plainFilter(filter);
    const { namespace, keys } = this.plain;
    this.#namespaces = namespace === undefined ? undefined : new Set([namespace].flat());
    this.#keys = keys === undefined ? undefined : new Set(keys);
  }

  /** The namespaces, if the filter names them. */
  get namespaces(): ReadonlySet<string> | undefined {
    return this.#namespaces;
  }

  hasNamespace(name: string): boolean {
    const { namespacePrefix } = this.plain;
    if (this.#namespaces !== undefined) return this.#namespaces.has(name);
    return namespacePrefix === undefined || name.startsWith(namespacePrefix);
  }

  hasKey(key: string): boolean {
    const { keyPrefix } = this.plain;
    if (this.#keys !== undefined) return this.#keys.has(key);
    return keyPrefix === undefined || key.startsWith(keyPrefix);
  }

  /**
   * Returns the update if it is selected, otherwise `undefined`. One that clears its namespace is, unless `keys` is empty.
   * A `clear` is returned with only the keys that are selected.
   */
  of(update: Update): Update | undefined {
    const { namespace, key, operation } = update;
    if (!this.hasNamespace(namespace)) return undefined;
    if (operation === 'clear') return narrowed(update, (each) => this.hasKey(each));
    return (key === null ? this.#keys?.size !== 0 : this.hasKey(key)) ? update : undefined;
  }
}

function invalid(problem: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', `${problem}.`);
}

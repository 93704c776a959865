import {
  BaseStore,
  type GetOperation,
  InvalidNamespaceError,
  type Item,
  type ListNamespacesOperation,
  type MatchCondition,
  type Operation,
  type OperationResults,
  type PutOperation,
  type SearchItem,
  type SearchOperation,
  validateNamespace,
} from '@langchain/langgraph-checkpoint';
import { optionNames } from '../core/options.ts';
import {
  ContextCacheError,
  type ContextStore,
  compareNames,
  type Entry,
  fromJsonValue,
  joinNamespace,
  splitNamespace,
  toJsonValue,
} from '../index.ts';
import type { TransactionOperation } from '../types.ts';

/** How long items live, in the names and units of LangGraph's stores. */
export interface ContextCacheStoreTtl {
  /** Minutes after which an item expires. */
  readonly defaultTtl: number;
  /** An item that is read, by `get` or `search`, lives on for the same time. Costs a write for each item. Default true. */
  readonly refreshOnRead?: boolean | undefined;
}

/** Options of {@link ContextCacheStore}. */
export interface ContextCacheStoreOptions {
  /** The parts below which each namespace of the store has its namespace. Default `['langgraph', 'store']`. */
  readonly namespace?: readonly string[] | undefined;
  /** Expiry of items. Default: they do not expire. */
  readonly ttl?: ContextCacheStoreTtl | undefined;
}

const OPTIONS = optionNames<ContextCacheStoreOptions>('ContextCacheStore', {
  namespace: true,
  ttl: optionNames<ContextCacheStoreTtl>('ttl', { defaultTtl: true, refreshOnRead: true }),
});

/** Namespaces that are read at once: as few as most searches need, and as many as keep a connection busy. */
const PAGE = 128;

type Value = Item['value'];

/**
 * The long-term memory of LangGraph on a cache, or on a client of one. Each namespace of the store is a namespace of the
 * cache, each item a key in it.
 *
 * @example
 * ```ts
 * const graph = builder.compile({ store: new ContextCacheStore(cache) });
 * await store.put(['users', 'ann'], 'food', { likes: 'pancakes' });
 * await store.search(['users'], { filter: { likes: 'pancakes' } });
 * ```
 */
export class ContextCacheStore extends BaseStore {
  readonly #cache: ContextStore;
  readonly #root: readonly string[];
  readonly #ttl: number | undefined;
  readonly #refreshes: boolean;

  /** @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_NAME`. */
  constructor(cache: ContextStore, options: ContextCacheStoreOptions = {}) {
    super();
    const { namespace = ['langgraph', 'store'], ttl } = OPTIONS.checked(options);
    if (typeof cache?.entries !== 'function')
      throw invalid('ContextCacheStore takes a cache, or a client of one, as its first argument.');
    const { defaultTtl, refreshOnRead = true } = ttl ?? {};
    if (ttl !== undefined && !(Number.isFinite(defaultTtl) && (defaultTtl as number) > 0))
      throw invalid('ttl.defaultTtl must be a number of minutes above 0.');
    if (typeof refreshOnRead !== 'boolean') throw invalid('ttl.refreshOnRead must be true or false.');
    joinNamespace(namespace);
    this.#cache = cache;
    this.#root = [...namespace];
    this.#ttl = defaultTtl === undefined ? undefined : Math.max(1, Math.round(defaultTtl * 60_000));
    this.#refreshes = this.#ttl !== undefined && refreshOnRead;
  }

  /** Resolves with the results of the reads, which see nothing of the writes. The writes are done together, all or none. */
  async batch<Op extends Operation[]>(operations: Op): Promise<OperationResults<Op>> {
    const puts = new Map<string, TransactionOperation>();
    const reads = operations.map((operation) => {
      if ('namespacePrefix' in operation) return () => this.#search(operation);
      if (!('namespace' in operation)) return () => this.#namespaces(operation);
      validateNamespace(operation.namespace, { allowReservedRoot: true });
      const namespace = this.#nameOf(operation.namespace);
      if (!('value' in operation)) return () => this.#get(operation, namespace);
      puts.set(JSON.stringify([namespace, operation.key]), this.#put(operation, namespace));
      return () => null;
    });
    const results = await Promise.all(reads.map((read) => read()));
    const writes = [...puts.values()];
    const [first] = writes;
    if (first !== undefined) {
      const isOne = writes.every(({ namespace }) => namespace === first.namespace);
      if (isOne)
        await this.#cache.batch(
          writes.map(({ namespace: _, ...write }) => write),
          first.namespace,
        );
      else await this.#cache.transaction(writes);
    }
    return results as OperationResults<Op>;
  }

  #put({ key, value }: PutOperation, namespace: string): TransactionOperation {
    if (value === null) return { operation: 'delete', namespace, key };
    return { operation: 'set', namespace, key, value: toJsonValue(value), ...(this.#ttl && { ttl: this.#ttl }) };
  }

  async #get({ namespace, key }: GetOperation, name: string): Promise<Item | null> {
    const entry = await this.#cache.entry(key, name);
    if (entry === undefined) return null;
    await this.#refresh(name, [key]);
    return itemOf(namespace, entry);
  }

  async #search({ namespacePrefix, filter, limit = 10, offset = 0, query }: SearchOperation): Promise<SearchItem[]> {
    validateNamespace(namespacePrefix, { allowEmpty: true, allowReservedRoot: true });
    if (query !== undefined)
      throw invalid('ContextCacheStore has no search by meaning. Leave query out, or use a store with an index.');
    const conditions = Object.entries(filter ?? {});
    const wanted = offset + limit;
    const found: { readonly name: string; readonly entry: Entry }[] = [];
    const fits = ({ value }: Entry) =>
      conditions.every(([field, condition]) => matches((value as Value)?.[field], condition));
    for await (const names of this.#pages(namespacePrefix, conditions.length > 0 ? PAGE : Math.min(PAGE, wanted))) {
      // Without a filter, each namespace may give all that is still wanted.
      const reads = names.map((name) =>
        conditions.length > 0 ? this.#fitting(name, fits) : this.#entries(name, wanted - found.length),
      );
      const pages = reads.some((read) => read instanceof Promise) ? await Promise.all(reads) : (reads as Entry[][]);
      for (const [index, entries] of pages.entries())
        for (const entry of entries) found.push({ name: names[index] as string, entry });
      if (found.length >= wanted) break;
    }
    const page = found.slice(offset, wanted);
    const keys = new Map<string, string[]>();
    for (const { name, entry } of page) keys.set(name, [...(keys.get(name) ?? []), entry.key]);
    await Promise.all([...keys].map(([name, each]) => this.#refresh(name, each)));
    return page.map(({ name, entry }) => itemOf(this.#partsOf(name), entry));
  }

  async #namespaces({ matchConditions = [], maxDepth, limit, offset }: ListNamespacesOperation): Promise<string[][]> {
    const found = new Map<string, string[]>();
    const [first] = matchConditions.filter(({ matchType }) => matchType === 'prefix');
    const wildcard = first?.path.indexOf('*') ?? 0;
    const prefix = first?.path.slice(0, wildcard < 0 ? undefined : wildcard) ?? [];
    for await (const names of this.#pages(prefix, PAGE)) {
      for (const name of names) {
        const parts = this.#partsOf(name);
        if (!matchConditions.every((condition) => fits(parts, condition))) continue;
        const cut = parts.slice(0, maxDepth);
        found.set(joinNamespace(cut), cut);
      }
      if (found.size >= (offset ?? 0) + (limit ?? Number.POSITIVE_INFINITY)) break;
    }
    return [...found.values()].slice(offset ?? 0, (offset ?? 0) + (limit ?? found.size));
  }

  /** Yields the names of the namespaces that start with these parts, in order. */
  async *#pages(parts: readonly string[], limit: number): AsyncGenerator<string[]> {
    const prefix = this.#nameOf(parts);
    let after: string | undefined;
    do {
      const names = await this.#cache.listNamespaces({ prefix, limit, ...(after !== undefined && { after }) });
      // The namespace of the root holds no items.
      yield names.filter((name) => name.endsWith('/'));
      after = names.length < limit ? undefined : names.at(-1);
    } while (after !== undefined);
  }

  /** Returns the entries of a namespace that fit, in order of their keys. A cache of this process answers at once. */
  #fitting(name: string, fits: (entry: Entry) => boolean): Entry[] | Promise<Entry[]> {
    const all = this.#cache.entries(name);
    const sorted = (entries: Entry[]) => entries.filter(fits).sort((a, b) => compareNames(a.key, b.key));
    return all instanceof Promise ? all.then(sorted) : sorted(all);
  }

  async #entries(name: string, limit: number): Promise<Entry[]> {
    const entries: Entry[] = [];
    for await (const entry of this.#cache.entries(name, { limit })) entries.push(entry);
    return entries;
  }

  async #refresh(name: string, keys: readonly string[]): Promise<void> {
    if (!this.#refreshes || this.#ttl === undefined) return;
    const touch = { operation: 'touch', ttl: this.#ttl, ifPresent: true, onConflict: 'skip' } as const;
    await this.#cache.batch(
      keys.map((key) => ({ ...touch, key })),
      name,
    );
  }

  #nameOf(parts: readonly string[]): string {
    try {
      return joinNamespace([...this.#root, ...parts]);
    } catch (cause) {
      const error = new InvalidNamespaceError((cause as Error).message);
      error.cause = cause;
      throw error;
    }
  }

  #partsOf(name: string): string[] {
    return (splitNamespace(name) ?? []).slice(this.#root.length);
  }
}

function itemOf(namespace: string[], { key, value, createdAt, updatedAt }: Entry): Item {
  const item = { namespace: [...namespace], key, value: fromJsonValue(value) as Value };
  return { ...item, createdAt: new Date(createdAt), updatedAt: new Date(updatedAt) };
}

const COMPARISONS: { readonly [operator: string]: (value: unknown, wanted: unknown) => boolean } = {
  $eq: (value, wanted) => value === wanted,
  $ne: (value, wanted) => value !== wanted,
  $gt: (value, wanted) => Number(value) > Number(wanted),
  $gte: (value, wanted) => Number(value) >= Number(wanted),
  $lt: (value, wanted) => Number(value) < Number(wanted),
  $lte: (value, wanted) => Number(value) <= Number(wanted),
  $in: (value, wanted) => Array.isArray(wanted) && wanted.includes(value),
  $nin: (value, wanted) => !Array.isArray(wanted) || !wanted.includes(value),
};

/** Returns whether a field has the value that a filter names, or meets each of its comparisons. */
function matches(stored: unknown, condition: unknown): boolean {
  const value = typeof stored === 'object' ? fromJsonValue(stored as never) : stored;
  if (typeof condition !== 'object' || condition === null) return value === condition;
  const comparisons = Object.entries(condition);
  if (!comparisons.every(([operator]) => Object.hasOwn(COMPARISONS, operator))) return false;
  return comparisons.every(([operator, wanted]) => COMPARISONS[operator]?.(value, wanted));
}

function fits(parts: readonly string[], { matchType, path }: MatchCondition): boolean {
  const start = matchType === 'prefix' ? 0 : parts.length - path.length;
  return (
    start >= 0 &&
    path.every((each, index) => parts[start + index] !== undefined && (each === '*' || parts[start + index] === each))
  );
}

function invalid(message: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', message);
}

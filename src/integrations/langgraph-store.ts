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
  type Entry,
  fromJsonValue,
  joinNamespace,
  splitNamespace,
  toJsonValue,
} from '../index.ts';
import type { EntryName, TransactionOperation } from '../types.ts';
import { whereOf } from './langgraph-filter.ts';

/** How long items live, in the names and units of LangGraph's stores. */
export interface ContextCacheStoreTtl {
  /** Minutes after which an item expires. */
  readonly defaultTtl: number;
  /**
   * An item that is read, by `get` or `search`, lives on for the same time. Costs a write for each item. An agent that may read an
   * item but not write it leaves its expiry as it is. Default true.
   */
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

/** Most namespaces, or entries, of one answer of the cache. */
const PAGE = 1_000;

type Value = Item['value'];
/** Keys of the items that were read, by namespace. */
type Seen = Map<string, Set<string>>;

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
    const seen: Seen = new Map();
    const reads = operations.map((operation) => {
      if ('namespacePrefix' in operation) return () => this.#search(operation, seen);
      if (!('namespace' in operation)) return () => this.#namespaces(operation);
      validateNamespace(operation.namespace, { allowReservedRoot: true });
      const namespace = this.#nameOf(operation.namespace);
      if (!('value' in operation)) return () => this.#get(operation, namespace, seen);
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
    // Last, so that a call that is refused has refreshed nothing.
    if (this.#refreshes) await Promise.all([...seen].map(([name, keys]) => this.#refresh(name, keys)));
    return results as OperationResults<Op>;
  }

  #put({ key, value }: PutOperation, namespace: string): TransactionOperation {
    if (value === null) return { operation: 'delete', namespace, key };
    return { operation: 'set', namespace, key, value: toJsonValue(value), ...(this.#ttl && { ttl: this.#ttl }) };
  }

  async #get({ namespace, key }: GetOperation, name: string, seen: Seen): Promise<Item | null> {
    const entry = await this.#cache.entry(key, name);
    if (entry === undefined) return null;
    note(seen, name, key);
    return itemOf(namespace, entry);
  }

  async #search(operation: SearchOperation, seen: Seen): Promise<SearchItem[]> {
    const { namespacePrefix, filter, limit = 10, offset = 0, query } = operation;
    validateNamespace(namespacePrefix, { allowEmpty: true, allowReservedRoot: true });
    if (query !== undefined)
      throw invalid('ContextCacheStore has no search by meaning. Leave query out, or use a store with an index.');
    const where = whereOf(filter ?? {});
    const wanted = offset + limit;
    const found: Entry[] = [];
    const prefix = this.#nameOf(namespacePrefix);
    let isDone = where === undefined || !(wanted > 0);
    for (let after: EntryName | undefined; !isDone; isDone = after === undefined || found.length >= wanted) {
      const page = await this.#cache.search({ prefix, where, after, limit: Math.min(wanted - found.length, PAGE) });
      found.push(...page.entries.filter(({ namespace }) => isOfStore(namespace)));
      after = page.next;
    }
    const page = found.slice(offset, wanted);
    for (const { namespace, key } of page) note(seen, namespace, key);
    return page.map((entry) => itemOf(this.#partsOf(entry.namespace), entry));
  }

  async #namespaces({ matchConditions = [], maxDepth, limit, offset }: ListNamespacesOperation): Promise<string[][]> {
    const found = new Map<string, string[]>();
    const [first] = matchConditions.filter(({ matchType }) => matchType === 'prefix');
    const wildcard = first?.path.indexOf('*') ?? 0;
    const prefix = first?.path.slice(0, wildcard < 0 ? undefined : wildcard) ?? [];
    for await (const names of this.#pages(prefix)) {
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
  async *#pages(parts: readonly string[]): AsyncGenerator<string[]> {
    const prefix = this.#nameOf(parts);
    let after: string | undefined;
    do {
      const names = await this.#cache.listNamespaces({ prefix, limit: PAGE, ...(after !== undefined && { after }) });
      yield names.filter(isOfStore);
      after = names.length < PAGE ? undefined : names.at(-1);
    } while (after !== undefined);
  }

  async #refresh(name: string, keys: ReadonlySet<string>): Promise<void> {
    const touch = { operation: 'touch', ttl: this.#ttl, ifPresent: true, onConflict: 'skip' } as const;
    try {
      await this.#cache.batch(
        [...keys].map((key) => ({ ...touch, key })),
        name,
      );
    } catch (error) {
      if (!(error instanceof ContextCacheError && error.code === 'ACCESS_DENIED')) throw error;
    }
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

function note(seen: Seen, namespace: string, key: string): void {
  const keys = seen.get(namespace) ?? new Set();
  seen.set(namespace, keys.add(key));
}

/** Returns whether a namespace below the root is one of the store: those have names in parts. */
function isOfStore(name: string): boolean {
  return name.endsWith('/');
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

import type { MaybePromise } from '../backends/base-context-cache.ts';
import type { RemoveOptions, TransactionOperation, TransactionResult, WriteOptions } from '../core/command.ts';
import { VersionConflictError } from '../core/conflict.ts';
import { ContextCacheError } from '../core/errors.ts';
import { DEFAULT_NAMESPACE } from '../core/names.ts';
import { type NamespaceName, nameOf } from '../core/namespace-parts.ts';
import type { Entry } from '../core/namespace-state.ts';
import type {
  AnyNamespaces,
  DefaultNamespace,
  KeyArgument,
  NamespaceArgument,
  NamespaceTypes,
  ValueArgument,
  ValueOf,
} from '../core/namespace-types.ts';
import { readableValue } from '../core/opened.ts';
import type { OriginOptions } from '../core/origin.ts';
import { admit, type JsonValue } from '../core/value.ts';
import { TRANSACT_OPTIONS } from '../core/write-options.ts';

/** Maximum number of attempts of a transaction whose entries other writers keep changing. */
const MAX_TRIES = 1_000;

/** The parts of a cache that `transact` uses. */
export interface TransactParts {
  readonly readEntry: (key: string, namespace: string) => MaybePromise<Entry | undefined>;
  readonly transaction: (
    operations: readonly TransactionOperation[],
    options: OriginOptions,
  ) => Promise<TransactionResult>;
}

type Write<Options> = Omit<Options, keyof OriginOptions>;

/**
 * Reads and writes of a transaction. Its writes are visible to its own reads, as they were given, and to others when it
 * ends. `S` types the namespaces, as for the cache.
 */
export class Transaction<S extends NamespaceTypes<S> = AnyNamespaces> {
  readonly #readEntry: TransactParts['readEntry'];
  /** Versions of the entries that were read; 0: the key was missing. */
  readonly #read = new Map<string, { namespace: string; key: string; version: number; value: JsonValue | undefined }>();
  /** Values that were written; `undefined`: removed. */
  readonly #written = new Map<string, JsonValue | undefined>();
  readonly #operations: TransactionOperation[] = [];
  #isEnded = false;

  /** @internal */
  constructor(readEntry: TransactParts['readEntry']) {
    this.#readEntry = readEntry;
  }

  /** Resolves with the value; `undefined` if the key is missing. */
  get<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
  ): Promise<ValueOf<S, N, K> | undefined>;
  async get(key: string, namespace: NamespaceName = DEFAULT_NAMESPACE): Promise<unknown> {
    return this.#get(key, namespace);
  }

  async #get(key: string, namespace: NamespaceName): Promise<JsonValue | undefined> {
    this.#assertRunning();
    const name = nameOf(namespace);
    const id = JSON.stringify([name, key]);
    if (this.#written.has(id)) return this.#written.get(id);
    const known = this.#read.get(id);
    if (known !== undefined) return known.value;
    const entry = await this.#readEntry(key, name);
    const value = readableValue(entry);
    this.#read.set(id, { namespace: name, key, version: entry?.version ?? 0, value });
    return value;
  }

  /** Resolves with whether the key has a value. */
  has<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
  ): Promise<boolean>;
  async has(key: string, namespace: NamespaceName = DEFAULT_NAMESPACE): Promise<boolean> {
    return (await this.#get(key, namespace)) !== undefined;
  }

  /** Stores a value when the transaction ends. */
  set<const K extends string, const N extends string = DefaultNamespace, V = unknown>(
    key: KeyArgument<S, N, K>,
    value: ValueArgument<S, N, K, V>,
    namespace?: NamespaceArgument<S, N>,
    options?: Write<WriteOptions>,
  ): void;
  set(key: string, value: unknown, namespace: NamespaceName = DEFAULT_NAMESPACE, options?: Write<WriteOptions>): void {
    const { value: admitted } = admit(value);
    this.#add({ ...options, operation: 'set', key, value: admitted, namespace: nameOf(namespace) }, admitted);
  }

  /** Removes a key when the transaction ends. */
  delete<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
    options?: Write<RemoveOptions>,
  ): void;
  delete(key: string, namespace: NamespaceName = DEFAULT_NAMESPACE, options?: Write<RemoveOptions>): void {
    this.#add({ ...options, operation: 'delete', key, namespace: nameOf(namespace) }, undefined);
  }

  /** @internal Returns the checks of what was read, then the writes. No further call is accepted. */
  end(): TransactionOperation[] {
    this.#isEnded = true;
    const checks = Array.from(this.#read.values(), ({ namespace, key, version }) => {
      return { operation: 'check' as const, namespace, key, ifVersion: version };
    });
    return [...checks, ...this.#operations];
  }

  /** @internal Returns whether a conflict is about an entry that was read: it has changed since. */
  hasRead({ namespace, key, expected }: VersionConflictError): boolean {
    return this.#read.get(JSON.stringify([namespace, key]))?.version === expected;
  }

  #add(operation: TransactionOperation, value: JsonValue | undefined): void {
    this.#assertRunning();
    this.#operations.push(operation);
    this.#written.set(JSON.stringify([operation.namespace, operation.key]), value);
  }

  #assertRunning(): void {
    if (!this.#isEnded) return;
    throw new ContextCacheError('CLOSED', 'The transaction has ended. Read and write before its function returns.');
  }
}

/** Runs a function with a transaction and executes what it has written; see `CacheMethods.transact`. */
export async function transact<S extends NamespaceTypes<S>, Result>(
  parts: TransactParts,
  run: (tx: Transaction<S>) => MaybePromise<Result>,
  options: Omit<OriginOptions, 'operationId'>,
): Promise<Result> {
  TRANSACT_OPTIONS.check(options);
  for (let tries = 1; ; tries += 1) {
    const tx = new Transaction<S>(parts.readEntry);
    const result = await run(tx);
    const operations = tx.end();
    try {
      if (operations.length > 0) await parts.transaction(operations, options);
      return result;
    } catch (error) {
      if (!(error instanceof VersionConflictError && tx.hasRead(error)) || tries >= MAX_TRIES) throw error;
    }
  }
}

import { ContextCacheError } from '../core/errors.ts';
import { DEFAULT_NAMESPACE } from '../core/names.ts';
import { type NamespaceName, nameOf } from '../core/namespace-parts.ts';
import type { Entry } from '../core/namespace-state.ts';
import type {
  AnyNamespaces,
  DefaultNamespace,
  KeyArgument,
  KeyOf,
  NamespaceArgument,
  NamespaceOf,
  NamespaceTypes,
  ValueOf,
} from '../core/namespace-types.ts';
import type { NamespaceRangeOptions, RangeOptions } from '../core/range.ts';
import { needNoHandler, type Outcomes } from '../engine/outcome.ts';
import type { Hello } from '../wire/socket-protocol.ts';
import type { Link } from './link.ts';
import { RemoteReader } from './remote-reader.ts';

/** Closes the views that a program has dropped without disposing of them. */
const dropped = new FinalizationRegistry<() => void>((close) => close());

/**
 * A view of all namespaces of a served cache at {@link RemoteView.position}. Each method does what the method of the same
 * name does on `CacheView`, and resolves with its result. The server keeps the position until the view is disposed or
 * dropped. After a lost connection the view is opened again, which fails with `POSITION_UNAVAILABLE` if retention has
 * released the position meanwhile.
 *
 * @example
 * ```ts
 * await using before = await remote.at(position - 1);
 * await before.get('plan', 'trip');
 * ```
 */
export class RemoteView<S extends NamespaceTypes<S> = AnyNamespaces> {
  /** Position of the last update in the view; 0: the empty cache. */
  readonly position: number;
  readonly #link: Link;
  readonly #outcomes: Outcomes;
  readonly #open: RemoteReader;
  /** The hello of the connection on which the server holds the view open. */
  readonly #held: { by: Hello };
  readonly #close: () => void;
  #isDisposed = false;

  static {
    needNoHandler(RemoteView.prototype, (view) => view.#outcomes);
  }

  /** @internal */
  constructor(link: Link, outcomes: Outcomes, position: number) {
    this.position = position;
    this.#link = link;
    this.#outcomes = outcomes;
    this.#open = new RemoteReader(link, outcomes, position);
    const held = { by: link.hello };
    this.#held = held;
    this.#close = () => {
      if (held.by === link.hello) link.ask({ type: 'view.close', at: position }, false).catch(() => {});
    };
    dropped.register(this, this.#close, this);
  }

  get<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
  ): Promise<ValueOf<S, N, K> | undefined>;
  async get(key: string, namespace: NamespaceName = DEFAULT_NAMESPACE): Promise<unknown> {
    return this.#reader.get(key, nameOf(namespace));
  }

  getMany<const K extends string, const N extends string = DefaultNamespace>(
    keys: readonly KeyArgument<S, N, K>[],
    namespace?: NamespaceArgument<S, N>,
  ): Promise<(ValueOf<S, N, K> | undefined)[]>;
  async getMany(keys: readonly string[], namespace: NamespaceName = DEFAULT_NAMESPACE): Promise<unknown> {
    return this.#reader.getMany(keys, nameOf(namespace));
  }

  has<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
  ): Promise<boolean>;
  async has(key: string, namespace: NamespaceName = DEFAULT_NAMESPACE): Promise<boolean> {
    return this.#reader.has(key, nameOf(namespace));
  }

  entry<const K extends string, const N extends string = DefaultNamespace>(
    key: KeyArgument<S, N, K>,
    namespace?: NamespaceArgument<S, N>,
  ): Promise<Entry<ValueOf<S, N, K>> | undefined>;
  async entry(key: string, namespace: NamespaceName = DEFAULT_NAMESPACE): Promise<unknown> {
    return this.#reader.entry(key, nameOf(namespace));
  }

  entries<const N extends string = DefaultNamespace>(
    namespace?: NamespaceArgument<S, N>,
  ): Promise<Entry<ValueOf<S, N, KeyOf<S, N>>>[]>;
  entries<const N extends string = DefaultNamespace>(
    namespace: NamespaceArgument<S, N> | undefined,
    options: RangeOptions,
  ): AsyncIterableIterator<Entry<ValueOf<S, N, KeyOf<S, N>>>>;
  entries(namespace: NamespaceName = DEFAULT_NAMESPACE, options?: RangeOptions): unknown {
    if (options === undefined) return this.#allEntries(namespace);
    return this.#reader.entriesInOrder(nameOf(namespace), options);
  }

  keys<const N extends string = DefaultNamespace>(
    namespace?: NamespaceArgument<S, N>,
    options?: RangeOptions,
  ): AsyncIterableIterator<KeyOf<S, N>>;
  keys(namespace: NamespaceName = DEFAULT_NAMESPACE, options?: RangeOptions): AsyncIterableIterator<string> {
    return this.#reader.keysInOrder(nameOf(namespace), options);
  }

  listKeys<const N extends string = DefaultNamespace>(
    namespace?: NamespaceArgument<S, N>,
    options?: RangeOptions,
  ): Promise<KeyOf<S, N>[]>;
  async listKeys(namespace: NamespaceName = DEFAULT_NAMESPACE, options?: RangeOptions): Promise<string[]> {
    return this.#reader.keys(nameOf(namespace), options);
  }

  async listNamespaces(options?: NamespaceRangeOptions): Promise<NamespaceOf<S>[]> {
    return (await this.#reader.namespaces(options)) as NamespaceOf<S>[];
  }

  /** Releases the view; afterwards reads reject with `CLOSED`. Does not wait for the server. */
  [Symbol.dispose](): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    dropped.unregister(this);
    this.#close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this[Symbol.dispose]();
  }

  async #allEntries(namespace: NamespaceName): Promise<unknown> {
    return this.#reader.entries(nameOf(namespace));
  }

  get #reader(): RemoteReader {
    if (this.#isDisposed)
      throw new ContextCacheError('CLOSED', 'The view has been disposed. Create another with cache.at().');
    const { hello } = this.#link;
    if (this.#held.by !== hello) {
      this.#held.by = hello;
      // Sent before the read. Without the view, the read fails for the same reason or finds the position anyway.
      this.#link.ask({ type: 'view.open', at: this.position }, false).catch(() => {});
    }
    return this.#open;
  }
}

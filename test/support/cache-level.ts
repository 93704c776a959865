import {
  type AbstractBatchOperation,
  AbstractIterator,
  type AbstractIteratorOptions,
  AbstractLevel,
  AbstractSnapshot,
} from 'abstract-level';
import {
  AgentContextCache,
  type AnyNamespaces,
  type CacheView,
  compareNames,
  type InMemoryContextCache,
  type NamespaceHandle,
  type RangeOptions,
} from '../../src/index.ts';

/** The form in which keys and values are stored: text as it is, or each byte as the character with its number. */
export type StoredAs = 'utf8' | 'buffer';

/** The bounds of a range as abstract-level gives them. */
interface Bounds<Key = string> {
  readonly gt?: Key;
  readonly gte?: Key;
  readonly lt?: Key;
  readonly lte?: Key;
  readonly reverse?: boolean;
  readonly limit?: number;
}

const NAMESPACE = 'level';

/** What reads are made from: the present, or a view. */
interface Source {
  get(key: string): unknown;
  keys(range: RangeOptions): Iterable<string>;
}

/**
 * An abstract-level database over a namespace of a cache, to test ordered reads by the suite of abstract-level. An
 * iterator reads the present at each step if `isLive`; otherwise a view, which is its snapshot.
 */
export class CacheLevel<Stored extends string | Buffer> extends AbstractLevel<Stored, string, string> {
  readonly cache = new AgentContextCache({ natsUrl: null });
  readonly isLive: boolean;
  readonly #present: NamespaceHandle<AnyNamespaces, typeof NAMESPACE, InMemoryContextCache>;

  constructor(storedAs: StoredAs, isLive: boolean, options: object = {}) {
    const snapshots = { implicitSnapshots: !isLive, explicitSnapshots: !isLive };
    super({ encodings: { [storedAs]: true }, ...snapshots, has: true, getSync: true, seek: true } as never, options);
    this.isLive = isLive;
    this.#present = this.cache.namespace(NAMESPACE);
  }

  async _get(key: Stored, options: Reading): Promise<Stored | undefined> {
    return this._getSync(key, options);
  }

  _getSync(key: Stored, options: Reading): Stored | undefined {
    return storedOf(this.sourceOf(options).get(textOf(key)) as string | undefined, key);
  }

  async _getMany(keys: Stored[], options: Reading): Promise<(Stored | undefined)[]> {
    return keys.map((key) => this._getSync(key, options));
  }

  async _has(key: Stored, options: Reading): Promise<boolean> {
    return this.sourceOf(options).get(textOf(key)) !== undefined;
  }

  async _hasMany(keys: Stored[], options: Reading): Promise<boolean[]> {
    return keys.map((key) => this.sourceOf(options).get(textOf(key)) !== undefined);
  }

  async _put(key: Stored, value: Stored): Promise<void> {
    await this.#present.set(textOf(key), textOf(value));
  }

  async _del(key: Stored): Promise<void> {
    await this.#present.delete(textOf(key));
  }

  async _batch(operations: AbstractBatchOperation<this, Stored, Stored>[]): Promise<void> {
    const steps = operations.map((step) =>
      step.type === 'put'
        ? { operation: 'set' as const, key: textOf(step.key), value: textOf(step.value) }
        : { operation: 'delete' as const, key: textOf(step.key) },
    );
    await this.#present.batch(steps);
  }

  async _clear(options: Bounds<Stored> & Reading): Promise<void> {
    const keys = [...keysOf(this.sourceOf(options), options)];
    await this.#present.batch(keys.map((key) => ({ operation: 'delete' as const, key })));
  }

  _iterator(options: AbstractIteratorOptions<Stored, Stored>): AbstractIterator<this, Stored, Stored> {
    return new CacheIterator<Stored>(this, options as never) as never;
  }

  _snapshot(options: object): AbstractSnapshot {
    return new ViewSnapshot(this.cache.at(this.cache.position), options);
  }

  /** The view of the given snapshot; else the present. */
  sourceOf({ snapshot }: Reading): Source {
    return snapshot === undefined ? (this.#present as Source) : snapshot.source;
  }
}

interface Reading {
  readonly snapshot?: ViewSnapshot | undefined;
}

/** A view of a cache as an explicit snapshot. */
class ViewSnapshot extends AbstractSnapshot {
  readonly source: Source;
  readonly #view: CacheView;

  constructor(view: CacheView, options: object) {
    super(...([options] as never as []));
    this.#view = view;
    this.source = sourceOfView(view);
  }

  async _close(): Promise<void> {
    this.#view[Symbol.dispose]();
  }
}

function sourceOfView(view: CacheView): Source {
  return { get: (key) => view.get(key, NAMESPACE), keys: (range) => view.keys(NAMESPACE, range) };
}

class CacheIterator<Stored extends string | Buffer> extends AbstractIterator<CacheLevel<Stored>, Stored, Stored> {
  readonly #view: CacheView | undefined;
  readonly #source: Source;
  readonly #bounds: Bounds<Stored>;
  readonly #storedAs: StoredAs;
  #keys: Iterator<string>;

  constructor(db: CacheLevel<Stored>, options: Bounds<Stored> & Reading & { readonly keyEncoding: StoredAs }) {
    super(db, options as never);
    this.#view = options.snapshot !== undefined || db.isLive ? undefined : db.cache.at(db.cache.position);
    this.#source = this.#view === undefined ? db.sourceOf(options) : sourceOfView(this.#view);
    this.#bounds = options;
    this.#storedAs = options.keyEncoding;
    this.#keys = keysOf(this.#source, options);
  }

  async _next(): Promise<[Stored, Stored] | undefined> {
    for (let next = this.#keys.next(); !next.done; next = this.#keys.next()) {
      const value = this.#source.get(next.value) as string | undefined;
      // Missing if it was deleted since, in a read of the present.
      if (value !== undefined)
        return [next.value, value].map((text) => storedAs(text, this.#storedAs)) as [Stored, Stored];
    }
    return undefined;
  }

  /** Continues at a key, or ends if the key is not in the range. The limit is kept by abstract-level. */
  _seek(target: Stored): void {
    this.#keys = isWithin(this.#bounds, target) ? keysOf(this.#source, this.#bounds, target) : [].values();
  }

  async _close(): Promise<void> {
    this.#view?.[Symbol.dispose]();
  }
}

/** Yields the keys of a range in its order, at most as many as its limit, all or from a key of the range on. */
function* keysOf<Stored extends string | Buffer>(
  source: Source,
  bounds: Bounds<Stored>,
  start?: Stored,
): Generator<string> {
  const { gt, gte, lt, lte, reverse = false, limit = -1 } = effective(bounds);
  const range = reverse
    ? { after: lt, to: start ?? lte, from: gte ?? gt }
    : { after: gt, from: start ?? gte, to: lte ?? lt };
  // A range of the cache excludes its first key by `after`, and no last key.
  const beyond = reverse ? gt : lt;
  const given = Object.entries(range).flatMap(([name, bound]) => (bound === undefined ? [] : [[name, textOf(bound)]]));
  let left = limit;
  if (left === 0) return;
  for (const key of source.keys({ ...Object.fromEntries(given), reverse })) {
    if (beyond !== undefined && key === textOf(beyond)) return;
    yield key;
    left -= 1;
    if (left === 0) return;
  }
}

/** An inclusive bound takes precedence over an exclusive one. */
function effective<Stored extends string | Buffer>(bounds: Bounds<Stored>): Bounds<Stored> {
  const { gt, gte, lt, lte, ...rest } = bounds;
  return {
    ...rest,
    ...(gte === undefined ? gt !== undefined && { gt } : { gte }),
    ...(lte === undefined ? lt !== undefined && { lt } : { lte }),
  };
}

function isWithin<Stored extends string | Buffer>(bounds: Bounds<Stored>, key: Stored): boolean {
  const { gt, gte, lt, lte } = effective(bounds);
  const order = (bound: Stored) => compareNames(textOf(key), textOf(bound));
  return (
    (gt === undefined || order(gt) > 0) &&
    (gte === undefined || order(gte) >= 0) &&
    (lt === undefined || order(lt) < 0) &&
    (lte === undefined || order(lte) <= 0)
  );
}

/** Returns stored text. Bytes become the characters with their numbers, whose order is the same. */
function textOf(stored: string | Buffer): string {
  return typeof stored === 'string' ? stored : stored.toString('latin1');
}

function storedAs(text: string, as: StoredAs): string | Buffer {
  return as === 'utf8' ? text : Buffer.from(text, 'latin1');
}

/** Returns text in the form that a key was given in. */
function storedOf<Stored extends string | Buffer>(text: string | undefined, like: Stored): Stored | undefined {
  return text === undefined ? undefined : (storedAs(text, typeof like === 'string' ? 'utf8' : 'buffer') as Stored);
}

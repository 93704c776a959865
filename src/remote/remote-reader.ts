import { READ_OPTIONS } from '../cache/option-names.ts';
import type { ReadOptions } from '../cache/types.ts';
import { type Changes, type ChangesOptions, plainChanges } from '../core/changes.ts';
import { type Found, plainSearch, type SearchOptions } from '../core/entry-search.ts';
import { ContextCacheError } from '../core/errors.ts';
import { checkName } from '../core/names.ts';
import type { Entry } from '../core/namespace-state.ts';
import { readableValue } from '../core/opened.ts';
import { type NamespaceRangeOptions, plainRange, type RangeOptions } from '../core/range.ts';
import type { Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import { durationOf } from '../engine/durations.ts';
import { LOG_RANGE, type LogRange } from '../engine/log-range.ts';
import { needNoHandler, type Outcomes } from '../engine/outcome.ts';
import type { Difference } from '../past/difference.ts';
import { DIFF_OPTIONS, type DifferenceOptions } from '../past/difference-options.ts';
import type { EntryVersion } from '../past/history.ts';
import type { WirePoint } from '../wire/socket-protocol.ts';
import type { Asking } from './asking.ts';
import { collect, ItemStream, Repetition } from './item-stream.ts';

/** Reads from a server: the present, or with `at` the view of a position. The promises need no handler. */
export class RemoteReader {
  readonly #link: Asking;
  readonly #outcomes: Outcomes;
  readonly #at: number | undefined;

  static {
    needNoHandler(RemoteReader.prototype, (reader) => reader.#outcomes);
  }

  constructor(link: Asking, outcomes: Outcomes, at?: number) {
    this.#link = link;
    this.#outcomes = outcomes;
    this.#at = at;
  }

  async get(key: string, namespace: string, options?: ReadOptions): Promise<JsonValue | undefined> {
    if (this.#at !== undefined) return readableValue(await this.entry(key, namespace));
    checkName('namespace', namespace);
    checkName('key', key);
    const request = { type: 'context.get', key, namespace };
    return this.#link.ask({ ...request, ...plainRead(options) }, true);
  }

  async getMany(keys: readonly string[], namespace: string): Promise<(JsonValue | undefined)[]> {
    checkName('namespace', namespace);
    for (const key of keys) checkName('key', key);
    const request = { type: 'read.many', keys, namespace, at: this.#at };
    const values = await collect<readonly [JsonValue?]>(this.#link, request);
    return values.map(([value]) => value);
  }

  async has(key: string, namespace: string): Promise<boolean> {
    return (await this.get(key, namespace)) !== undefined;
  }

  async entry(key: string, namespace: string, options?: ReadOptions): Promise<Entry | undefined> {
    checkName('namespace', namespace);
    checkName('key', key);
    const type = this.#at === undefined ? 'context.entry' : 'read.entry';
    const request = { type, key, namespace, at: this.#at, ...plainRead(options) };
    return (await this.#link.ask(request, true)) as unknown as Entry | undefined;
  }

  async entries(namespace: string): Promise<Entry[]> {
    checkName('namespace', namespace);
    return collect<Entry>(this.#link, { type: 'read.entries', namespace, at: this.#at });
  }

  async keys(namespace: string, options?: RangeOptions): Promise<string[]> {
    checkName('namespace', namespace);
    const range = options && plainRange('listKeys', options);
    return collect<string>(this.#link, { type: 'read.keys', namespace, at: this.#at, range });
  }

  async namespaces(options?: NamespaceRangeOptions): Promise<string[]> {
    const range = options && plainRange('listNamespaces', options);
    return collect<string>(this.#link, { type: 'read.namespaces', at: this.#at, range });
  }

  /** Yields keys in order of code point. Continues after a lost connection behind the last one. */
  keysInOrder(namespace: string, options?: RangeOptions): AsyncGenerator<string, void, undefined> {
    checkName('namespace', namespace);
    return this.#inOrder('read.keys', namespace, plainRange('keys', options), (key: string) => key);
  }

  /** Yields entries in order of their keys. Continues after a lost connection behind the last one. */
  entriesInOrder(namespace: string, options?: RangeOptions): AsyncGenerator<Entry, void, undefined> {
    checkName('namespace', namespace);
    return this.#inOrder('read.entries', namespace, plainRange('entries', options), ({ key }: Entry) => key);
  }

  async *#inOrder<Item>(
    type: 'read.keys' | 'read.entries',
    namespace: string,
    options: RangeOptions,
    keyOf: (item: Item) => string,
  ): AsyncGenerator<Item, void, undefined> {
    let range = options;
    const request = () => ({ type, namespace, at: this.#at, range });
    for await (const read of this.#items(request, () => range.limit === 0, this.#at !== undefined)) {
      const item = read as Item;
      const limit = range.limit === undefined ? {} : { limit: range.limit - 1 };
      range = { ...range, ...limit, after: keyOf(item) };
      yield item;
    }
  }

  /** Yields the versions of an entry, newest first. Continues after a lost connection behind the last one. */
  async *versions(key: string, namespace: string): AsyncGenerator<EntryVersion, void, undefined> {
    checkName('key', key);
    checkName('namespace', namespace);
    let last = Number.POSITIVE_INFINITY;
    for await (const item of this.#items(() => ({ type: 'read.history', key, namespace }))) {
      const version = item as unknown as EntryVersion;
      if (version.position >= last) continue;
      last = version.position;
      // A removed value is left out on the wire.
      yield Object.freeze({ ...version, value: version.value });
    }
  }

  async changes(options: ChangesOptions): Promise<Changes> {
    const request = { type: 'context.changes', ...plainChanges(options) };
    return (await this.#link.ask(request, true)) as unknown as Changes;
  }

  /** Yields committed updates. Continues after a lost connection behind the last one. */
  async *log(range: LogRange): AsyncGenerator<Update> {
    const { from, to, namespace } = LOG_RANGE.checked(range);
    let next = from;
    const request = () => ({ type: 'read.log', from: next, to, namespace });
    for await (const item of this.#items(request, () => to !== undefined && next !== undefined && next > to)) {
      const update = item as unknown as Update;
      next = update.position + 1;
      yield update;
    }
  }

  async search(options?: SearchOptions): Promise<Found> {
    const { entries, next } = (await this.#link.ask(
      { type: 'context.search', ...plainSearch(options) },
      true,
    )) as unknown as Found;
    return { entries, next };
  }

  async diff(a: WirePoint, b: WirePoint, options: DifferenceOptions): Promise<Difference> {
    const { namespace } = DIFF_OPTIONS.checked(options);
    if (namespace !== undefined) checkName('namespace', namespace);
    const items = await collect<[string, Entry, Entry?]>(this.#link, { type: 'read.diff', a, b, namespace });
    const added: Entry[] = [];
    const changed: { before: Entry; after: Entry }[] = [];
    const removed: Entry[] = [];
    for (const [change, entry, after = entry] of items) {
      if (change === 'added') added.push(entry);
      else if (change === 'removed') removed.push(entry);
      else changed.push({ before: entry, after });
    }
    return { added, changed, removed };
  }

  /**
   * Yields the items of a stream. Asks for a lost one again, unless `isDone` says that it was complete.
   *
   * @throws {ContextCacheError} `POSITION_UNAVAILABLE` if another log is served meanwhile and the stream is `ofLog`.
   */
  async *#items(
    request: () => { type: string },
    isDone: () => boolean = () => false,
    ofLog = true,
  ): AsyncGenerator<JsonValue> {
    const { log } = this.#link.hello;
    for (const repetition = new Repetition(this.#link); ; repetition.begin()) {
      const stream = new ItemStream(this.#link, request(), 'read');
      try {
        for (;;) {
          const batch = await stream.take();
          if (batch === 'complete') return;
          if (batch === 'lost') break;
          if (ofLog && batch.log !== log) {
            throw new ContextCacheError('POSITION_UNAVAILABLE', 'The log that was read is not served any more.');
          }
          repetition.progress();
          yield* batch.items;
        }
      } finally {
        stream.cancel();
      }
      if (isDone()) return;
    }
  }
}

/** Returns a position or an instant as the protocol has it. `undefined` for any other value. */
export function pointOf(when: unknown): WirePoint | undefined {
  if (when instanceof Date) return Number.isNaN(when.getTime()) ? undefined : { time: when.getTime() };
  return typeof when === 'number' && Number.isInteger(when) && when >= 0 ? when : undefined;
}

/** Checks the options of a read, and returns them as plain data. */
function plainRead(options: ReadOptions | undefined): { readonly maxStalenessMs?: number | undefined } {
  if (options === undefined) return {};
  return { maxStalenessMs: durationOf('maxStalenessMs', READ_OPTIONS.checked(options).maxStalenessMs) };
}

import type { Watching } from '../actors/watch.ts';
import type { MaybePromise } from '../backends/base-context-cache.ts';
import type { Changes } from '../core/changes.ts';
import type { Acknowledgement } from '../core/command.ts';
import type { Entry } from '../core/namespace-state.ts';
import { readableValue } from '../core/opened.ts';
import { optionNames } from '../core/options.ts';
import type { OriginOptions } from '../core/origin.ts';
import { ReadSet } from '../core/read-set.ts';
import type { Stamp } from '../core/stamp.ts';
import type { Update } from '../core/update.ts';
import type { MethodParts } from './method-parts.ts';
import { stampedParts } from './stamping-writer.ts';

/** Options of a handle. */
export interface HandleOptions {
  /**
   * Remembers which entries are read through the handle, by version, and adds them to the next write as its `basis`. Default
   * `false`.
   */
  readonly basis?: boolean | undefined;
}

const HANDLE_OPTIONS = optionNames<HandleOptions>('as', { basis: true });

type Reader = MethodParts['reader'];
type Writer = MethodParts['writer'];

const ignore = (): void => {};

/** Returns what a handle adds to the parts of a cache: a checked stamp for each write, and with `basis` a memory of reads. */
export function wrapOfHandle(stamp: Stamp, options: HandleOptions | undefined): (parts: MethodParts) => MethodParts {
  const { basis = false } = HANDLE_OPTIONS.checked(options) ?? {};
  const reads = basis ? new ReadSet() : undefined;
  return (parts) => stampedParts(reads === undefined ? parts : rememberingParts(parts, reads), () => stamp);
}

/**
 * Returns the parts of a cache that remember what is read through them and add it to writes. When a write of one key is
 * acknowledged, the entry that it has written takes the place of what it was based on: the next write is based on that entry,
 * and through it on all of this. What a write of several keys was based on stays remembered.
 */
function rememberingParts(parts: MethodParts, reads: ReadSet): MethodParts {
  const note = (namespace: string, key: string, version: number) =>
    reads.add(namespace, key, version, parts.position());
  const reader = rememberingReader(parts.reader, note);
  const entryWith: MethodParts['entryWith'] = (key, namespace, options) =>
    andThen(parts.entryWith(key, namespace, options), (entry) => {
      note(namespace, key, entry?.version ?? 0);
      return entry;
    });
  return {
    ...parts,
    reader,
    readWith: (key, namespace, options) => andThen(entryWith(key, namespace, options), readableValue),
    entryWith,
    writer: basedWriter(parts, reads, note),
    changes: async (options) => {
      const page = await parts.changes(options);
      noteChanges(page, note);
      return page;
    },
    watch: (options) => rememberingWatch(parts.watch(options), note),
    subscribe: (listener, filter) =>
      parts.subscribe((update) => {
        noteUpdate(update, note);
        listener(update);
      }, filter),
    transaction: (operations, options) => parts.transaction(operations, based(options, reads) as OriginOptions),
  };
}

type Note = (namespace: string, key: string, version: number) => void;

function rememberingReader(reader: Reader, note: Note): Reader {
  const entryOf = (key: string, namespace: string): MaybePromise<Entry | undefined> =>
    andThen(reader.entry(key, namespace), (entry) => {
      note(namespace, key, entry?.version ?? 0);
      return entry;
    });
  const noted = (entries: Entry[]) => {
    for (const { namespace, key, version } of entries) note(namespace, key, version);
    return entries;
  };
  return {
    entry: entryOf,
    get: (key, namespace) => andThen(entryOf(key, namespace), readableValue),
    has: (key, namespace) => andThen(entryOf(key, namespace), (entry) => readableValue(entry) !== undefined),
    getMany: (keys, namespace) => {
      const entries = keys.map((key) => entryOf(key, namespace));
      const valuesOf = (all: readonly (Entry | undefined)[]) => all.map(readableValue);
      if (entries.some((entry) => entry instanceof Promise)) return Promise.all(entries).then(valuesOf);
      return valuesOf(entries as (Entry | undefined)[]);
    },
    entries: (namespace) => andThen(reader.entries(namespace), noted),
    entriesInOrder: (namespace, options) => {
      const entries = reader.entriesInOrder(namespace, options);
      return Symbol.asyncIterator in entries ? notedLater(entries, note) : notedInTurn(entries, note);
    },
    keys: (namespace, options) => reader.keys(namespace, options),
    keysInOrder: (namespace, options) => reader.keysInOrder(namespace, options),
    namespaces: (options) => reader.namespaces(options),
    search: async (options) => {
      const found = await reader.search(options);
      for (const { namespace, key, version } of found.entries) note(namespace, key, version);
      return found;
    },
  };
}

function* notedInTurn(entries: Iterable<Entry>, note: Note): Generator<Entry, void, undefined> {
  for (const entry of entries) {
    note(entry.namespace, entry.key, entry.version);
    yield entry;
  }
}

async function* notedLater(entries: AsyncIterable<Entry>, note: Note): AsyncGenerator<Entry, void, undefined> {
  for await (const entry of entries) {
    note(entry.namespace, entry.key, entry.version);
    yield entry;
  }
}

function basedWriter({ writer, reader }: MethodParts, reads: ReadSet, note: Note): Writer {
  /** Writes with what was read as the basis. `keyOf` returns the key that was written, from the acknowledgement. */
  const write = <Options extends OriginOptions | undefined, Answer extends Acknowledgement>(
    namespace: string,
    options: Options,
    run: (options: Options) => Promise<Answer>,
    keyOf?: (answer: Answer) => string,
  ): Promise<Answer> => {
    const { order } = reads;
    const answer = run(based(options, reads));
    if (keyOf === undefined || options?.basis !== undefined) return answer;
    const linked = (written: Answer) => {
      if (!written.changed) return;
      reads.forget(order);
      note(namespace, keyOf(written), written.version);
    };
    // Not `then` of the promise itself, which would mark its rejection as handled.
    Promise.prototype.then.call(answer, linked as (written: unknown) => void, ignore);
    return answer;
  };
  return {
    set: (key, value, namespace, options) =>
      write(
        namespace,
        options,
        (given) => writer.set(key, value, namespace, given),
        () => key,
      ),
    touch: (key, namespace, options) =>
      write(
        namespace,
        options,
        (given) => writer.touch(key, namespace, given),
        () => key,
      ),
    increment: (key, by, namespace, options) =>
      write(
        namespace,
        options,
        (given) => writer.increment(key, by, namespace, given),
        () => key,
      ),
    append: (value, namespace, options) =>
      write(
        namespace,
        options,
        (given) => writer.append(value, namespace, given),
        (written) => written.key,
      ),
    update: (key, change, namespace, options) =>
      write(
        namespace,
        options,
        (given) => writer.update(key, change, namespace, given),
        () => key,
      ),
    setMany: (values, namespace, options) =>
      write(namespace, options, (given) => writer.setMany(values, namespace, given)),
    delete: (key, namespace, options) => write(namespace, options, (given) => writer.delete(key, namespace, given)),
    batch: (operations, namespace, options) =>
      write(namespace, options, (given) => writer.batch(operations, namespace, given)),
    clear: (namespace, options) => write(namespace, options, (given) => writer.clear(namespace, given)),
    drop: (namespace, options) => write(namespace, options, (given) => writer.drop(namespace, given)),
    getOrSet: (key, make, namespace, options) => {
      const answer = writer.getOrSet(key, make, namespace, lateBased(options, reads));
      const seen = () => andThen(reader.entry(key, namespace), (entry) => note(namespace, key, entry?.version ?? 0));
      Promise.prototype.then.call(answer, seen, ignore).then(ignore, ignore);
      return answer;
    },
  };
}

/** Returns the options with what was read as the basis, unless they have one. Options that are no object are left to the checks. */
function based<Options extends OriginOptions | undefined>(options: Options, reads: ReadSet): Options {
  if ((options !== undefined && !isObject(options)) || options?.basis !== undefined) return options;
  return { ...options, basis: reads.basis() } as Options;
}

/** Does the same with what was read until the basis is needed: `make` of a `getOrSet` reads before its value is written. */
function lateBased<Options extends OriginOptions | undefined>(options: Options, reads: ReadSet): Options {
  if ((options !== undefined && !isObject(options)) || options?.basis !== undefined) return options;
  return Object.defineProperty({ ...options }, 'basis', { enumerable: true, get: () => reads.basis() }) as Options;
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function noteChanges({ changes }: Changes, note: Note): void {
  for (const update of changes) noteUpdate(update, note);
}

function noteUpdate({ namespace, key, keys, version, operation }: Update, note: Note): void {
  const isThere = operation === 'set' || operation === 'touch';
  for (const each of keys ?? (key === null ? [] : [key])) note(namespace, each, isThere ? version : 0);
}

function rememberingWatch(watching: Watching, note: Note): Watching {
  const next = async () => {
    const result = await watching.next();
    if (result.done !== true) noteUpdate(result.value, note);
    return result;
  };
  return {
    get position() {
      return watching.position;
    },
    next,
    return: (value) => watching.return?.(value) ?? Promise.resolve({ done: true, value }),
    throw: (error) => watching.throw?.(error) ?? Promise.reject(error),
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

function andThen<Value, Result>(value: MaybePromise<Value>, next: (value: Value) => Result): MaybePromise<Result> {
  return value instanceof Promise ? value.then(next) : next(value as Value);
}

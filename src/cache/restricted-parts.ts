import { plainChanges } from '../core/changes.ts';
import type { ContextCommand } from '../core/command.ts';
import { plainSearch } from '../core/entry-search.ts';
import type { Entry } from '../core/namespace-state.ts';
import { type NamespaceRangeOptions, type RangeOptions, rangeOf } from '../core/range.ts';
import { plainFilter, type See, type WatchFilter } from '../core/update-filter.ts';
import type { Access } from '../engine/access.ts';
import { andThen } from '../engine/reader.ts';
import type { MethodParts } from './method-parts.ts';
import type { HandleParts } from './namespace-handle.ts';
import { restrictedAsk } from './restricted-commands.ts';
import { RestrictedWrites } from './restricted-writes.ts';

type Reader = MethodParts['reader'];
type Writer = HandleParts['writer'];
type Iteration<Item> = IterableIterator<Item> | AsyncIterableIterator<Item>;

/** The parts of a cache that are restricted to what an agent may do. */
export type Restricted = Pick<
  MethodParts,
  'reader' | 'writer' | 'history' | 'changes' | 'watch' | 'subscribe' | 'transaction' | 'ask'
>;

/**
 * Returns the parts of a cache for one agent. What it may not read is refused if the call names it, and left out of lists.
 * Grants are looked up with each call and each item, so that a change is in force at once, also for a watch that is running.
 */
export function restrictedParts(parts: MethodParts, access: Access, agent: string): Restricted {
  const writes = new RestrictedWrites(access, agent, parts.guard);
  const mayRead = (namespace: string, key: string) => access.may(agent, 'read', namespace, key);
  // Asked before anything is opened: a migration that fails would tell the agent about a value that it may not read.
  const see: See = (update) => access.visible(agent, update);
  const reader = restrictedReader(parts.reader, access, agent);
  const readWith: MethodParts['readWith'] = (key, namespace, options) => {
    access.require(agent, 'read', namespace, key);
    return parts.readWith(key, namespace, options);
  };
  const entryWith: MethodParts['entryWith'] = (key, namespace, options) => {
    access.require(agent, 'read', namespace, key);
    return parts.entryWith(key, namespace, options);
  };
  const changes: MethodParts['changes'] = (options) =>
    parts.guard(async () => {
      const { namespace } = plainChanges(options);
      if (namespace !== undefined) access.requireSome(agent, 'read', namespace);
      return parts.changes(options, see);
    });
  const ask = (command: ContextCommand) =>
    restrictedAsk({ parts, restricted: { reader, changes, readWith, entryWith }, writes, access, agent }, command);
  return {
    ...{ reader, readWith, entryWith, changes, ask: ask as MethodParts['ask'] },
    writer: restrictedWriter(parts.writer, writes),
    history: {
      versions: (key, namespace) => {
        const versions = parts.history.versions(key, namespace);
        return (async function* () {
          access.require(agent, 'read', namespace, key);
          for await (const version of versions) {
            if (!mayRead(namespace, key)) return;
            yield version.basis === undefined
              ? version
              : { ...version, basis: access.visibleBasis(agent, version.basis) };
          }
        })();
      },
    },
    watch: (options) => {
      checkFilter(access, agent, options);
      return parts.watch(options, see);
    },
    subscribe: (listener, filter) => {
      checkFilter(access, agent, filter);
      return parts.subscribe(listener, filter, see);
    },
    transaction: (operations, options) => writes.run(options, () => parts.transaction(operations, options)),
  };
}

/** @throws {AccessDeniedError} if a filter names a namespace or a key that the agent may not read. */
function checkFilter(access: Access, agent: string, filter: WatchFilter): void {
  if (!access.isOn) return;
  const { namespace, keys } = plainFilter(filter);
  for (const name of [namespace ?? []].flat()) {
    access.requireSome(agent, 'read', name);
    for (const key of keys ?? []) access.require(agent, 'read', name, key);
  }
}

function restrictedReader(reader: Reader, access: Access, agent: string): Reader {
  const one = (key: string, namespace: string) => access.require(agent, 'read', namespace, key);
  const some = (namespace: string) => access.requireSome(agent, 'read', namespace);
  const isWhole = (namespace: string) => access.mayAll(agent, 'read', namespace);
  const may = (namespace: string, key: string) => access.may(agent, 'read', namespace, key);
  const maySee = (namespace: string) => access.maySome(agent, 'read', namespace);
  return {
    get: (key, namespace) => {
      one(key, namespace);
      return reader.get(key, namespace);
    },
    has: (key, namespace) => {
      one(key, namespace);
      return reader.has(key, namespace);
    },
    entry: (key, namespace) => {
      one(key, namespace);
      return reader.entry(key, namespace);
    },
    getMany: (keys, namespace) => {
      if (access.isOn) for (const key of keys) one(key, namespace);
      return reader.getMany(keys, namespace);
    },
    entries: (namespace) => {
      some(namespace);
      if (isWhole(namespace)) return reader.entries(namespace);
      return andThen(
        reader.entries(namespace, (key) => may(namespace, key)),
        (entries) => entries.filter(({ key }) => may(namespace, key)),
      );
    },
    keys: (namespace, options) => {
      some(namespace);
      if (isWhole(namespace)) return reader.keys(namespace, options);
      const { rest, limit } = withoutLimit('listKeys', options);
      return andThen(reader.keys(namespace, rest), (keys) => keys.filter((key) => may(namespace, key)).slice(0, limit));
    },
    keysInOrder: (namespace, options) => {
      some(namespace);
      if (isWhole(namespace)) return reader.keysInOrder(namespace, options);
      const { rest, limit } = withoutLimit('keys', options);
      return filtered(reader.keysInOrder(namespace, rest), (key) => may(namespace, key), limit);
    },
    entriesInOrder: (namespace, options) => {
      some(namespace);
      if (isWhole(namespace)) return reader.entriesInOrder(namespace, options);
      const mayKey = (key: string) => may(namespace, key);
      const { rest, limit } = withoutLimit('entries', options);
      return filtered(reader.entriesInOrder(namespace, rest, mayKey), ({ key }: Entry) => mayKey(key), limit);
    },
    namespaces: (options) => {
      if (!access.isOn) return reader.namespaces(options);
      const { rest, limit } = withoutLimit('listNamespaces', options);
      return andThen(reader.namespaces(rest), (names) => names.filter(maySee).slice(0, limit));
    },
    search: async (options) => {
      const search = plainSearch(options);
      if (search.namespace !== undefined) some(search.namespace);
      return reader.search(search, { may, maySome: maySee });
    },
  };
}

/** Returns options without their limit, which counts only what the agent may read. */
function withoutLimit<Options extends NamespaceRangeOptions | RangeOptions>(
  method: Parameters<typeof rangeOf>[0],
  options: Options | undefined,
): { readonly rest: Options | undefined; readonly limit: number } {
  const { limit } = rangeOf(method, options);
  return { rest: options && { ...options, limit: undefined }, limit };
}

/** Returns an iteration of the same kind over the first `limit` items that `keep` accepts. */
export function filtered<Item>(items: Iteration<Item>, keep: (item: Item) => boolean, limit: number): Iteration<Item> {
  if (Symbol.asyncIterator in items) return filteredLater(items, keep, limit);
  return (function* () {
    let left = limit;
    if (left === 0) return;
    for (const item of items) {
      if (!keep(item)) continue;
      yield item;
      left -= 1;
      if (left === 0) return;
    }
  })();
}

async function* filteredLater<Item>(
  items: AsyncIterable<Item>,
  keep: (item: Item) => boolean,
  limit: number,
): AsyncGenerator<Item, void, undefined> {
  let left = limit;
  if (left === 0) return;
  for await (const item of items) {
    if (!keep(item)) continue;
    yield item;
    left -= 1;
    if (left === 0) return;
  }
}

function restrictedWriter(writer: Writer, writes: RestrictedWrites): Writer {
  return {
    set: (key, value, namespace, options) => writes.run(options, () => writer.set(key, value, namespace, options)),
    setMany: (values, namespace, options) => writes.run(options, () => writer.setMany(values, namespace, options)),
    delete: (key, namespace, options) => writes.run(options, () => writer.delete(key, namespace, options)),
    touch: (key, namespace, options) => writes.run(options, () => writer.touch(key, namespace, options)),
    increment: (key, by, namespace, options) =>
      writes.run(options, () => writer.increment(key, by, namespace, options)),
    append: (value, namespace, options) => writes.run(options, () => writer.append(value, namespace, options)),
    batch: (operations, namespace, options) => writes.run(options, () => writer.batch(operations, namespace, options)),
    update: (key, change, namespace, options) =>
      writes.run(options, () => writer.update(key, change, namespace, options), { namespace, key }),
    getOrSet: (key, make, namespace, options) =>
      writes.run(options, () => writer.getOrSet(key, make, namespace, options), { namespace, key }),
    clear: (namespace, options) => writes.run(options, () => writer.clear(namespace, options)),
    drop: (namespace, options) => writes.run(options, () => writer.drop(namespace, options)),
  };
}

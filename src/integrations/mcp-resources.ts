import type { ListResourcesResult, ReadResourceResult } from '@modelcontextprotocol/server';
import type { ContextStore, Update } from '../index.ts';
import { cursorOf, namesIn } from './mcp-pages.ts';
import { NO_NOTES, type Notes } from './mcp-readings.ts';

/** A namespace, or a key in it. */
export interface Target {
  readonly namespace: string;
  readonly key?: string;
}

const SCHEME = 'context://';
/** Resources in a page of `resources/list`. */
const PAGE = 200;

/** Returns the URI of a key, or of a namespace. */
export function uriOf({ namespace, key }: Target): string {
  const start = SCHEME + encodeURIComponent(namespace);
  return key === undefined ? start : `${start}/${encodeURIComponent(key)}`;
}

/** Returns what a URI names; `undefined` if it is no URI of a cache. */
export function targetOf(uri: string): Target | undefined {
  const [namespace = '', ...rest] = uri.startsWith(SCHEME) ? uri.slice(SCHEME.length).split('/') : [];
  if (namespace === '') return undefined;
  try {
    const named = { namespace: decodeURIComponent(namespace) };
    return rest.length === 0 ? named : { ...named, key: decodeURIComponent(rest.join('/')) };
  } catch {
    return undefined;
  }
}

/** Returns a page of the keys of all namespaces as resources. */
export async function listResources(cache: ContextStore, cursor: string | undefined): Promise<ListResourcesResult> {
  const [from, after] = namesIn(cursor, 2);
  const resources: ListResourcesResult['resources'] = [];
  let last: readonly [string, string] | undefined;
  for (const namespace of await cache.listNamespaces({ from })) {
    for await (const key of cache.keys(namespace, { after: namespace === from ? after : undefined, limit: PAGE + 1 })) {
      if (last !== undefined && resources.length === PAGE) return { resources, nextCursor: cursorOf(...last) };
      resources.push({ uri: uriOf({ namespace, key }), name: `${namespace}/${key}`, mimeType: 'application/json' });
      last = [namespace, key];
    }
  }
  return { resources };
}

/** Reads a key, or the keys of a namespace; `undefined` if the key is missing. */
export async function readResource(
  cache: ContextStore,
  uri: string,
  notes: Notes = NO_NOTES,
): Promise<ReadResourceResult | undefined> {
  const target = targetOf(uri);
  if (target === undefined) return undefined;
  const { namespace, key } = target;
  const found = key === undefined ? { keys: await cache.listKeys(namespace, { limit: PAGE }) } : undefined;
  const entry = key === undefined ? undefined : await cache.entry(key, namespace);
  if (key !== undefined) notes.shown({ namespace, key, version: entry?.version ?? 0 });
  const isWhole = key === undefined || (entry?.forgotten === undefined && entry?.sealed === undefined);
  // `get` says how a value reads of which something is forgotten or cannot be decrypted.
  const value = found ?? (isWhole ? entry?.value : await cache.get(key, namespace));
  if (value === undefined) return undefined;
  return { contents: [{ uri, mimeType: 'application/json', text: JSON.stringify(value) }] };
}

/** The updates of a namespace, while resources of it are watched. */
interface Watched {
  /** How often each URI is watched. */
  readonly uris: Map<string, number>;
  readonly stop: () => void;
}

/** The resources that a client, or several, wants to hear of. Watches each namespace that has any. */
export class WatchedResources {
  readonly #memory: () => ContextStore;
  readonly #notify: (uri: string) => void;
  readonly #watched = new Map<string, Watched>();

  /** `memory` returns the cache as the agent that subscribes may use it. */
  constructor(memory: () => ContextStore, notify: (uri: string) => void) {
    this.#memory = memory;
    this.#notify = notify;
  }

  /**
   * Watches a resource; ignores a URI that is not one of a cache.
   *
   * @throws {ContextCacheError} if the cache refuses its namespace.
   */
  add(uri: string): void {
    const { namespace } = targetOf(uri) ?? {};
    if (namespace === undefined) return;
    const { uris } = this.#watched.get(namespace) ?? this.#watch(namespace);
    uris.set(uri, (uris.get(uri) ?? 0) + 1);
  }

  /** Watches a resource no more. */
  remove(uri: string): void {
    const { namespace = '' } = targetOf(uri) ?? {};
    const watched = this.#watched.get(namespace);
    const times = watched?.uris.get(uri);
    if (watched === undefined || times === undefined) return;
    if (times > 1) return void watched.uris.set(uri, times - 1);
    watched.uris.delete(uri);
    if (watched.uris.size > 0) return;
    this.#watched.delete(namespace);
    watched.stop();
  }

  close(): void {
    for (const { stop } of this.#watched.values()) stop();
    this.#watched.clear();
  }

  #watch(namespace: string): Watched {
    const uris = new Map<string, number>();
    const stop = this.#memory().subscribe((update) => this.#take(uris, update), { namespace });
    const watched = { uris, stop };
    this.#watched.set(namespace, watched);
    return watched;
  }

  #take(uris: ReadonlyMap<string, number>, { key, keys, operation }: Update): void {
    for (const uri of uris.keys()) {
      const named = targetOf(uri)?.key;
      const isTold = named === undefined || named === key || keys?.includes(named) === true;
      if (isTold || operation === 'clear_namespace') this.#notify(uri);
    }
  }
}

import type { ListResourcesResult, ReadResourceResult } from '@modelcontextprotocol/server';
import type { ContextStore, Update } from '../index.ts';
import { cursorOf, namesIn } from './mcp-pages.ts';

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
export async function readResource(cache: ContextStore, uri: string): Promise<ReadResourceResult | undefined> {
  const target = targetOf(uri);
  if (target === undefined) return undefined;
  const { namespace, key } = target;
  const found = key === undefined ? { keys: await cache.listKeys(namespace, { limit: PAGE }) } : undefined;
  const value = key === undefined ? found : await cache.get(key, namespace);
  if (value === undefined) return undefined;
  return { contents: [{ uri, mimeType: 'application/json', text: JSON.stringify(value) }] };
}

/** The resources that a client, or several, wants to hear of. Watches the cache while there are any. */
export class WatchedResources {
  readonly #cache: ContextStore;
  readonly #notify: (uri: string) => void;
  /** How often each URI is watched, by namespace. */
  readonly #watched = new Map<string, Map<string, number>>();
  #stop: (() => void) | undefined;

  constructor(cache: ContextStore, notify: (uri: string) => void) {
    this.#cache = cache;
    this.#notify = notify;
  }

  /** Watches a resource; ignores a URI that is not one of a cache. */
  add(uri: string): void {
    const target = targetOf(uri);
    if (target === undefined) return;
    const known = this.#watched.get(target.namespace);
    const uris = known ?? new Map<string, number>();
    uris.set(uri, (uris.get(uri) ?? 0) + 1);
    if (known !== undefined) return;
    this.#watched.set(target.namespace, uris);
    try {
      this.#subscribe();
    } catch (error) {
      // A namespace that the cache refuses must not be asked for with every later subscription.
      this.#watched.delete(target.namespace);
      throw error;
    }
  }

  /** Watches a resource no more. */
  remove(uri: string): void {
    const { namespace = '' } = targetOf(uri) ?? {};
    const uris = this.#watched.get(namespace);
    const times = uris?.get(uri);
    if (uris === undefined || times === undefined) return;
    if (times > 1) return void uris.set(uri, times - 1);
    uris.delete(uri);
    if (uris.size > 0) return;
    this.#watched.delete(namespace);
    this.#subscribe();
  }

  close(): void {
    this.#watched.clear();
    this.#subscribe();
  }

  /** Subscribes to the present namespaces, before the earlier subscription ends, so that no update is missed. */
  #subscribe(): void {
    const before = this.#stop;
    const namespace = [...this.#watched.keys()];
    this.#stop =
      namespace.length === 0 ? undefined : this.#cache.subscribe((update) => this.#take(update), { namespace });
    before?.();
  }

  #take({ namespace, key, keys, operation }: Update): void {
    for (const uri of this.#watched.get(namespace)?.keys() ?? []) {
      const named = targetOf(uri)?.key;
      const isTold = named === undefined || named === key || keys?.includes(named) === true;
      if (isTold || operation === 'clear_namespace') this.#notify(uri);
    }
  }
}

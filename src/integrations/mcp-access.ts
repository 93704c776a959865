import { ContextCacheError, type ContextStore } from '../index.ts';
import { targetOf } from './mcp-resources.ts';

/** Where a request of the specification of 2026 names its client. */
const CLIENT_INFO = 'io.modelcontextprotocol/clientInfo';

/** Most agents of a connection whose readings are remembered. A client may name itself anew with each request. */
const MAX_READERS = 16;

/** A cache or a client, whose handles act as an agent. */
interface WithHandles {
  as(stamp: { readonly agent: string }, options?: { readonly basis: boolean }): ContextStore;
}

/** Remembers what the agents of a connection have read, so that their next writes carry it as their basis. */
export class Readers {
  /** Handles by agent, of a cache and of its branches. */
  readonly #handles = new WeakMap<ContextStore, Map<string, ContextStore>>();

  /** Returns a cache as an agent may use it. What is read there is remembered. */
  of(cache: ContextStore, agent: string | undefined): ContextStore {
    if (agent === undefined || !hasHandles(cache)) return cache;
    const handles = this.#handles.get(cache) ?? new Map<string, ContextStore>();
    this.#handles.set(cache, handles);
    const handle = handles.get(agent) ?? cache.as({ agent }, { basis: true });
    // The last one used is the last in the map.
    handles.delete(agent);
    handles.set(agent, handle);
    const [oldest] = handles.keys();
    if (handles.size > MAX_READERS && oldest !== undefined) handles.delete(oldest);
    return handle;
  }
}

/** Returns a cache as an agent may use it; the cache itself without an agent, and if it has no handles. */
export function memoryOf(cache: ContextStore, agent: string | undefined): ContextStore {
  return agent === undefined || !hasHandles(cache) ? cache : cache.as({ agent });
}

function hasHandles(cache: ContextStore): cache is ContextStore & WithHandles {
  return typeof (cache as Partial<WithHandles>).as === 'function';
}

/**
 * Checks that a resource may be read, and so heard of.
 *
 * @throws {ContextCacheError} (as a rejection) `ACCESS_DENIED`, `INVALID_NAME`, and the errors of the connection.
 */
export async function mustHear(memory: ContextStore, uri: string): Promise<void> {
  const target = targetOf(uri);
  if (target === undefined) return;
  const { namespace, key } = target;
  await (key === undefined ? memory.listKeys(namespace, { limit: 1 }) : memory.has(key, namespace));
}

/** Returns whether an error says that an agent has no grant. */
export function isDenied(error: unknown): boolean {
  return error instanceof ContextCacheError && error.code === 'ACCESS_DENIED';
}

/** Returns the name of the client in the metadata of a request of the specification of 2026. */
export function clientIn(envelope: unknown): string | undefined {
  return nameIn(((envelope ?? {}) as Readonly<Record<string, unknown>>)[CLIENT_INFO]);
}

/** Returns the name that a client gives itself, as the name of an agent. */
export function nameIn(client: unknown): string | undefined {
  const { name } = (client ?? {}) as { readonly name?: unknown };
  return typeof name !== 'string' || name === '' ? undefined : name.slice(0, 1_024).toWellFormed();
}

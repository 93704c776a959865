import { ContextCacheError, type ContextStore } from '../index.ts';
import { targetOf } from './mcp-resources.ts';

/** Where a request of the specification of 2026 names its client. */
const CLIENT_INFO = 'io.modelcontextprotocol/clientInfo';

/** A cache or a client, whose handles act as an agent. */
interface WithHandles {
  as(stamp: { readonly agent: string }): ContextStore;
}

/** Returns a cache as an agent may use it; the cache itself without an agent, and if it has no handles. */
export function memoryOf(cache: ContextStore, agent: string | undefined): ContextStore {
  if (agent === undefined || typeof (cache as Partial<WithHandles>).as !== 'function') return cache;
  return (cache as ContextStore & WithHandles).as({ agent });
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

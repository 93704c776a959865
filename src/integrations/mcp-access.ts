import { AccessDeniedError, AgentContextCache, type ContextStore } from '../index.ts';
import { targetOf } from './mcp-resources.ts';

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
 * Checks that an agent may hear of a resource. A client of the cache leaves that to the server.
 *
 * @throws {AccessDeniedError}
 */
export function mustHear(cache: ContextStore, agent: string | undefined, uri: string): void {
  const target = targetOf(uri);
  if (target === undefined || agent === undefined || !(cache instanceof AgentContextCache)) return;
  const { namespace, key } = target;
  const keys = key === undefined ? undefined : [key];
  memoryOf(cache, agent).subscribe(() => {}, { namespace, keys })();
}

/** Returns whether an error says that an agent has no grant. */
export function isDenied(error: unknown): error is AccessDeniedError {
  return error instanceof AccessDeniedError;
}

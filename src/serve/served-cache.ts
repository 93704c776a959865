import type { ContextStore } from '../cache/context-store.ts';
import type { ContextCommand } from '../core/command.ts';
import type { Update } from '../core/update.ts';
import type { INTERNALS, Internals } from '../engine/internals.ts';
import type { LogRange } from '../engine/log-range.ts';
import type { Inspectable } from '../inspector/inspectable.ts';
import type { Difference } from '../past/difference.ts';
import type { CacheView } from '../past/view.ts';

/** A state that {@link Served.diff} compares. */
type Compared = number | Date | object;

/** What a server uses of a cache for one client, besides the reads and writes of a `ContextStore`. */
interface Answering {
  readonly [INTERNALS]: Internals;
  ask(command: ContextCommand): Promise<unknown>;
  at(position: number | Date): CacheView;
  diff(a: Compared, b: Compared, options?: { readonly namespace?: string | undefined }): Promise<Difference>;
  digest(namespace?: string): Promise<string>;
  readLog(range?: LogRange): AsyncIterable<Update>;
  synced(options?: { readonly timeoutMs?: number | undefined }): Promise<void>;
}

/** A cache as one client uses it: the whole cache, or what the agent of the client's token may do with it. */
export type ClientCache = Answering & ContextStore & Pick<Inspectable, 'inspection' | 'health'>;

/** What a server uses of the cache that it serves. */
interface Served {
  /** Returns the cache as an agent may use it. */
  forAgent(agent: string): ClientCache;
  shutdown(options?: { readonly timeoutMs?: number }): Promise<unknown>;
}

/**
 * Everything a server uses of a cache. `AgentContextCache` has it; each member behaves as the method of the same name there.
 * A type of its own, because that class can share a directory, for which it needs the server.
 */
export type ServedCache = Answering & Served & ContextStore & Inspectable;

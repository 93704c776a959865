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

/** What a server uses of a cache besides the reads and writes of a `ContextStore`. */
interface Served {
  readonly [INTERNALS]: Internals;
  ask(command: ContextCommand): Promise<unknown>;
  at(position: number | Date): CacheView;
  diff(a: Compared, b: Compared, options?: { readonly namespace?: string | undefined }): Promise<Difference>;
  digest(namespace?: string): Promise<string>;
  readLog(range?: LogRange): AsyncIterable<Update>;
  shutdown(options?: { readonly timeoutMs?: number }): Promise<unknown>;
  synced(options?: { readonly timeoutMs?: number | undefined }): Promise<void>;
}

/**
 * Everything a server uses of a cache. `AgentContextCache` has it; each member behaves as the method of the same name there.
 * A type of its own, because that class can share a directory, for which it needs the server.
 */
export type ServedCache = Served & ContextStore & Inspectable;

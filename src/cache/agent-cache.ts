import type { BaseContextCache } from '../backends/base-context-cache.ts';
import type { ContextCommand } from '../core/command.ts';
import type { Entry } from '../core/namespace-state.ts';
import type { AnyNamespaces } from '../core/namespace-types.ts';
import type { Update } from '../core/update.ts';
import type { Access } from '../engine/access.ts';
import type { CacheHealth } from '../engine/health.ts';
import type { Inspection } from '../engine/inspection.ts';
import { INTERNALS, type Internals } from '../engine/internals.ts';
import type { LogRange } from '../engine/log-range.ts';
import type { Difference } from '../past/difference.ts';
import type { DifferenceOptions } from '../past/difference-options.ts';
import type { PositionOrDate } from '../past/history.ts';
import { type CacheView, viewFor } from '../past/view.ts';
import { CacheMethods } from './cache-methods.ts';
import type { MethodParts } from './method-parts.ts';
import { restrictedHealth } from './restricted-commands.ts';
import { RestrictedWrites } from './restricted-writes.ts';
import { stampedParts } from './stamping-writer.ts';
import type { WaitOptions } from './types.ts';

/** The members of a cache that an {@link AgentCache} restricts, besides those that handles have. */
export interface OwnedCache {
  readonly [INTERNALS]: Internals;
  readonly inspection: Inspection;
  at(position: number | Date): CacheView;
  diff(a: PositionOrDate, b: PositionOrDate, options?: DifferenceOptions): Promise<Difference>;
  digest(namespace?: string): Promise<string>;
  health(): CacheHealth;
  readLog(options?: LogRange): AsyncGenerator<Update>;
  synced(options?: WaitOptions): Promise<void>;
}

/** The members of `inspection` that show no data of others. */
const SHOWN: ReadonlySet<PropertyKey> = new Set<keyof Inspection>(['log', 'limits', 'clock', 'onShutdown', 'begin']);

/**
 * A cache as one agent uses it: what a server gives to the bearer of an agent's token. While the cache has grants, every member
 * is restricted to them. Members of `inspection`, and commands, need `admin: true` unless they are listed as harmless, so that a
 * new one is closed until it is opened.
 */
export class AgentCache extends CacheMethods<AnyNamespaces, BaseContextCache> {
  readonly agent: string;
  readonly #cache: OwnedCache;
  readonly #ask: MethodParts['ask'];
  readonly #access: Access;
  readonly #internals: Internals;

  constructor(cache: OwnedCache, parts: MethodParts, agent: string) {
    // The context of the serving program is not that of its clients.
    super({ ...parts, agent, stamp: undefined, wraps: [(inner) => stampedParts(inner, () => ({ agent }))] });
    this.agent = agent;
    this.#cache = cache;
    this.#ask = parts.restrict?.(parts, agent).ask ?? parts.ask;
    const { access } = cache[INTERNALS].parts;
    this.#access = access;
    const writes = new RestrictedWrites(access, agent, parts.guard);
    this.#internals = {
      ...cache[INTERNALS],
      restricted: { admit: (command) => writes.named(command), concealed: (error) => writes.concealed(error) },
    };
  }

  get [INTERNALS](): Internals {
    return this.#internals;
  }

  /** @throws {AccessDeniedError} by every member that shows or changes what is not this agent's. */
  get inspection(): Inspection {
    const { inspection } = this.#cache;
    if (this.#access.isAdmin(this.agent)) return inspection;
    return new Proxy(inspection, {
      get: (target, name) => {
        if (!SHOWN.has(name)) this.#access.requireAdmin(this.agent, `inspection.${String(name)}`);
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
  }

  async ask(command: ContextCommand): Promise<unknown> {
    return this.#ask(command);
  }

  at(position: number | Date): CacheView {
    return viewFor(this.#cache.at(position), { agent: this.agent, access: this.#access });
  }

  async diff(a: PositionOrDate, b: PositionOrDate, options: DifferenceOptions = {}): Promise<Difference> {
    const { namespace: only } = options;
    if (only !== undefined) this.#access.requireSome(this.agent, 'read', only);
    const { added, changed, removed } = await this.#cache.diff(a, b, options);
    const may = ({ namespace, key }: Entry) => this.#access.may(this.agent, 'read', namespace, key);
    return {
      added: added.filter(may),
      changed: changed.filter(({ after }) => may(after)),
      removed: removed.filter(may),
    };
  }

  async digest(namespace?: string): Promise<string> {
    if (namespace === undefined) this.#access.requireEverything(this.agent, 'read', 'digest');
    else this.#access.requireAll(this.agent, 'read', namespace);
    return this.#cache.digest(namespace);
  }

  async *readLog(range: LogRange = {}): AsyncGenerator<Update> {
    const { namespace } = range;
    if (namespace !== undefined) this.#access.requireSome(this.agent, 'read', namespace);
    for await (const update of this.#cache.readLog(range)) {
      const seen = this.#access.visible(this.agent, update);
      if (seen !== undefined) yield seen;
    }
  }

  health(): CacheHealth {
    return restrictedHealth(this.#access, this.agent, this.#cache.health());
  }

  async synced(options?: WaitOptions): Promise<void> {
    await this.#cache.synced(options);
  }
}

import type { Clock } from '../../core/clock.ts';
import { ContextCacheError } from '../../core/errors.ts';
import { TimeSlice } from '../../core/time-slice.ts';
import type { FollowerHealth } from '../../followers/follower.ts';
import type { TreePage } from '../data-protocol.ts';
import type { Inspectable } from '../inspectable.ts';
import type { Actor, ActorList } from '../protocol.ts';
import type { NamespaceIndex, NamespaceList, NamespaceOrder } from './namespace-index.ts';
import type { TreeQuery } from './sorted-names.ts';

const NAMESPACE = 'namespace:';
const FOLLOWER = 'follower:';

/** A choice of namespaces' actors. */
export interface ActorsQuery {
  /** Part of the name; empty: all. */
  readonly q: string;
  readonly status: Actor['status'] | undefined;
  readonly sort: NamespaceOrder | 'name';
  /** Number of actors to skip. */
  readonly after: number;
  readonly limit: number;
  readonly signal: AbortSignal;
}

/** Describes the actors of a cache from what the cache knows anyway: reading costs its actors nothing. */
export class Actors {
  readonly #cache: Inspectable;
  readonly #clock: Clock;
  readonly #index: NamespaceIndex;

  constructor(cache: Inspectable, clock: Clock, index: NamespaceIndex) {
    this.#cache = cache;
    this.#clock = clock;
    this.#index = index;
  }

  supervisor(): Actor {
    const { value } = this.#cache.supervisor.getSnapshot();
    const restarts = this.#cache.inspection.restarts;
    return { ...PLAIN, id: 'supervisor', kind: 'supervisor', machine: 'supervisor', state: String(value), restarts };
  }

  followers(): Actor[] {
    return this.#cache.inspection.followers().map((follower) => this.#follower(follower));
  }

  async list(query: ActorsQuery): Promise<ActorList> {
    const { after, limit } = query;
    const list = await this.#index.list();
    const names = await this.#matching(list, query);
    const found = names.slice(after, after + limit);
    const items = found.map((name) => this.#namespaceNow(name, list)).filter((actor) => actor !== undefined);
    const next = after + found.length < names.length ? String(after + found.length) : null;
    return {
      supervisor: this.supervisor(),
      followers: this.followers(),
      namespaces: { items, next, total: names.length, byStatus: list.byStatus },
    };
  }

  /** Returns the namespaces below a prefix, as groups and actors. */
  async tree(query: TreeQuery): Promise<TreePage<Actor>> {
    const list = await this.#index.list();
    const { nodes, next, total } = list.names.tree(query);
    const items = nodes.flatMap((node): TreePage<Actor>['items'] => {
      if (node.kind === 'group') return [node];
      const item = this.#namespaceNow(node.name, list);
      return item === undefined ? [] : [{ kind: 'item', label: node.label, item }];
    });
    const { position } = list;
    return { items, next, total, prefix: query.prefix, position, current: position === this.#cache.position };
  }

  /** @throws {ContextCacheError} `NOT_FOUND` if there is no actor of this id. */
  one(id: string): Actor {
    const actor = this.find(id);
    if (actor !== undefined) return actor;
    const message = `There is no actor ${JSON.stringify(id)}. Ids are supervisor, follower:NAME and namespace:NAME.`;
    throw new ContextCacheError('NOT_FOUND', message);
  }

  find(id: string): Actor | undefined {
    if (id === 'supervisor') return this.supervisor();
    if (id.startsWith(NAMESPACE)) return this.#namespaceNow(id.slice(NAMESPACE.length), this.#index.last);
    return this.followers().find((follower) => follower.id === id);
  }

  /** Returns all names if nothing narrows the choice; otherwise tests each of them, with pauses. */
  async #matching(list: NamespaceList, { q, status, sort, signal }: ActorsQuery): Promise<readonly string[]> {
    const names = await list.sortedBy(sort, this.#clock);
    if (q === '' && status === undefined) return names;
    const wanted = q.toLowerCase();
    const slice = new TimeSlice(this.#clock, signal);
    const found: string[] = [];
    for (const name of names) {
      const isOf = status === undefined || list.infos.get(name)?.status === status;
      if (isOf && name.toLowerCase().includes(wanted)) found.push(name);
      if (slice.over) await slice.pause();
    }
    return found;
  }

  #follower(follower: FollowerHealth): Actor {
    const { name, attempts, lag, lastError } = follower;
    const id = FOLLOWER + name;
    const { value } = this.#cache.inspection.actor(id)?.getSnapshot() ?? {};
    const state = typeof value === 'string' ? value : null;
    return {
      ...PLAIN,
      ...{ id, state, follower, kind: 'follower', machine: 'follower' },
      ...{ restarts: attempts, waiting: lag, lastError: lastError ?? null },
    };
  }

  #namespaceNow(name: string, list: NamespaceList | undefined): Actor | undefined {
    const info = this.#cache.inspection.namespace(name);
    if (info === undefined) return undefined;
    const { status, state, version, position, keys, bytes, crashes, lastError, waiting } = info;
    const walked = list?.infos.get(name);
    return {
      ...PLAIN,
      ...{ id: NAMESPACE + name, kind: 'namespace', machine: 'namespace', status, waiting, restarts: crashes },
      state: status === 'passivated' ? 'passivated' : (state ?? null),
      lastError: lastError ?? null,
      load: walked === undefined ? null : (list?.load(walked) ?? null),
      namespace: { name, version, position, keys, bytes },
    };
  }
}

const PLAIN = {
  status: 'resident',
  restarts: 0,
  lastError: null,
  waiting: 0,
  load: null,
  namespace: null,
  follower: null,
} as const;

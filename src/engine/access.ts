import { AccessDeniedError, type Denied } from '../core/access-denied.ts';
import type { Basis } from '../core/basis.ts';
import { narrowed } from '../core/cleared-keys.ts';
import type { Clock } from '../core/clock.ts';
import { isEqual } from '../core/equal.ts';
import { ContextCacheError } from '../core/errors.ts';
import {
  checkAgent,
  checkedGrant,
  checkedGrants,
  EVERY_AGENT,
  type Grant,
  Grants,
  MAX_GRANTS,
} from '../core/grants.ts';
import { checkName, DEFAULT_NAMESPACE } from '../core/names.ts';
import type { Request } from '../core/request.ts';
import type { Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import type { ConfigStore } from '../storage/config-store.ts';
import type { Sequencer } from './sequencer.ts';

/** A refusal: who tried what, and when. */
export interface Denial extends Denied {
  /** Epoch milliseconds. */
  readonly at: number;
}

/** The grants of a cache in numbers, and what was refused. */
export interface AccessHealth {
  /** Number of grants. 0: every agent may do everything. */
  readonly grants: number;
  /** Refusals with `ACCESS_DENIED` since the cache was opened. */
  readonly denied: number;
  /** The last 20 refusals, newest first. */
  readonly recent: readonly Denial[];
}

/** Refusals that are remembered. */
const RECENT = 20;
/** The setting that stores the grants. In a cluster, `true` or `false`: whether they are in force. */
export const GRANTS = 'grants';
/** Start of the name of the setting that holds the grant of one agent in a cluster. */
export const GRANT = 'grant/';
/** Gives no right, and keeps every agent from having all of them. */
const NOTHING: readonly Grant[] = Object.freeze([{ agent: EVERY_AGENT }]);

type DataAction = 'read' | 'write';

/** The dependencies of {@link Access}. */
export interface AccessOptions {
  readonly config: ConfigStore;
  readonly clock: Pick<Clock, 'now'>;
  readonly options: {
    /** Grants of the `open` option. They replace the stored ones. */
    readonly grants?: readonly Grant[] | undefined;
    /** The judge of the parent. Its grants hold until this cache is given its own. */
    readonly parentAccess?: Access | undefined;
  };
  /** Changes settings on all nodes of a cluster; `undefined` without one. */
  readonly sequencer: Pick<Sequencer, 'configure'> | undefined;
}

/**
 * The one judge of what agents may do: every method of a handle, every command, and every transport asks it. Without grants it
 * allows everything, at the cost of one comparison.
 */
export class Access {
  readonly #config: ConfigStore;
  readonly #clock: AccessOptions['clock'];
  readonly #sequencer: AccessOptions['sequencer'];
  #own: Grants | undefined;
  #parent: Access | undefined;
  /** `true` if the grants are those of all nodes of a cluster. */
  #isShared = false;
  /** The changes of a cluster's grants that are not in force yet. Never rejects. */
  #changes: Promise<void> = Promise.resolve();
  #denied = 0;
  #recent: Denial[] = [];

  /** @throws {ContextCacheError} `INVALID_OPTION` if the grants, given or stored, are invalid: a cache never opens without them. */
  constructor({ config, clock, sequencer, options: { grants, parentAccess } }: AccessOptions) {
    this.#config = config;
    this.#clock = clock;
    this.#sequencer = sequencer;
    if (grants === undefined && parentAccess !== undefined) {
      this.#parent = parentAccess;
      return;
    }
    this.#take(grants ?? ((config.get(GRANTS) ?? []) as unknown as readonly Grant[]));
    // A data directory has stored them before it was opened, and a cluster is told when the node has joined it.
    if (grants !== undefined && sequencer === undefined && !isEqual(this.list, config.get(GRANTS))) void this.#store();
  }

  get #grants(): Grants | undefined {
    return this.#parent === undefined ? this.#own : this.#parent.#grants;
  }

  /** `false` without grants: then everything is allowed. */
  get isOn(): boolean {
    return this.#grants !== undefined;
  }

  /** The grants in force. */
  get list(): readonly Grant[] {
    return this.#grants?.list ?? [];
  }

  /** Replaces all grants. Resolves when they are stored; they are in force at once, on a node of a cluster once they are ordered. */
  async set(grants: readonly Grant[]): Promise<void> {
    const checked = checkedGrants(grants);
    if (this.#sequencer !== undefined) return this.#inTurn(() => this.#share(checked));
    this.#take(checked);
    await this.#store();
  }

  /**
   * Takes in the grants that all nodes of a cluster have. Without any, agents have no rights if grants are in force: two nodes
   * have removed the last two at once.
   */
  adopt(grants: readonly Grant[], isOn: boolean): void {
    // Two nodes that add the last ones at once may exceed the maximum. Those too many give no rights.
    const next = grants.length === 0 && isOn ? NOTHING : grants.slice(0, MAX_GRANTS);
    this.#isShared = true;
    // What is known of each namespace stays known.
    if (!isEqual(this.list, next)) this.#take(next);
  }

  /** Adds a grant, or replaces that of the same agent. */
  async add(grant: Grant): Promise<void> {
    const checked = checkedGrant(grant);
    const added = () => checkedGrants([...this.list.filter(({ agent }) => agent !== checked.agent), checked]);
    const sequencer = this.#sequencer;
    if (sequencer === undefined) return this.set(added());
    await this.#inTurn(async () => {
      const grants = added();
      if (!this.#isShared) return this.#share(grants);
      await Promise.all([sequencer.configure(GRANTS, true), sequencer.configure(settingOf(checked), plain(checked))]);
    });
  }

  /**
   * Removes the grant of an agent.
   *
   * @throws {ContextCacheError} `NOT_FOUND` if it has none; `INVALID_OPTION` if it is the last one.
   */
  async remove(agent: string): Promise<void> {
    checkAgent(agent);
    if (this.#sequencer === undefined) return this.set(this.#without(agent));
    await this.#inTurn(() => this.#share(this.#without(agent)));
  }

  #without(agent: string): readonly Grant[] {
    const left = this.list.filter((grant) => grant.agent !== agent);
    if (left.length === this.list.length)
      throw new ContextCacheError('NOT_FOUND', `Agent ${JSON.stringify(agent)} has no grant. List them first.`);
    if (left.length === 0) {
      const message =
        'This is the last grant, and without grants every agent may do everything. Set an empty list for that.';
      throw new ContextCacheError('INVALID_OPTION', message);
    }
    return left;
  }

  /**
   * Changes the grants on all nodes. Each agent's is a setting of its own, so that nodes which change those of several agents at
   * once do not undo each other's changes. Adds before it removes, so that agents are never without grants in between.
   */
  async #share(grants: readonly Grant[]): Promise<void> {
    const list = this.#isShared ? this.list : [];
    const before = new Map(list.map((grant) => [grant.agent, grant]));
    const kept = new Set(grants.map(({ agent }) => agent));
    const changes: [name: string, value: JsonValue][] = [
      [GRANTS, grants.length > 0],
      ...grants
        .filter((grant) => !isEqual(before.get(grant.agent), grant))
        .map((grant): [string, JsonValue] => [settingOf(grant), plain(grant)]),
      ...list.filter(({ agent }) => !kept.has(agent)).map((grant): [string, JsonValue] => [settingOf(grant), null]),
    ];
    await Promise.all(changes.map(([name, value]) => this.#sequencer?.configure(name, value)));
  }

  /** Makes a change after those that were asked for before it, so that it starts from what they have left. */
  #inTurn(change: () => Promise<void>): Promise<void> {
    const done = this.#changes.then(change);
    this.#changes = done.catch(() => {});
    return done;
  }

  may(agent: string, action: DataAction, namespace: string, key: string): boolean {
    return this.#grants?.may(agent, action, namespace, key) ?? true;
  }

  /** Returns whether there may be a key of the namespace to which the agent has the right. */
  maySome(agent: string, action: DataAction, namespace: string): boolean {
    return this.#grants?.maySome(agent, action, namespace) ?? true;
  }

  mayAll(agent: string, action: DataAction, namespace: string): boolean {
    return this.#grants?.mayAll(agent, action, namespace) ?? true;
  }

  isAdmin(agent: string): boolean {
    return this.#grants?.isAdmin(agent) ?? true;
  }

  /** Returns what an agent may see of an update, or of what a `clear` did to one key; `undefined`: nothing. */
  visible<Seen extends Update>(agent: string, update: Seen): Seen | undefined {
    const { namespace, key, operation, basis } = update;
    if (this.#grants === undefined) return update;
    const mayRead = (each: string) => this.may(agent, 'read', namespace, each);
    let seen: Seen | undefined = update;
    if (operation === 'clear' && key === null) seen = narrowed(update, mayRead) as Seen | undefined;
    else if (key === null ? !this.maySome(agent, 'read', namespace) : !mayRead(key)) return undefined;
    return seen === undefined || basis === undefined ? seen : { ...seen, basis: this.visibleBasis(agent, basis) };
  }

  /** Returns the readings of what the agent may read itself. */
  visibleBasis(agent: string, basis: Basis): Basis {
    return basis.filter((reading) => {
      if ('position' in reading) return true;
      const { namespace = DEFAULT_NAMESPACE } = reading;
      return 'key' in reading
        ? this.may(agent, 'read', namespace, reading.key)
        : this.mayPrefix(agent, namespace, reading.prefix ?? '');
    });
  }

  /** Returns whether the agent may read every key with a prefix. */
  mayPrefix(agent: string, namespace: string, prefix: string): boolean {
    return this.#grants?.mayPrefix(agent, 'read', namespace, prefix) ?? true;
  }

  /**
   * Checks the names too, because a transport may pass anything: an invalid name is refused as it is without grants.
   *
   * @throws {AccessDeniedError} unless the agent may do it with this key.
   * @throws {ContextCacheError} `INVALID_NAME`.
   */
  require(agent: string, action: DataAction, namespace: string, key: string): void {
    if (this.#grants === undefined) return;
    checkName('namespace', namespace);
    checkName('key', key);
    if (!this.#grants.may(agent, action, namespace, key)) this.deny({ agent, action, namespace, key });
  }

  /** @throws {AccessDeniedError} unless there may be a key of the namespace with which the agent may do it. */
  requireSome(agent: string, action: DataAction, namespace: string): void {
    if (this.#grants === undefined) return;
    checkName('namespace', namespace);
    if (!this.#grants.maySome(agent, action, namespace)) this.deny({ agent, action, namespace });
  }

  /** @throws {AccessDeniedError} unless the agent may do it with every key of the namespace. */
  requireAll(agent: string, action: DataAction, namespace: string): void {
    if (this.#grants === undefined) return;
    checkName('namespace', namespace);
    if (!this.#grants.mayAll(agent, action, namespace)) this.deny({ agent, action, namespace });
  }

  /** @throws {AccessDeniedError} unless the agent may do it with every key of every namespace. */
  requireEverything(agent: string, action: DataAction, command: string): void {
    if (this.#grants?.mayEverything(agent, action) === false) this.deny({ agent, action, command });
  }

  /** @throws {AccessDeniedError} unless the agent may use the commands about the cache itself. */
  requireAdmin(agent: string, command: string): void {
    if (this.#grants?.isAdmin(agent) === false) this.deny({ agent, action: 'admin', command });
  }

  /** @throws {AccessDeniedError} unless the agent may make this write. A write without an agent is the owner's. */
  check({ agent, type, namespace, key, steps, ifDifferent }: Request): void {
    const grants = this.#grants;
    if (agent === null || grants === undefined) return;
    if (steps !== null) {
      // Its answer has the namespace's version.
      if (steps.length === 0 && !grants.maySome(agent, 'write', namespace)) this.requireSome(agent, 'read', namespace);
      for (const step of steps) {
        if (!step.isCheck) this.require(agent, 'write', namespace, step.key);
        if (step.isCheck || step.ifDifferent) this.require(agent, 'read', namespace, step.key);
      }
    } else if (type === 'context.drop') this.requireAll(agent, 'write', namespace);
    else if (type === 'context.clear') {
      if (key === '') this.requireAll(agent, 'write', namespace);
      else if (!grants.mayPrefix(agent, 'write', namespace, key)) this.deny({ agent, action: 'write', namespace, key });
    } else if (type === 'context.append') {
      if (!grants.mayAppend(agent, namespace, key)) this.deny({ agent, action: 'write', namespace, key });
    } else {
      this.require(agent, 'write', namespace, key);
      // Their answers tell the present value, or whether it is equal.
      if (ifDifferent || type === 'context.increment') this.require(agent, 'read', namespace, key);
    }
  }

  /** Counts a refusal and throws it. */
  deny(denied: Denied): never {
    this.#denied += 1;
    this.#recent = [{ at: this.#clock.now(), ...denied }, ...this.#recent.slice(0, RECENT - 1)];
    throw new AccessDeniedError(denied);
  }

  /** Returns the figures that the owner sees; with an agent that is no admin, only its own refusals. */
  health(agent?: string): AccessHealth {
    const { length: grants } = this.list;
    if (agent === undefined || this.isAdmin(agent)) return { grants, denied: this.#denied, recent: this.#recent };
    const recent = this.#recent.filter((denial) => denial.agent === agent);
    return { grants, denied: recent.length, recent };
  }

  #take(grants: readonly Grant[]): void {
    const next = new Grants(grants);
    this.#own = next.list.length === 0 ? undefined : next;
    this.#parent = undefined;
  }

  #store(): Promise<void> {
    return this.#config.set(GRANTS, this.list as unknown as JsonValue);
  }
}

/** Returns the name of the setting that holds a grant in a cluster. */
function settingOf({ agent }: Grant): string {
  return `${GRANT}${agent}`;
}

function plain(grant: Grant): JsonValue {
  return grant as unknown as JsonValue;
}

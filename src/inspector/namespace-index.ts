import { type AgentContextCache, type Clock, compareNames, type NamespaceInfo } from '../index.ts';
import { SortedNames } from './sorted-names.ts';
import { sortInTurns, Turns } from './turns.ts';

/** What namespaces may be sorted by besides their name: the most comes first. */
export type NamespaceOrder = 'load' | 'keys' | 'bytes' | 'restarts';

type Infos = ReadonlyMap<string, NamespaceInfo>;

/** All namespaces as they were when they were walked. */
export class NamespaceList {
  readonly names: SortedNames;
  readonly infos: Infos;
  /** When the walk began. */
  readonly at: number;
  readonly keys: number;
  readonly bytes: number;
  readonly byStatus: Readonly<Record<NamespaceInfo['status'], number>>;
  readonly #before: { readonly infos: Infos; readonly at: number } | undefined;
  readonly #sorted = new Map<NamespaceOrder, Promise<string[]>>();

  constructor(names: SortedNames, infos: Infos, at: number, before: { infos: Infos; at: number } | undefined) {
    this.names = names;
    this.infos = infos;
    this.at = at;
    this.#before = before;
    const byStatus = { resident: 0, passivated: 0, restarting: 0, failed: 0 };
    let [keys, bytes] = [0, 0];
    for (const info of infos.values()) {
      keys += info.keys;
      bytes += info.bytes;
      byStatus[info.status] += 1;
    }
    this.keys = keys;
    this.bytes = bytes;
    this.byStatus = byStatus;
  }

  /** Updates a second since the walk before; `null` where there was none. */
  load({ name, version }: NamespaceInfo): number | null {
    if (this.#before === undefined || this.at <= this.#before.at) return null;
    const earlier = this.#before.infos.get(name)?.version ?? 0;
    // Dropped and begun anew, it counts from 0.
    const updates = version >= earlier ? version - earlier : version;
    return (updates * 1_000) / (this.at - this.#before.at);
  }

  /** The most first (of names, the first); one order as long as this list is used. */
  async sortedBy(order: NamespaceOrder | 'name', clock: Clock): Promise<readonly string[]> {
    if (order === 'name') return this.names.names;
    let sorted = this.#sorted.get(order);
    if (sorted === undefined) {
      const measure = (info: NamespaceInfo) => {
        if (order === 'load') return this.load(info) ?? 0;
        return order === 'restarts' ? info.crashes : info[order];
      };
      const byMeasure = (a: NamespaceInfo, b: NamespaceInfo) => measure(b) - measure(a);
      sorted = sortInTurns([...this.infos.values()], byMeasure, new Turns(clock)).then((infos) =>
        infos.map(({ name }) => name),
      );
      this.#sorted.set(order, sorted);
    }
    return sorted;
  }
}

/** A list is good for so long, … */
const FRESH_MS = 1_000;
/** … and for so many times what it took to make, so that no more than this part of the time goes into it. */
const FRESH_FACTOR = 20;
/** A list that nobody asks for is let go of. */
const IDLE_MS = 60_000;

/** Walks the namespaces when somebody asks for them, with turns for others in between, and not too often. */
export class NamespaceIndex {
  readonly #cache: AgentContextCache;
  readonly #clock: Clock;
  #list: NamespaceList | undefined;
  #freshUntil = 0;
  #walking: Promise<NamespaceList> | undefined;
  #idle: unknown;

  constructor(cache: AgentContextCache, clock: Clock) {
    this.#cache = cache;
    this.#clock = clock;
  }

  /** The last list, however old; `undefined` where there is none yet. */
  get last(): NamespaceList | undefined {
    return this.#list;
  }

  /** A list that is not too old. */
  async list(): Promise<NamespaceList> {
    const now = this.#clock.now();
    this.#clock.clearTimeout(this.#idle);
    this.#idle = this.#clock.setTimeout(() => this.close(), IDLE_MS);
    this.#clock.unref?.(this.#idle);
    if (this.#list !== undefined && now < this.#freshUntil) return this.#list;
    this.#walking ??= this.#walk(now).finally(() => {
      this.#walking = undefined;
    });
    return this.#walking;
  }

  /** Lets go of what it holds. */
  close(): void {
    this.#clock.clearTimeout(this.#idle);
    this.#list = undefined;
  }

  async #walk(at: number): Promise<NamespaceList> {
    const turns = new Turns(this.#clock);
    const infos = new Map<string, NamespaceInfo>();
    for (const info of this.#cache.inspection.namespaces()) {
      infos.set(info.name, info);
      const turn = turns.next();
      if (turn !== undefined) await turn;
    }
    const before = this.#list;
    const sorted = await this.#sorted(infos, before, turns);
    const list = new NamespaceList(sorted, infos, at, before && { infos: before.infos, at: before.at });
    this.#list = list;
    const now = this.#clock.now();
    this.#freshUntil = now + Math.max(FRESH_MS, (now - at) * FRESH_FACTOR);
    return list;
  }

  /** Where nothing came or went, the names are in order already. */
  async #sorted(infos: Infos, before: NamespaceList | undefined, turns: Turns): Promise<SortedNames> {
    if (before !== undefined && before.infos.size === infos.size) {
      if (before.names.names.every((name) => infos.has(name))) return before.names;
    }
    return new SortedNames(await sortInTurns([...infos.keys()], compareNames, turns));
  }
}

import type { Clock } from '../../core/clock.ts';
import { sortInSlices, TimeSlice } from '../../core/time-slice.ts';
import type { NamespaceInfo } from '../../engine/inspection.ts';
import type { Inspectable } from '../inspectable.ts';
import { compareNaturally } from './natural-order.ts';
import { SortedNames } from './sorted-names.ts';

/** What namespaces may be sorted by besides their name: the most comes first. */
export type NamespaceOrder = 'load' | 'keys' | 'bytes' | 'restarts';

type Infos = ReadonlyMap<string, NamespaceInfo>;

/** What load is measured from. */
interface Mark {
  readonly infos: Infos;
  readonly at: number;
}

/** All namespaces as they were when they were walked. */
export class NamespaceList {
  readonly names: SortedNames;
  readonly infos: Infos;
  /** When the walk began, … */
  readonly at: number;
  /** … and at which position. */
  readonly position: number;
  readonly keys: number;
  readonly bytes: number;
  readonly byStatus: Readonly<Record<NamespaceInfo['status'], number>>;
  readonly #before: Mark | undefined;
  readonly #sorted = new Map<NamespaceOrder, Promise<string[]>>();

  constructor(names: SortedNames, infos: Infos, begun: { at: number; position: number }, before: Mark | undefined) {
    this.names = names;
    this.infos = infos;
    this.at = begun.at;
    this.position = begun.position;
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

  /** Updates a second since an earlier walk; `null` where there was none. */
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
      sorted = sortInSlices([...this.infos.values()], byMeasure, new TimeSlice(clock)).then((infos) =>
        infos.map(({ name }) => name),
      );
      this.#sorted.set(order, sorted);
    }
    return sorted;
  }
}

/** A list is good for so many times what it took to make, so that no more than this part of the time goes into it. */
export const FRESH_FACTOR = 20;
/** Load is measured over this at least. */
const LOAD_MS = 1_000;
/** A list that nobody asks for is let go of. */
const IDLE_MS = 60_000;

/**
 * Walks the namespaces when somebody asks for them, with turns for others in between, and not too often: of many
 * namespaces the list may be older than the last update, which its position tells.
 */
export class NamespaceIndex {
  readonly #cache: Inspectable;
  readonly #clock: Clock;
  #list: NamespaceList | undefined;
  #freshUntil = 0;
  /** The last walk that was `LOAD_MS` after the one before, and that one. */
  #mark: Mark | undefined;
  #markBefore: Mark | undefined;
  #walking: Promise<NamespaceList> | undefined;
  #idle: unknown;

  constructor(cache: Inspectable, clock: Clock) {
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
    this.#mark = undefined;
    this.#markBefore = undefined;
  }

  async #walk(at: number): Promise<NamespaceList> {
    const { position } = this.#cache;
    const slice = new TimeSlice(this.#clock);
    const infos = new Map<string, NamespaceInfo>();
    for (const info of this.#cache.inspection.namespaces()) {
      infos.set(info.name, info);
      if (slice.over) await slice.pause();
    }
    const sorted = await this.#sorted(infos, this.#list, slice);
    if (this.#mark === undefined || at - this.#mark.at >= LOAD_MS) {
      this.#markBefore = this.#mark;
      this.#mark = { infos, at };
    }
    const list = new NamespaceList(sorted, infos, { at, position }, this.#markBefore);
    this.#list = list;
    const now = this.#clock.now();
    this.#freshUntil = now + (now - at) * FRESH_FACTOR;
    return list;
  }

  /** Where nothing came or went, the names are in order already. */
  async #sorted(infos: Infos, before: NamespaceList | undefined, slice: TimeSlice): Promise<SortedNames> {
    if (before !== undefined && before.infos.size === infos.size) {
      if (before.names.names.every((name) => infos.has(name))) return before.names;
    }
    return new SortedNames(await sortInSlices([...infos.keys()], compareNaturally, slice));
  }
}

import type { Clock } from '../../core/clock.ts';
import { sortInSlices, TimeSlice } from '../../core/time-slice.ts';
import type { NamespaceInfo } from '../../engine/inspection.ts';
import type { Inspectable } from '../inspectable.ts';
import { compareNaturally } from './natural-order.ts';
import { SortedNames } from './sorted-names.ts';

/** A measure to sort namespaces by, highest first. */
export type NamespaceOrder = 'load' | 'keys' | 'bytes' | 'restarts';

type Infos = ReadonlyMap<string, NamespaceInfo>;

/** The earlier list that load is measured from. */
interface Mark {
  readonly infos: Infos;
  readonly at: number;
  readonly position: number;
}

/** All namespaces at the time of one walk. */
export class NamespaceList {
  readonly names: SortedNames;
  readonly infos: Infos;
  /** When the walk started, epoch milliseconds. */
  readonly at: number;
  /** Position at the start of the walk. */
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

  /** Returns the updates a second since the earlier walk; `null` without one. */
  load({ name, version }: NamespaceInfo): number | null {
    if (this.#before === undefined || this.at <= this.#before.at) return null;
    const earlier = this.#before.infos.get(name)?.version ?? 0;
    // After a drop versions go on above those of other namespaces, so they may grow by more than there were updates.
    const updates = Math.min(version - earlier, this.position - this.#before.position);
    return (updates * 1_000) / (this.at - this.#before.at);
  }

  /** Returns the names in this order. The order stays the same as long as this list is used. */
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

/** A list is used for this many times the duration of its walk, so that walking takes at most 1/20 of the time. */
export const FRESH_FACTOR = 20;
/** Least time that load is measured over, milliseconds. */
const LOAD_MS = 1_000;
/** An unused list is released after this time, milliseconds. */
const IDLE_MS = 60_000;

/**
 * Walks the namespaces on request, with pauses, and not too often. With very many namespaces the list may be older than
 * the last update; compare its position.
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

  /** The last list, however old; `undefined` before the first. */
  get last(): NamespaceList | undefined {
    return this.#list;
  }

  /** Returns a list that is fresh enough. */
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

  /** Releases the lists. */
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
      this.#mark = { infos, at, position };
    }
    const list = new NamespaceList(sorted, infos, { at, position }, this.#markBefore);
    this.#list = list;
    const now = this.#clock.now();
    this.#freshUntil = now + (now - at) * FRESH_FACTOR;
    return list;
  }

  /** Sorts the names, or reuses the earlier order if no namespace came or went. */
  async #sorted(infos: Infos, before: NamespaceList | undefined, slice: TimeSlice): Promise<SortedNames> {
    if (before !== undefined && before.infos.size === infos.size) {
      if (before.names.names.every((name) => infos.has(name))) return before.names;
    }
    return new SortedNames(await sortInSlices([...infos.keys()], compareNaturally, slice));
  }
}

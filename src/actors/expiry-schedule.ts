import TinyQueue from 'tinyqueue';
import type { Clock } from '../core/clock.ts';
import { compareNames } from '../core/names.ts';
import type { NamespaceRecord } from '../storage/namespace-record.ts';
import type { NamespaceRegistry } from '../storage/namespace-registry.ts';

interface Wake {
  readonly name: string;
  readonly at: number;
}

/** Number of wakes beyond twice the number of namespaces from which on superfluous wakes are discarded. */
const SPARE_WAKES = 64;

/** One timer for the expiries of all namespaces; none if nothing will expire, or if `wake` is missing: see {@link ExpirySchedule.nextDue}. */
export class ExpirySchedule {
  readonly #clock: Clock;
  readonly #wake: ((name: string, at: number) => void) | undefined;
  readonly #registry: NamespaceRegistry;
  #queue = new TinyQueue<Wake>([], earliestFirst);
  #timer: unknown;
  #timerAt = Number.POSITIVE_INFINITY;
  #stopped = false;

  constructor(clock: Clock, wake: ((name: string, at: number) => void) | undefined, registry: NamespaceRegistry) {
    this.#clock = clock;
    this.#wake = wake;
    this.#registry = registry;
  }

  /** Number of wakes. */
  get size(): number {
    return this.#queue.length;
  }

  /** Wakes the namespace at this instant. A namespace may be scheduled several times. */
  add(name: string, at: number): void {
    if (this.#stopped || at === Number.POSITIVE_INFINITY) return;
    this.#queue.push({ name, at });
    if (this.#queue.length > SPARE_WAKES + 2 * this.#registry.known) this.#tidy();
    this.#arm();
  }

  /** Time of the next wake; `Infinity` if none is scheduled. */
  get nextAt(): number {
    return this.#queue.peek()?.at ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Returns the namespace whose entries are the first to expire at `now`, by (deadline, name); `undefined` if none has any. It
   * stays the first until they are removed. A wake that came too early moves to the deadline that its namespace has,
   * so the order depends on the entries alone.
   */
  nextDue(now: number, find: (name: string) => NamespaceRecord | undefined): string | undefined {
    for (let wake = this.#queue.peek(); wake !== undefined && wake.at <= now; wake = this.#queue.peek()) {
      const record = find(wake.name);
      const at = record?.state.nextExpiryAt() ?? Number.POSITIVE_INFINITY;
      if (at <= wake.at) return wake.name;
      this.#queue.pop();
      // Otherwise the namespace has another wake.
      if (record === undefined || (record.wakeAt ?? wake.at) !== wake.at) continue;
      const expires = at !== Number.POSITIVE_INFINITY;
      record.wakeAt = expires ? at : undefined;
      if (expires) this.#queue.push({ name: wake.name, at });
    }
    return undefined;
  }

  stop(): void {
    this.#stopped = true;
    this.#clock.clearTimeout(this.#timer);
  }

  /**
   * Discards the wakes of namespaces that were dropped or have an earlier one: with a long TTL they would pile up until
   * it ends. Keeps at most one per namespace.
   */
  #tidy(): void {
    const kept = new Map<string, Wake>();
    for (const wake of this.#queue.data) {
      if (!this.#registry.isKnown(wake.name)) continue;
      const wakeAt = this.#registry.inMemory(wake.name)?.wakeAt;
      if (wakeAt !== undefined && wakeAt !== wake.at) continue;
      const other = kept.get(wake.name);
      if (other === undefined || wake.at < other.at) kept.set(wake.name, wake);
    }
    this.#queue = new TinyQueue([...kept.values()], earliestFirst);
  }

  #arm(): void {
    if (this.#wake === undefined) return;
    const next = this.#queue.peek();
    if (next === undefined || next.at >= this.#timerAt) return;
    this.#clock.clearTimeout(this.#timer);
    this.#timerAt = next.at;
    this.#timer = this.#clock.setTimeout(() => this.#fire(), Math.max(0, next.at - this.#clock.now()));
    this.#clock.unref?.(this.#timer);
  }

  #fire(): void {
    this.#timerAt = Number.POSITIVE_INFINITY;
    const now = this.#clock.now();
    for (let next = this.#queue.peek(); next !== undefined && next.at <= now; next = this.#queue.peek()) {
      this.#queue.pop();
      this.#wake?.(next.name, now);
      if (this.#stopped) return;
    }
    this.#arm();
  }
}

function earliestFirst(a: Wake, b: Wake): number {
  return a.at - b.at || compareNames(a.name, b.name);
}

import { ContextCacheError } from '../core/errors.ts';
import type { Update } from '../core/update.ts';
import type { RetentionBounds } from './retained.ts';

/** Bounds of a ring. */
export interface RingCapacity {
  /** Updates it holds at the most. Default 16,384; at least 1. */
  readonly capacityUpdates?: number | undefined;
  /** Estimated bytes it holds at the most, values and a fixed overhead for each update. Default 64 MiB; at least 1. */
  readonly capacityBytes?: number | undefined;
}

const CAPACITY_UPDATES = 16_384;
const CAPACITY_BYTES = 64 * 1024 * 1024;

/** The capacity of a ring that is to hold what retention keeps. */
export function capacityFor({
  keepUpdates = 0,
  keepBytes = 0,
  ...given
}: RingCapacity & RetentionBounds): RingCapacity {
  const { capacityUpdates = Math.max(CAPACITY_UPDATES, keepUpdates), capacityBytes } = given;
  return { capacityUpdates, capacityBytes: capacityBytes ?? Math.max(CAPACITY_BYTES, keepBytes) };
}

/** What an update takes in memory beside its value: the object, its key and its place in the ring. */
const OVERHEAD_BYTES = 256;

/** Estimated bytes of an update in memory. */
export function weigh(update: Update): number {
  return update.bytes + OVERHEAD_BYTES;
}

/** The latest committed updates, found by position. Its owner takes the oldest out while it is overfull. */
export class UpdateRing {
  readonly #capacityUpdates: number;
  readonly #capacityBytes: number;
  /** Length is a power of two: a position's slot is its low bits, because positions have no gaps. */
  #slots: (Update | undefined)[] = new Array(64).fill(undefined);
  #first: number;
  #next: number;
  #bytes = 0;

  constructor(after: number, capacity: RingCapacity) {
    this.#capacityUpdates = atLeastOne('capacityUpdates', capacity.capacityUpdates ?? CAPACITY_UPDATES);
    this.#capacityBytes = atLeastOne('capacityBytes', capacity.capacityBytes ?? CAPACITY_BYTES);
    this.#first = after + 1;
    this.#next = after + 1;
  }

  /** Oldest position here; that of the next update where it is empty. */
  get first(): number {
    return this.#first;
  }

  /** Whether something has to go. */
  get overfull(): boolean {
    const count = this.#next - this.#first;
    return count > 0 && (count > this.#capacityUpdates || this.#bytes > this.#capacityBytes);
  }

  /** Whether these fit in beside what is here, so that nothing has to go. */
  fits(updates: readonly Update[]): boolean {
    if (this.#next - this.#first + updates.length > this.#capacityUpdates) return false;
    let bytes = this.#bytes;
    for (const update of updates) bytes += weigh(update);
    return bytes <= this.#capacityBytes;
  }

  push(update: Update): void {
    if (this.#next - this.#first === this.#slots.length) this.#grow();
    this.#slots[this.#next & (this.#slots.length - 1)] = update;
    this.#next += 1;
    this.#bytes += weigh(update);
  }

  /** Takes the oldest update out. */
  shift(): Update {
    const slot = this.#first & (this.#slots.length - 1);
    const update = this.#slots[slot];
    if (update === undefined) throw new ContextCacheError('INVARIANT', 'The ring of updates is empty.');
    this.#slots[slot] = undefined;
    this.#first += 1;
    this.#bytes -= weigh(update);
    return update;
  }

  /** At most `limit` updates from position `from` (not before `first`) to `to` (inclusive). */
  slice(from: number, to: number, limit: number): Update[] {
    const end = Math.min(to + 1, this.#next, from + limit);
    const updates: Update[] = [];
    for (let position = from; position < end; position += 1) {
      const update = this.#slots[position & (this.#slots.length - 1)];
      if (update?.position !== position)
        throw new ContextCacheError('INVARIANT', `The ring has lost position ${position}.`);
      updates.push(update);
    }
    return updates;
  }

  /** Makes an empty ring begin after `position`. */
  beginAfter(position: number): void {
    this.#first = position + 1;
    this.#next = position + 1;
  }

  #grow(): void {
    const slots: (Update | undefined)[] = new Array(this.#slots.length * 2).fill(undefined);
    for (const update of this.#slots) if (update !== undefined) slots[update.position & (slots.length - 1)] = update;
    this.#slots = slots;
  }
}

function atLeastOne(name: string, value: number): number {
  if (value >= 1) return value;
  throw new ContextCacheError('INVALID_OPTION', `${name} must be at least 1, not ${value}.`);
}

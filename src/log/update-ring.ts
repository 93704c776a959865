import { ContextCacheError } from '../core/errors.ts';
import { createUpdate, type Operation, type Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
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

/** The numbers of an update, beside one another. */
const NUMBERS = 6;
const VERSION = 0;
const AT = 1;
/** `Infinity`: never. */
const EXPIRES_AT = 2;
const REPLACED = 3;
const BYTES = 4;
const DROP = 5;

/**
 * The latest updates, found by position. Its owner takes the oldest out while it is overfull.
 *
 * They lie in columns: thousands of objects that live just long enough to be copied are what the garbage collector
 * likes least (measured: a third of what a `set` took). Whoever reads gets objects.
 */
export class UpdateRing {
  readonly #capacityUpdates: number;
  readonly #capacityBytes: number;
  /** Length of the columns, a power of two: a position's slot is its low bits, because positions have no gaps. */
  #length = 64;
  #namespaces: string[] = new Array(64).fill('');
  #operations: Operation[] = new Array(64).fill('set');
  #keys: (string | null)[] = new Array(64).fill(null);
  #values: JsonValue[] = new Array(64).fill(null);
  #agents: (string | null)[] = new Array(64).fill(null);
  #numbers = new Float64Array(64 * NUMBERS);
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

  push(update: Update): void {
    if (this.#next - this.#first === this.#length) this.#grow();
    const slot = this.#next & (this.#length - 1);
    this.#namespaces[slot] = update.namespace;
    this.#operations[slot] = update.operation;
    this.#keys[slot] = update.key;
    this.#values[slot] = update.value;
    this.#agents[slot] = update.agent;
    const numbers = this.#numbers;
    const at = slot * NUMBERS;
    numbers[at + VERSION] = update.version;
    numbers[at + AT] = update.at;
    numbers[at + EXPIRES_AT] = update.expiresAt ?? Number.POSITIVE_INFINITY;
    numbers[at + REPLACED] = update.replaced;
    numbers[at + BYTES] = update.bytes;
    numbers[at + DROP] = update.drop ? 1 : 0;
    this.#next += 1;
    this.#bytes += update.bytes + OVERHEAD_BYTES;
  }

  /** Lets the oldest update go. */
  drop(): void {
    if (this.#next === this.#first) throw new ContextCacheError('INVARIANT', 'The ring of updates is empty.');
    const slot = this.#first & (this.#length - 1);
    this.#values[slot] = null;
    this.#first += 1;
    this.#bytes -= (this.#numbers[slot * NUMBERS + BYTES] as number) + OVERHEAD_BYTES;
  }

  /** The update at a position that is here. */
  at(position: number): Update {
    if (!(position >= this.#first && position < this.#next)) {
      throw new ContextCacheError('INVARIANT', `The ring has lost position ${position}.`);
    }
    const slot = position & (this.#length - 1);
    const numbers = this.#numbers;
    const at = slot * NUMBERS;
    const expiresAt = numbers[at + EXPIRES_AT] as number;
    const update = createUpdate(
      this.#namespaces[slot] as string,
      numbers[at + VERSION] as number,
      this.#operations[slot] as Operation,
      this.#keys[slot] as string | null,
      this.#values[slot] as JsonValue,
      numbers[at + AT] as number,
      this.#agents[slot] as string | null,
      expiresAt === Number.POSITIVE_INFINITY ? null : expiresAt,
      numbers[at + REPLACED] as number,
      numbers[at + DROP] === 1,
      numbers[at + BYTES] as number,
    );
    update.position = position;
    return update;
  }

  /** At most `limit` updates from position `from` (not before `first`) to `to` (inclusive). */
  slice(from: number, to: number, limit: number): Update[] {
    const end = Math.min(to + 1, this.#next, from + limit);
    const updates: Update[] = [];
    for (let position = from; position < end; position += 1) updates.push(this.at(position));
    return updates;
  }

  /** Makes an empty ring begin after `position`. */
  beginAfter(position: number): void {
    this.#first = position + 1;
    this.#next = position + 1;
  }

  #grow(): void {
    const before = this.#length;
    this.#length = before * 2;
    // A slot that has one more bit now goes up by the old length or stays: both halves begin as copies.
    this.#namespaces = this.#namespaces.concat(this.#namespaces);
    this.#operations = this.#operations.concat(this.#operations);
    this.#keys = this.#keys.concat(this.#keys);
    this.#values = this.#values.concat(this.#values);
    this.#agents = this.#agents.concat(this.#agents);
    const numbers = new Float64Array(this.#length * NUMBERS);
    numbers.set(this.#numbers);
    numbers.set(this.#numbers, before * NUMBERS);
    this.#numbers = numbers;
    for (let position = this.#first; position < this.#next; position += 1) {
      this.#values[(position & (this.#length - 1)) ^ before] = null;
    }
  }
}

function atLeastOne(name: string, value: number): number {
  if (value >= 1) return value;
  throw new ContextCacheError('INVALID_OPTION', `${name} must be at least 1, not ${value}.`);
}

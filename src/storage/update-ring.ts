import { type Basis, charactersOf } from '../core/basis.ts';
import { ContextCacheError } from '../core/errors.ts';
import { MAX_META_BYTES, type Meta } from '../core/meta.ts';
import { createUpdate, OPERATIONS, type Operation, type Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import type { RetentionBounds } from './retained.ts';

/** Bounds of a ring. */
export interface RingCapacity {
  /** Greatest number of updates in the ring. Default 16,384; at least 1. */
  readonly capacityUpdates?: number | undefined;
  /**
   * Greatest number of estimated bytes in the ring: values plus a fixed overhead for each update. Default 64 MiB; at
   * least 1.
   */
  readonly capacityBytes?: number | undefined;
}

const CAPACITY_UPDATES = 16_384;
const CAPACITY_BYTES = 64 * 1024 * 1024;

/** Returns the capacity of a ring that can hold everything that retention keeps. */
export function capacityFor({
  keepUpdates = 0,
  keepBytes = 0,
  ...given
}: RingCapacity & RetentionBounds): RingCapacity {
  const { capacityUpdates = Math.max(CAPACITY_UPDATES, keepUpdates), capacityBytes } = given;
  return { capacityUpdates, capacityBytes: capacityBytes ?? Math.max(CAPACITY_BYTES, keepBytes) };
}

/** Bytes that an update takes in memory beside its value: the object, its key if it is short, and its slot in the ring. */
const OVERHEAD_BYTES = 256;
/** Length up to which the overhead includes a key. */
const SHORT_KEY = 128;

/** Returns the estimated bytes of an update in memory. A `meta` counts as large as it may be. */
export function weigh({ bytes, key, meta, basis }: Pick<Update, 'bytes' | 'key' | 'meta' | 'basis'>): number {
  const more = key !== null && key.length > SHORT_KEY ? key.length : 0;
  const read = basis === undefined ? 0 : weightOf(basis);
  return bytes + OVERHEAD_BYTES + more + (meta === undefined ? 0 : MAX_META_BYTES) + read;
}

/** Bytes that a reading of a basis takes in memory beside its texts. */
const READING_BYTES = 64;

function weightOf(basis: Basis): number {
  return basis.reduce((sum, reading) => sum + READING_BYTES + charactersOf(reading), 0);
}

/** Columns that one array holds for each update: namespace, key and value or keys; and four numbers. */
const VALUES = 3;
const NUMBERS = 4;

/** Added to the number of the operation if the update drops the namespace. */
const DROP = 8;
/** Added if the update begins a namespace above version 1. */
const BEGINS = 16;

/**
 * The latest updates, found by position. The owner drops the oldest one while the ring is overfull.
 *
 * Stores updates in columns and builds objects only for readers. Thousands of objects that live just long enough to be
 * promoted are the worst case for the garbage collector (measured: a third of the time of a `set`).
 */
export class UpdateRing {
  readonly #capacityUpdates: number;
  readonly #capacityBytes: number;
  /** Length of the columns, a power of two. Positions have no gaps, so the slot of a position is its low bits. */
  #length = 64;
  /** Namespace, key, and the value, or the keys of a `clear`. */
  #values: JsonValue[] = new Array(64 * VALUES).fill(null);
  /** Version, instant, replaced version, bytes. */
  #numbers = new Float64Array(64 * NUMBERS);
  #kinds = new Uint8Array(64);
  /** Allocated with the first update that names an agent. */
  #agents: (string | null)[] | undefined;
  /** Allocated with the first update that has a `meta`, or an operation id. */
  #metas: (Meta | undefined)[] | undefined;
  #operationIds: (string | undefined)[] | undefined;
  /** Allocated with the first update that has the hash of its command. */
  #commandHashes: (number | undefined)[] | undefined;
  /** Allocated with the first update that has a basis. */
  #bases: (Basis | undefined)[] | undefined;
  /** Allocated with the first update that expires; `Infinity`: never. */
  #expiries: Float64Array | undefined;
  #first: number;
  #next: number;
  #bytes = 0;

  constructor(after: number, capacity: RingCapacity) {
    this.#capacityUpdates = atLeastOne('capacityUpdates', capacity.capacityUpdates ?? CAPACITY_UPDATES);
    this.#capacityBytes = atLeastOne('capacityBytes', capacity.capacityBytes ?? CAPACITY_BYTES);
    this.#first = after + 1;
    this.#next = after + 1;
  }

  /** Oldest position in the ring; the position of the next update if the ring is empty. */
  get first(): number {
    return this.#first;
  }

  /** `true` if the ring exceeds a bound and its oldest update must be dropped. */
  get overfull(): boolean {
    const count = this.#next - this.#first;
    return count > 0 && (count > this.#capacityUpdates || this.#bytes > this.#capacityBytes);
  }

  push(update: Update): void {
    if (this.#next - this.#first === this.#length) this.#grow();
    const slot = this.#next & (this.#length - 1);
    const values = this.#values;
    const value = slot * VALUES;
    values[value] = update.namespace;
    values[value + 1] = update.key;
    values[value + 2] = update.operation === 'clear' ? (update.keys ?? []) : update.value;
    const numbers = this.#numbers;
    const number = slot * NUMBERS;
    numbers[number] = update.version;
    numbers[number + 1] = update.at;
    numbers[number + 2] = update.replaced;
    numbers[number + 3] = update.bytes;
    this.#kinds[slot] = kindOf(update);
    if (this.#agents !== undefined || update.agent !== null) this.#setAgent(slot, update.agent);
    if (this.#metas !== undefined || update.meta !== undefined) this.#setMeta(slot, update.meta);
    if (this.#operationIds !== undefined || update.operationId !== undefined) this.#setOperationId(slot, update);
    if (this.#bases !== undefined || update.basis !== undefined) this.#setBasis(slot, update.basis);
    if (this.#expiries !== undefined || update.expiresAt !== null) this.#setExpiry(slot, update.expiresAt);
    this.#next += 1;
    this.#bytes += weigh(update);
  }

  /** Drops the oldest update. */
  drop(): void {
    if (this.#next === this.#first) throw new ContextCacheError('INVARIANT', 'The ring of updates is empty.');
    const slot = this.#first & (this.#length - 1);
    const key = this.#values[slot * VALUES + 1] as string | null;
    // A long key is as worth releasing as a value.
    this.#values[slot * VALUES + 1] = null;
    this.#values[slot * VALUES + 2] = null;
    this.#first += 1;
    const meta = this.#metas?.[slot];
    const basis = this.#bases?.[slot];
    this.#bytes -= weigh({ bytes: this.#numbers[slot * NUMBERS + 3] as number, key, meta, basis });
    if (meta !== undefined && this.#metas !== undefined) this.#metas[slot] = undefined;
    if (basis !== undefined && this.#bases !== undefined) this.#bases[slot] = undefined;
  }

  /** Returns the update at a position that is in the ring. */
  at(position: number): Update {
    if (!(position >= this.#first && position < this.#next)) {
      throw new ContextCacheError('INVARIANT', `The ring of updates does not hold position ${position}.`);
    }
    const slot = position & (this.#length - 1);
    const values = this.#values;
    const value = slot * VALUES;
    const numbers = this.#numbers;
    const number = slot * NUMBERS;
    const kind = this.#kinds[slot] as number;
    const operation = OPERATIONS[kind & (DROP - 1)] as Operation;
    const isClear = operation === 'clear';
    const content = values[value + 2] as JsonValue;
    const expiresAt = this.#expiries?.[slot] ?? Number.POSITIVE_INFINITY;
    const update = createUpdate({
      namespace: values[value] as string,
      version: numbers[number] as number,
      operation,
      key: values[value + 1] as string | null,
      value: isClear ? null : content,
      at: numbers[number + 1] as number,
      agent: this.#agents?.[slot] ?? null,
      expiresAt: expiresAt === Number.POSITIVE_INFINITY ? null : expiresAt,
      replaced: numbers[number + 2] as number,
      drop: (kind & DROP) !== 0,
      bytes: numbers[number + 3] as number,
      begins: kind >= BEGINS ? true : undefined,
      keys: isClear ? (content as readonly string[]) : undefined,
      meta: this.#metas?.[slot],
      operationId: this.#operationIds?.[slot],
      commandHash: this.#commandHashes?.[slot],
      basis: this.#bases?.[slot],
    });
    update.position = position;
    return update;
  }

  /** Returns at most `limit` updates from position `from` (not before `first`) to `to` (inclusive). */
  slice(from: number, to: number, limit: number): Update[] {
    const end = Math.min(to + 1, this.#next, from + limit);
    const updates: Update[] = [];
    for (let position = from; position < end; position += 1) updates.push(this.at(position));
    return updates;
  }

  /** Makes an empty ring start after `position`. */
  beginAfter(position: number): void {
    this.#first = position + 1;
    this.#next = position + 1;
  }

  #setAgent(slot: number, agent: string | null): void {
    this.#agents ??= new Array(this.#length).fill(null);
    this.#agents[slot] = agent;
  }

  #setMeta(slot: number, meta: Meta | undefined): void {
    this.#metas ??= new Array(this.#length).fill(undefined);
    this.#metas[slot] = meta;
  }

  #setOperationId(slot: number, { operationId, commandHash }: Update): void {
    this.#operationIds ??= new Array(this.#length).fill(undefined);
    this.#operationIds[slot] = operationId;
    if (this.#commandHashes === undefined && commandHash === undefined) return;
    this.#commandHashes ??= new Array(this.#length).fill(undefined);
    this.#commandHashes[slot] = commandHash;
  }

  #setBasis(slot: number, basis: Basis | undefined): void {
    this.#bases ??= new Array(this.#length).fill(undefined);
    this.#bases[slot] = basis;
  }

  #setExpiry(slot: number, expiresAt: number | null): void {
    this.#expiries ??= new Float64Array(this.#length).fill(Number.POSITIVE_INFINITY);
    this.#expiries[slot] = expiresAt ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Doubles the columns. With one more bit a slot stays or moves up by the old length, so both halves start as copies
   * of the old columns.
   */
  #grow(): void {
    this.#length *= 2;
    this.#values = this.#values.concat(this.#values);
    this.#agents = this.#agents?.concat(this.#agents);
    this.#metas = this.#metas?.concat(this.#metas);
    this.#operationIds = this.#operationIds?.concat(this.#operationIds);
    this.#commandHashes = this.#commandHashes?.concat(this.#commandHashes);
    this.#bases = this.#bases?.concat(this.#bases);
    this.#numbers = twice(this.#numbers);
    this.#kinds = twice(this.#kinds);
    this.#expiries = this.#expiries && twice(this.#expiries);
    for (let position = this.#first; position < this.#next; position += 1) {
      this.#values[((position & (this.#length - 1)) ^ (this.#length / 2)) * VALUES + 2] = null;
    }
  }
}

function kindOf({ operation, drop, begins }: Update): number {
  const kind = operation === 'set' ? 0 : OPERATIONS.indexOf(operation);
  return kind + (drop ? DROP : 0) + (begins === true ? BEGINS : 0);
}

function twice<Numbers extends Float64Array | Uint8Array>(numbers: Numbers): Numbers {
  const both = new (numbers.constructor as new (length: number) => Numbers)(numbers.length * 2);
  both.set(numbers);
  both.set(numbers, numbers.length);
  return both;
}

function atLeastOne(name: string, value: number): number {
  if (value >= 1) return value;
  throw new ContextCacheError('INVALID_OPTION', `${name} must be at least 1, not ${value}.`);
}

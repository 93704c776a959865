import { type Basis, charactersOf, MAX_BASIS_CHARACTERS, MAX_READINGS, type Reading } from './basis.ts';
import { DEFAULT_NAMESPACE } from './names.ts';

/** Most entries that are known one by one. */
const MAX_ENTRIES = 128;
/** Most namespaces of which a range is known. */
const MAX_RANGES = 64;
/** Most characters of namespaces and keys that are known one by one, and of those of ranges. */
const MAX_CHARACTERS = 24 * 1024;

/** An entry that was read. */
interface KnownEntry {
  readonly version: number;
  /** Number of the reading. */
  readonly order: number;
}

/** Entries of a namespace that are no longer known one by one. */
interface KnownRange {
  readonly prefix: string;
  readonly from: number;
  readonly to: number;
  readonly order: number;
}

/**
 * What was read: the version of each entry. When there are too many, those of the namespace with the most become a range: the
 * start of their keys, and their lowest and highest version. Too many ranges become the position up to which anything may
 * have been read. So its size is bounded, and it never says less than what was read.
 */
export class ReadSet {
  readonly #entries = new Map<string, Map<string, KnownEntry>>();
  readonly #ranges = new Map<string, KnownRange>();
  #until = { position: 0, order: 0 };
  #count = 0;
  #characters = 0;
  #order = 0;

  /** Number of the last reading, for {@link ReadSet.forget}. */
  get order(): number {
    return this.#order;
  }

  /** Adds an entry of this version, 0 if the key was missing. `position` is the end of the log. */
  add(namespace: string, key: string, version: number, position: number): void {
    let own = this.#entries.get(namespace);
    if (own === undefined) {
      own = new Map();
      this.#entries.set(namespace, own);
    }
    if (!own.has(key)) {
      this.#count += 1;
      this.#characters += namespace.length + key.length;
    }
    this.#order += 1;
    own.set(key, { version, order: this.#order });
    if (this.#count > MAX_ENTRIES || this.#characters > MAX_CHARACTERS) this.#spill(position);
  }

  /** Forgets what was read up to the reading of this number. */
  forget(order: number): void {
    for (const [namespace, own] of this.#entries) {
      for (const [key, entry] of own) if (entry.order <= order) this.#remove(namespace, own, key);
    }
    for (const [namespace, range] of this.#ranges) if (range.order <= order) this.#ranges.delete(namespace);
    if (this.#until.order <= order) this.#until = { position: 0, order: 0 };
  }

  /** Returns what was read, oldest reading first. */
  basis(): Basis {
    const all: { readonly order: number; readonly reading: Reading }[] = [];
    for (const [namespace, own] of this.#entries) {
      for (const [key, { version, order }] of own) all.push({ order, reading: { namespace, key, version } });
    }
    for (const [namespace, { prefix, from, to, order }] of this.#ranges) {
      all.push({ order, reading: { namespace, prefix, from, to } });
    }
    const { position, order } = this.#until;
    if (position > 0) all.push({ order, reading: { position } });
    return all.sort((a, b) => a.order - b.order).map(({ reading }) => reading);
  }

  /** Turns the entries of the namespace with the most of them into a range. */
  #spill(position: number): void {
    let most: [string, Map<string, KnownEntry>] | undefined;
    for (const each of this.#entries) if (most === undefined || each[1].size > most[1].size) most = each;
    if (most === undefined) return;
    const [namespace, own] = most;
    let range = this.#ranges.get(namespace);
    for (const [key, { version, order }] of own) {
      range = joined(range, key, version, order);
      this.#remove(namespace, own, key);
    }
    if (range !== undefined) this.#ranges.set(namespace, range);
    let characters = 0;
    for (const [name, { prefix, from, to }] of this.#ranges) {
      characters += charactersOf({ namespace: name, prefix, from, to });
    }
    if (this.#ranges.size <= MAX_RANGES && characters <= MAX_CHARACTERS) return;
    this.#ranges.clear();
    this.#until = { position, order: this.#order };
  }

  #remove(namespace: string, own: Map<string, KnownEntry>, key: string): void {
    own.delete(key);
    this.#count -= 1;
    this.#characters -= namespace.length + key.length;
    if (own.size === 0) this.#entries.delete(namespace);
  }
}

function joined(range: KnownRange | undefined, key: string, version: number, order: number): KnownRange {
  if (range === undefined) return { prefix: key, from: version, to: version, order };
  return {
    prefix: commonStart(range.prefix, key),
    from: Math.min(range.from, version),
    to: Math.max(range.to, version),
    order: Math.max(range.order, order),
  };
}

function commonStart(a: string, b: string): string {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  const start = a.slice(0, length);
  // Not half of a surrogate pair.
  return start.isWellFormed() ? start : start.slice(0, -1);
}

/**
 * Returns different readings, so few that they are a valid basis: if there are too many, those of the namespaces with the most become
 * ranges, and if that does not suffice, all of them `everything`.
 */
export function joinedBasis(readings: readonly Reading[], everything: Reading): Basis {
  let { length: count } = readings;
  let characters = readings.reduce((sum, reading) => sum + charactersOf(reading), 0);
  const isBasis = () => count <= MAX_READINGS && characters <= MAX_BASIS_CHARACTERS;
  if (isBasis()) return readings;
  const byNamespace = new Map<string, Exclude<Reading, { readonly position: number }>[]>();
  for (const reading of readings) {
    if ('position' in reading) continue;
    const { namespace = DEFAULT_NAMESPACE } = reading;
    const own = byNamespace.get(namespace);
    if (own === undefined) byNamespace.set(namespace, [reading]);
    else own.push(reading);
  }
  const ranges = new Map<string, Reading>();
  for (const [namespace, own] of [...byNamespace].sort(([, a], [, b]) => b.length - a.length)) {
    if (own.length < 2) return [everything];
    const range = rangeOf(namespace, own);
    ranges.set(namespace, range);
    count -= own.length - 1;
    characters += charactersOf(range) - own.reduce((sum, reading) => sum + charactersOf(reading), 0);
    if (isBasis()) {
      const isKept = (each: Reading) => 'position' in each || !ranges.has(each.namespace ?? DEFAULT_NAMESPACE);
      return [...readings.filter(isKept), ...ranges.values()];
    }
  }
  return [everything];
}

/** Returns a range that has all readings of a namespace. */
function rangeOf(namespace: string, own: readonly Exclude<Reading, { readonly position: number }>[]): Reading {
  let range: KnownRange | undefined;
  for (const reading of own) {
    if ('key' in reading) range = joined(range, reading.key, reading.version, 0);
    else for (const version of [reading.from, reading.to]) range = joined(range, reading.prefix ?? '', version, 0);
  }
  const { prefix, from, to } = range as KnownRange;
  return { namespace, prefix, from, to };
}

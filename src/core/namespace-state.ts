import TinyQueue from 'tinyqueue';
import { compareNames } from './names.ts';
import { type EntryRecord, EntryTable } from './tables/entry-table.ts';
import type { JsonValue } from './value.ts';

export type { EntryRecord } from './tables/entry-table.ts';

/** What others may do with the entries of a namespace. */
export type Entries = Pick<
  EntryTable,
  'size' | 'has' | 'get' | 'find' | 'keys' | 'valueAt' | 'versionAt' | 'expiresAt' | typeof Symbol.iterator
>;

/** An entry as readers see it: a frozen copy. Instants are epoch milliseconds. */
export interface Entry<Value = JsonValue> {
  readonly namespace: string;
  readonly key: string;
  readonly value: Value;
  readonly version: number;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly expiresAt: number | null;
  readonly agent: string | null;
}

/** A set that grows beyond this holds everybody up while it does. */
const MET_KEYS = 50_000;

interface Deadline {
  readonly at: number;
  readonly key: string;
}

/** By key where the instants are equal, so that all who hold the same entries take them out in the same order. */
function earliestFirst(a: Deadline, b: Deadline): number {
  return a.at - b.at || compareNames(a.key, b.key);
}

/**
 * The keys of one namespace. Owned by one namespace actor and changed by `apply` only; everybody else reads.
 */
export class NamespaceState {
  readonly name: string;
  /** Number of updates so far. */
  version = 0;
  /** Position of the last update. */
  position = 0;
  /** Estimated bytes of all values. */
  bytes = 0;
  /** Replaced, not emptied, by a clear, so that a capture may keep walking the old one. */
  #entries = new EntryTable();
  /** Earliest first; a deadline that its entry no longer has is skipped when it comes up. */
  #deadlines: TinyQueue<Deadline> | undefined;
  /** What was looked for last, until something changes: whoever decides of a key is about to apply what it decided. */
  #sought: string | undefined;
  #place = -1;
  #captures: Set<Capture> | undefined;

  constructor(name: string) {
    this.name = name;
  }

  get entries(): Entries {
    return this.#entries;
  }

  /** Version of an entry; 0 where there is none. */
  versionOf(key: string): number {
    const place = this.#entries.find(key);
    this.#sought = key;
    this.#place = place;
    return place < 0 ? 0 : this.#entries.versionAt(place);
  }

  /** Whether there is an entry that has not expired at `now`. */
  isLive(key: string, now: number): boolean {
    const place = this.#entries.find(key);
    return place >= 0 && this.#entries.expiresAt(place) > now;
  }

  /** When the next entry expires; `Infinity` where none will. */
  nextExpiryAt(): number {
    for (;;) {
      const next = this.#deadlines?.peek();
      if (next === undefined) return Number.POSITIVE_INFINITY;
      const place = this.#entries.find(next.key);
      if (place >= 0 && this.#entries.expiresAt(place) === next.at) return next.at;
      this.#deadlines?.pop();
    }
  }

  /** A key whose entry has expired at `now`, earliest first; `undefined` where there is none. */
  nextExpired(now: number): string | undefined {
    return this.nextExpiryAt() <= now ? this.#deadlines?.peek()?.key : undefined;
  }

  /** For `apply`: the value of a `set`. What was created before stays so. */
  set(
    key: string,
    value: JsonValue | undefined,
    version: number,
    at: number,
    expiresAt: number | null,
    agent: string | null,
    bytes: number,
  ): void {
    const place = key === this.#sought ? this.#place : this.#entries.find(key);
    const createdAt = place < 0 ? at : this.#entries.createdAt(place);
    this.#put(key, place, value, version, createdAt, at, expiresAt, agent, bytes);
  }

  /** For `apply`: everything of a `set` but the value. Nothing where there is no entry. */
  touch(key: string, version: number, at: number, expiresAt: number | null, agent: string | null): void {
    const entries = this.#entries;
    const place = entries.find(key);
    if (place < 0) return;
    const value = entries.valueAt(place);
    this.#put(key, place, value, version, entries.createdAt(place), at, expiresAt, agent, entries.bytesAt(place));
  }

  /** Takes an entry over as it is. */
  put(key: string, entry: EntryRecord): void {
    const { value, version, createdAt, updatedAt, expiresAt, agent, bytes } = entry;
    this.#put(key, this.#entries.find(key), value, version, createdAt, updatedAt, expiresAt, agent, bytes);
  }

  #put(
    key: string,
    place: number,
    value: JsonValue | undefined,
    version: number,
    createdAt: number,
    updatedAt: number,
    expiresAt: number | null,
    agent: string | null,
    bytes: number,
  ): void {
    const entries = this.#entries;
    this.#sought = undefined;
    const deadline = expiresAt ?? Number.POSITIVE_INFINITY;
    let before = Number.POSITIVE_INFINITY;
    if (this.#captures !== undefined) this.#record(key, place);
    if (place >= 0) {
      this.bytes -= entries.bytesAt(place);
      before = entries.expiresAt(place);
    }
    entries.set(key, place, value, version, createdAt, updatedAt, deadline, agent, bytes);
    this.bytes += bytes;
    if (deadline !== Number.POSITIVE_INFINITY && deadline !== before) this.#schedule(deadline, key);
  }

  /** For `apply`. */
  remove(key: string): void {
    const place = this.#entries.find(key);
    if (place < 0) return;
    this.#sought = undefined;
    if (this.#captures !== undefined) this.#record(key, place);
    this.bytes -= this.#entries.bytesAt(place);
    this.#entries.delete(key, place);
  }

  /** For `apply`. */
  clear(): void {
    // Open captures keep the old entries, which nobody changes any more: later changes are none of theirs.
    this.#captures = undefined;
    this.#sought = undefined;
    this.#entries = new EntryTable();
    this.bytes = 0;
    this.#deadlines = undefined;
  }

  /**
   * Freezes the state as it is now for a reader that takes its time. Costs nothing but a look per write while it is
   * open; close it.
   */
  capture(): Capture {
    const capture = new Capture(this, this.#entries, (done) => this.#release(done));
    this.#captures ??= new Set();
    this.#captures.add(capture);
    return capture;
  }

  #release(capture: Capture): void {
    this.#captures?.delete(capture);
    if (this.#captures?.size === 0) this.#captures = undefined;
  }

  #record(key: string, place: number): void {
    const previous = place < 0 ? undefined : this.#entries.recordAt(place);
    for (const capture of this.#captures ?? []) capture.take(key, previous);
  }

  /** Deadlines that were overtaken stay in the queue until they come up; past this share it is made anew. */
  #schedule(at: number, key: string): void {
    this.#deadlines ??= new TinyQueue([], earliestFirst);
    if (this.#deadlines.length > 64 && this.#deadlines.length > 2 * this.#entries.size) {
      const live: Deadline[] = [];
      for (const [name, entry] of this.#entries)
        if (entry.expiresAt !== null) live.push({ at: entry.expiresAt, key: name });
      this.#deadlines = new TinyQueue(live, earliestFirst);
    } else {
      this.#deadlines.push({ at, key });
    }
  }
}

/**
 * A namespace as it was when the capture was opened, readable while the namespace goes on: the first change of a key
 * after that leaves its earlier entry here.
 */
export class Capture {
  readonly name: string;
  readonly version: number;
  readonly position: number;
  /** How many entries there were. */
  readonly count: number;
  readonly bytes: number;
  readonly #entries: Entries;
  readonly #close: (capture: Capture) => void;
  /** What a key had before its first change; `undefined` where it was absent. */
  readonly #before = new Map<string, EntryRecord | undefined>();

  constructor(state: NamespaceState, entries: Entries, close: (capture: Capture) => void) {
    this.name = state.name;
    this.version = state.version;
    this.position = state.position;
    this.count = entries.size;
    this.bytes = state.bytes;
    this.#entries = entries;
    this.#close = close;
  }

  /** For `NamespaceState`: `key` is about to change for the first time or again. */
  take(key: string, previous: EntryRecord | undefined): void {
    if (!this.#before.has(key)) this.#before.set(key, previous);
  }

  /** The entry of that moment. */
  get(key: string): EntryRecord | undefined {
    return this.#before.has(key) ? this.#before.get(key) : this.#entries.get(key);
  }

  /**
   * Every entry of that moment, in no particular order, as slowly as the reader likes. An entry that changes after it
   * was met is met a second time, as it was.
   */
  *entries(): Generator<readonly [string, EntryRecord]> {
    // What nobody changes while it is walked stays in its place, and is met.
    for (const pair of this.#entries) if (!this.#before.has(pair[0])) yield pair;
    for (const [key, entry] of this.#before) if (entry !== undefined) yield [key, entry];
  }

  /**
   * The keys that have changed since that moment, or had until it was closed, with the entries they had then. Tells
   * nothing of what comes after a clear: see {@link sharesEntries}.
   */
  changed(): IterableIterator<readonly [string, EntryRecord | undefined]> {
    return this.#before.entries();
  }

  /** Every entry of that moment, each once, as slowly as the reader likes. */
  *entriesOnce(): Generator<readonly [string, EntryRecord]> {
    // Only what changes has to be looked for, so that sets that are not filled far (and do not grow long) will do.
    let met = new Set<string>();
    const allMet = [met];
    for (const pair of this.#entries) {
      if (this.#before.has(pair[0])) continue;
      met.add(pair[0]);
      if (met.size === MET_KEYS) {
        met = new Set();
        allMet.push(met);
      }
      yield pair;
    }
    for (const [key, entry] of this.#before) {
      if (entry !== undefined && !allMet.some((some) => some.has(key))) yield [key, entry];
    }
  }

  /** Whether no clear has come between this moment and the other one of the same namespace. */
  sharesEntries(other: Capture): boolean {
    return this.#entries === other.#entries;
  }

  close(): void {
    this.#close(this);
  }
}

/** The same in a state of its own. */
export function copyOf({ name, version, position, entries }: NamespaceState): NamespaceState {
  return filled(name, version, position, entries);
}

/** A capture in a state of its own. */
export function stateOfCapture(capture: Capture): NamespaceState {
  return filled(capture.name, capture.version, capture.position, capture.entries());
}

function filled(
  name: string,
  version: number,
  position: number,
  entries: Iterable<readonly [string, EntryRecord]>,
): NamespaceState {
  const state = new NamespaceState(name);
  for (const [key, entry] of entries) state.put(key, entry);
  state.version = version;
  state.position = position;
  return state;
}

import type { Clock } from '../core/clock.ts';
import { publicEntry } from '../core/decide.ts';
import type { Found, PlainSearch } from '../core/entry-search.ts';
import { compareNames } from '../core/names.ts';
import type { Entry, NamespaceState } from '../core/namespace-state.ts';
import { openedEntry, valueIn } from '../core/opened.ts';
import { rangeOf } from '../core/range.ts';
import { mayBeSealed, type SubjectDoor } from '../core/sealed.ts';
import { TimeSlice } from '../core/time-slice.ts';
import { testOf, type ValueTest } from '../core/where.ts';
import type { NamespaceRegistry } from '../storage/namespace-registry.ts';
import type { OrderedReader, PrimaryReads } from './ordered-reader.ts';

/** Bytes of values after which a page ends, so that an answer fits in memory and in a message. */
const PAGE_BYTES = 4 * 1024 * 1024;
/** Entries up to which a namespace is tested in one go and what fits is sorted. A larger one is read in its order. */
const AT_ONCE = 1_024;
/** Namespaces, or entries that were found, between two looks at the clock. */
const PAUSE = 256;

/** The parts that {@link EntrySearch} reads from. */
export interface SearchParts {
  readonly registry: NamespaceRegistry;
  /** The user's own primary, which keeps the values. */
  readonly primary: PrimaryReads | undefined;
  readonly ordered: OrderedReader;
  readonly clock: Clock;
  readonly subjects: SubjectDoor;
}

/**
 * Finds entries by their values, across namespaces. Tests the values where they are and creates entries only for those that
 * fit: a search of 100,000 namespaces that finds nothing takes 0.05 s of the processor, 0.3 s if each entry were created first.
 * Lets the event loop have its turn every few milliseconds, so a page shows each namespace as it was when it was reached.
 */
export class EntrySearch {
  readonly #parts: SearchParts;

  constructor(parts: SearchParts) {
    this.#parts = parts;
  }

  async page({ where, namespace, prefix, after, limit }: PlainSearch): Promise<Found> {
    const test = testOf(where) ?? (() => true);
    const page = new Page(limit);
    const slice = new TimeSlice(this.#parts.clock);
    const from = after?.namespace;
    let passed = 0;
    for (const name of await this.#names(namespace, { prefix, from })) {
      const key = name === from ? after?.key : undefined;
      const found = this.#parts.primary === undefined ? this.#search(name, key, test, page) : undefined;
      if (found !== true) await this.#readInOrder(name, key, test, page, slice);
      if (page.isFull) break;
      passed += 1;
      if (passed % PAUSE === 0 && slice.over) await slice.pause();
    }
    return page.found;
  }

  /** Returns the names of the namespaces that are searched, in order. */
  async #names(
    namespace: string | undefined,
    { prefix, from }: { readonly prefix: string | undefined; readonly from: string | undefined },
  ): Promise<Iterable<string>> {
    const { primary, registry, ordered } = this.#parts;
    if (namespace !== undefined) return from === undefined || compareNames(from, namespace) <= 0 ? [namespace] : [];
    const range = rangeOf('listNamespaces', { prefix, from });
    return primary === undefined ? registry.order.names(range) : ordered.listNamespaces(range);
  }

  /** Adds what fits in a small namespace. Returns `false` if the namespace is too large for that. */
  #search(name: string, after: string | undefined, test: ValueTest, page: Page): boolean {
    const { clock, subjects } = this.#parts;
    const state = this.#state(name);
    if (state === undefined) return true;
    const { entries } = state;
    if (entries.size > AT_ONCE) return false;
    let slots: (readonly [key: string, slot: number])[] | undefined;
    entries.visitValues((key, value, slot) => {
      if (value === undefined || !(mayBeSealed(value) || test(value))) return;
      if (after !== undefined && compareNames(key, after) <= 0) return;
      if (slots === undefined) slots = [[key, slot]];
      else slots.push([key, slot]);
    });
    if (slots === undefined) return true;
    const now = clock.now();
    const fitting: Slot[] = [];
    for (const [key, slot] of slots) {
      if (entries.expiresAt(slot) <= now) continue;
      const record = entries.recordAt(slot);
      const entry = openedEntry(subjects, publicEntry(name, key, record));
      if (!mayBeSealed(record.value) || fits(entry, test)) fitting.push({ entry, bytes: record.bytes });
    }
    fitting.sort((a, b) => compareNames(a.entry.key, b.entry.key));
    for (const { entry, bytes } of fitting) if (!page.add(entry, bytes)) break;
    return true;
  }

  /** Adds what fits in a namespace that is large, or whose values are in a primary of the user's own. */
  async #readInOrder(
    name: string,
    after: string | undefined,
    test: ValueTest,
    page: Page,
    slice: TimeSlice,
  ): Promise<void> {
    const { primary, ordered, registry } = this.#parts;
    const range = rangeOf('entries', { after });
    const bytesOf = (key: string) => registry.record(name, key)?.bytes ?? 0;
    const entries = primary === undefined ? ordered.matching(name, range, test) : ordered.entries(name, range);
    for await (const entry of entries) {
      if (entry !== undefined && (primary === undefined || fits(entry, test)) && !page.add(entry, bytesOf(entry.key)))
        return;
      if (slice.over) await slice.pause();
    }
  }

  /** Returns a namespace's state from memory or disk. Does not bring it into memory, and does not mark it as used. */
  #state(name: string): NamespaceState | undefined {
    const { registry } = this.#parts;
    return registry.stateInMemory(name) ?? (registry.has(name) ? registry.stateOnDisk(name) : undefined);
  }
}

/** An entry that fits, with the bytes of its value. */
interface Slot {
  readonly entry: Entry;
  readonly bytes: number;
}

/** Returns whether a value fits as readers see it: what was forgotten in it, or is sealed, is `null`. */
function fits(entry: Entry, test: ValueTest): boolean {
  const value = valueIn(entry);
  return value !== undefined && test(value);
}

/** Entries that were found, up to a limit. */
class Page {
  readonly #limit: number;
  readonly #entries: Entry[] = [];
  #bytes = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get isFull(): boolean {
    return this.#entries.length === this.#limit || this.#bytes >= PAGE_BYTES;
  }

  /** Adds an entry. Returns `false` if the page is full now. */
  add(entry: Entry, bytes: number): boolean {
    this.#entries.push(entry);
    this.#bytes += bytes;
    return !this.isFull;
  }

  get found(): Found {
    const last = this.#entries.at(-1);
    const next = this.isFull && last !== undefined ? { namespace: last.namespace, key: last.key } : undefined;
    return { entries: this.#entries, next };
  }
}

import { apply, follows } from '../../../../core/apply.ts';
import { NamespaceDigest } from '../../../../core/encoding/digest.ts';
import { decodeAround, encodeEntry, type StoredEntry } from '../../../../core/encoding/entry-codec.ts';
import { ContextCacheError } from '../../../../core/errors.ts';
import { type EntryRecord, NamespaceState } from '../../../../core/namespace-state.ts';
import type { Update } from '../../../../core/update.ts';
import type { StorageWrite } from '../leveldb/level-storage.ts';
import {
  decodePage,
  encodeSummary,
  type Page,
  pageKey,
  pageWrite,
  type StoredNamespace,
  summaryKey,
} from '../records/state-records.ts';
import { pageOf, pagesFor, parentOf } from './state-hash.ts';

/**
 * Folds updates of one namespace into its pages. Values are moved as they are encoded; those of the updates may be
 * encoded, too. Call in this order: load the `needed` pages, `fold`, load the pages
 * that are `needed` now, `finish`, `writes`.
 */
export class NamespaceFold {
  /** The namespace before the updates. */
  readonly base: StoredNamespace;
  /** The updates that matter: those from the last clear on. */
  readonly #updates: readonly Update[];
  /** The keys that these updates change, each once. */
  readonly #keys: ReadonlySet<string>;
  readonly #cleared: boolean;
  readonly #keepValues: boolean;
  readonly #pages = new Map<number, Page>();
  readonly #dirty = new Set<number>();
  #needed: Iterable<number>;
  #summary: StoredNamespace;
  readonly #digest: NamespaceDigest;
  /** Number of pages that the entries lie in while they are moved. */
  #pageCount: number;

  /**
   * `updates` are all of one namespace, in order.
   *
   * @throws {ContextCacheError} `INVARIANT` if they do not follow the base.
   */
  constructor(base: StoredNamespace, updates: readonly Update[], keepValues: boolean) {
    checkVersions(base.version, updates);
    const clear = updates.findLastIndex(({ operation }) => operation === 'clear_namespace');
    this.base = base;
    this.#summary = base;
    this.#cleared = clear !== -1;
    this.#updates = this.#cleared ? updates.slice(clear) : updates;
    this.#keys = keysOf(this.#updates);
    this.#keepValues = keepValues;
    this.#pageCount = this.#cleared ? 1 : base.pages;
    const empty = this.#cleared || base.count === 0;
    if (empty) this.#pages.set(0, new Map());
    this.#digest = empty ? new NamespaceDigest() : new NamespaceDigest(base.digest, base.version);
    this.#needed = empty ? [] : new Set(Array.from(this.#keys, (key) => pageOf(key, base.pages)));
  }

  get name(): string {
    return this.base.name;
  }

  /** The namespace after the updates; `undefined` if it was dropped. */
  get summary(): StoredNamespace | undefined {
    return this.#summary.version === 0 ? undefined : this.#summary;
  }

  /** Iterates over the pages to be loaded next, with their storage keys. */
  *needed(): Generator<readonly [key: string, page: number]> {
    for (const page of this.#needed) if (!this.#pages.has(page)) yield [pageKey(this.base.name, page), page];
  }

  load(page: number, record: Uint8Array | undefined): void {
    this.#pages.set(page, decodePage(record));
  }

  /** Applies the updates to the entries they touch and computes the new number of pages. */
  fold(): void {
    const { name, count, bytes, pages } = this.base;
    const keys = this.#keys;
    const digest = this.#digest;
    const state = new NamespaceState(name);
    if (!this.#cleared) for (const key of keys) putIfThere(state, key, this.#page(pageOf(key, pages)).get(key));
    const before = this.#cleared
      ? { count: 0, bytes: 0 }
      : { count: count - state.entries.size, bytes: bytes - state.bytes };
    const first = this.#updates[0] as Update;
    state.version = first.begins === true ? 0 : first.version - 1;
    for (const update of this.#updates) apply(state, update);
    for (const key of keys) this.#store(key, state.entries.get(key), digest);
    this.#summary = {
      name,
      version: state.version,
      position: state.position,
      count: before.count + state.entries.size,
      bytes: before.bytes + state.bytes,
      pages: 0,
      nextExpiryAt: null,
      digest: digest.at(state.version),
    };
    this.#summary = { ...this.#summary, pages: pagesFor(this.#pageCount, this.#summary.count, this.#summary.bytes) };
    this.#needed = this.#moving();
  }

  /** Moves entries between pages and finds the next expiry. */
  finish(): void {
    while (this.#pageCount < this.#summary.pages) this.#split(this.#pageCount);
    while (this.#pageCount > this.#summary.pages) this.#merge(this.#pageCount - 1);
    this.#summary = { ...this.#summary, nextExpiryAt: this.#nextExpiryAt() };
  }

  *writes(): Generator<StorageWrite> {
    const { name, pages } = this.base;
    const left = this.summary;
    const kept = left === undefined ? 0 : left.pages;
    if (left === undefined) yield { type: 'del', key: summaryKey(name) };
    else yield { type: 'put', key: summaryKey(name), value: encodeSummary(left) };
    for (const page of this.#dirty) if (page < kept) yield pageWrite(name, page, this.#page(page));
    // A clear leaves no page unchanged, loaded or not.
    const gone = this.#cleared ? 0 : kept;
    for (let page = gone; page < pages; page += 1) {
      if (page >= kept || !this.#dirty.has(page)) yield { type: 'del', key: pageKey(name, page) };
    }
  }

  #page(page: number): Page {
    const loaded = this.#pages.get(page);
    if (loaded === undefined) throw new ContextCacheError('INVARIANT', `Page ${page} of a namespace was not loaded.`);
    return loaded;
  }

  #store(key: string, entry: EntryRecord | undefined, digest: NamespaceDigest): void {
    const index = pageOf(key, this.#pageCount);
    this.#dirty.add(index);
    const page = this.#page(index);
    const before = page.get(key);
    if (before !== undefined) digest.remove(key, before);
    if (entry === undefined) {
      page.delete(key);
      return;
    }
    const stored = encodeEntry(this.#keepValues ? entry : { ...entry, value: undefined });
    page.set(key, stored);
    digest.add(key, stored);
  }

  /** Iterates over the pages that entries are moved from or to. */
  *#moving(): Generator<number> {
    for (let page = this.#pageCount; page < this.#summary.pages; page += 1) {
      const parent = parentOf(page);
      if (parent < this.#pageCount) yield parent;
    }
    for (let page = this.#summary.pages; page < this.#pageCount; page += 1) {
      yield page;
      yield parentOf(page);
    }
  }

  #split(added: number): void {
    const parent = parentOf(added);
    const from = this.#page(parent);
    const to: Page = new Map();
    for (const [key, entry] of from) {
      if (pageOf(key, added + 1) === parent) continue;
      to.set(key, entry);
      from.delete(key);
    }
    this.#pages.set(added, to);
    this.#dirty.add(parent).add(added);
    this.#pageCount = added + 1;
  }

  #merge(removed: number): void {
    const parent = parentOf(removed);
    const to = this.#page(parent);
    for (const [key, entry] of this.#page(removed)) to.set(key, entry);
    this.#pages.delete(removed);
    this.#dirty.delete(removed);
    this.#dirty.add(parent);
    this.#pageCount = removed;
  }

  /** Exact if every page is loaded, which holds for a small namespace; otherwise a lower bound. */
  #nextExpiryAt(): number | null {
    const whole = this.#cleared || this.#pages.size === this.#summary.pages;
    let next = whole ? Number.POSITIVE_INFINITY : (this.base.nextExpiryAt ?? Number.POSITIVE_INFINITY);
    for (const page of whole ? this.#pages.keys() : this.#dirty) {
      for (const { expiresAt } of this.#page(page).values())
        if (expiresAt !== null && expiresAt < next) next = expiresAt;
    }
    return this.#summary.count === 0 || next === Number.POSITIVE_INFINITY ? null : next;
  }
}

function keysOf(updates: readonly Update[]): Set<string> {
  const keys = new Set<string>();
  for (const { key, keys: cleared = [] } of updates) {
    if (key !== null) keys.add(key);
    for (const each of cleared) keys.add(each);
  }
  return keys;
}

function putIfThere(state: NamespaceState, key: string, stored: StoredEntry | undefined): void {
  if (stored !== undefined) state.put(key, decodeAround(stored));
}

function checkVersions(base: number, updates: readonly Update[]): void {
  let version = base;
  for (const update of updates) {
    if (!follows(version, update)) {
      throw new ContextCacheError(
        'INVARIANT',
        `The update at position ${update.position} has version ${update.version}, and its namespace is at version ${version}. ` +
          'The log and the index do not belong together.',
      );
    }
    version = update.drop ? 0 : update.version;
  }
}

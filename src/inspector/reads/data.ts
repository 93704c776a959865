import type { Clock } from '../../core/clock.ts';
import type { Acknowledgement, DataCommand, WriteOptions } from '../../core/command.ts';
import { VersionConflictError } from '../../core/conflict.ts';
import { ContextCacheError, toError } from '../../core/errors.ts';
import { invalidCommand } from '../../core/invalid-command.ts';
import { mayHaveMoved, valueAt } from '../../core/json-pointer.ts';
import type { Entry } from '../../core/namespace-state.ts';
import { conflictIn, inheritedSubjects, readableValue, subjectTagsOf } from '../../core/opened.ts';
import { sortInSlices, TimeSlice } from '../../core/time-slice.ts';
import type { JsonValue } from '../../core/value.ts';
import type {
  EditRequest,
  EntryDetail,
  EntrySummary,
  EntryVersionDetail,
  NamespaceSummary,
  Paged,
  SearchPage,
  TreePage,
} from '../data-protocol.ts';
import type { Inspectable } from '../inspectable.ts';
import { FRESH_FACTOR, type NamespaceIndex } from './namespace-index.ts';
import { compareNaturally } from './natural-order.ts';
import type { PresentEntry, Presenter } from './presenter.ts';
import type { Redactor } from './redactor.ts';
import { type SearchQuery, search } from './search.ts';
import { type Branching, type NamePage, SortedNames, type TreeQuery } from './sorted-names.ts';
import type { Views } from './views.ts';

/** The agent of an edit. */
const AGENT = 'inspector';
/** Sorted key lists kept for the next page. */
const KEPT_LISTS = 4;
/** Longest use of a key list while its namespace changes, milliseconds. */
const FRESH_MS = 2_000;

/** A choice of names below a prefix, in the present or in a view. */
export interface NamesQuery extends TreeQuery {
  /** Part of a name; empty for the tree. */
  readonly q: string;
  readonly at: number | Date | undefined;
  readonly signal: AbortSignal;
}

/** The parts that `Data` reads with. */
export interface DataParts {
  readonly cache: Inspectable;
  readonly clock: Clock;
  readonly index: NamespaceIndex;
  readonly views: Views;
  readonly redactor: Redactor;
  readonly presenter: Presenter;
}

interface KeyList {
  readonly names: SortedNames;
  readonly version: number | undefined;
  readonly position: number;
  readonly freshUntil: number;
}

/** Reads namespaces, keys and entries of the present and of views, and edits entries. */
export class Data {
  readonly #parts: DataParts;
  readonly #keys = new Map<string, KeyList>();

  constructor(parts: DataParts) {
    this.#parts = parts;
  }

  async namespaces(query: NamesQuery): Promise<TreePage<NamespaceSummary>> {
    const { at } = query;
    const { views, index, cache } = this.#parts;
    if (at !== undefined) {
      const position = views.position(at);
      const page = await this.#names(await views.names(position, undefined), query);
      return treePage(page, query, { position, current: true }, (name) => ({ ...UNCOUNTED, name }));
    }
    const { names, position } = await index.list();
    const page = await this.#names(names, query);
    return treePage(page, query, { position, current: position === cache.position }, (name) => {
      const info = cache.inspection.namespace(name);
      if (info === undefined) return undefined;
      const { version, position, keys, bytes } = info;
      return { name, version, position, keys, bytes };
    });
  }

  async keys(namespace: string, query: NamesQuery): Promise<TreePage<EntrySummary>> {
    const { views, presenter, cache } = this.#parts;
    const at = query.at === undefined ? undefined : views.position(query.at);
    const { names, position, version } =
      at === undefined
        ? await this.#keysNow(namespace)
        : { names: await views.names(at, namespace), position: at, version: undefined };
    const page = await this.#names(names, query);
    const entries = new Map<string, Entry>();
    for (const node of page.nodes) {
      if (node.kind === 'group') continue;
      const entry = await this.#read(namespace, node.name, at);
      if (entry !== undefined) entries.set(node.name, entry);
    }
    const current = at !== undefined || version === cache.inspection.namespace(namespace)?.version;
    return treePage(page, query, { position, current }, (key) => {
      const entry = entries.get(key);
      return entry && presenter.entrySummary(entry);
    });
  }

  /** Finds a text in names of namespaces, in keys and in values. */
  search(query: SearchQuery): Promise<SearchPage> {
    const { views, index, presenter, clock } = this.#parts;
    const at = query.at === undefined ? undefined : views.position(query.at);
    const searched = {
      namespaces: async () => (at === undefined ? (await index.list()).names : views.names(at, undefined)),
      keys: async (namespace: string) =>
        at === undefined ? (await this.#keysNow(namespace)).names : views.names(at, namespace),
      entry: (namespace: string, key: string) => this.#read(namespace, key, at),
    };
    return search(query, searched, { presenter, clock });
  }

  /** @throws {ContextCacheError} `NOT_FOUND` if the key is missing. */
  async entry(namespace: string, key: string, at: number | Date | undefined): Promise<EntryDetail> {
    const { presenter, views } = this.#parts;
    const entry = at === undefined ? await this.#present(namespace, key) : await views.entry(at, namespace, key);
    if (entry !== undefined) return 'written' in entry ? presenter.present(entry) : presenter.entry(entry);
    throw new ContextCacheError(
      'NOT_FOUND',
      at === undefined
        ? 'The key has no entry. It may have expired or been removed.'
        : 'The key has no entry in this view. Choose another position, or read its history.',
    );
  }

  async history(
    namespace: string,
    key: string,
    { before, limit, signal }: { before: number | undefined; limit: number; signal: AbortSignal },
  ): Promise<Paged<EntryVersionDetail>> {
    const items: EntryVersionDetail[] = [];
    for await (const version of this.#parts.cache.history(key, namespace)) {
      signal.throwIfAborted();
      if (before !== undefined && version.position >= before) continue;
      if (items.length === limit) return { items, next: String(items.at(-1)?.position) };
      items.push(this.#parts.presenter.version(namespace, key, version));
    }
    return { items, next: null };
  }

  /**
   * Stores an edited value over the version that was shown. The value is an edit of what readers get. Unless the request names subjects,
   * it keeps those of that version and of the edited one.
   *
   * @throws {ContextCacheError} `VERSION_CONFLICT` if the entry has changed; `KEY_UNAVAILABLE` if it, or a part of it, cannot be read
   *   here; `INVALID_COMMAND` if a part with a subject may have moved, or the edited version is not kept; the errors of `set`, of which
   *   `SUBJECT_FORGOTTEN` is for a new value of what was forgotten.
   */
  async set(request: EditRequest): Promise<Acknowledgement> {
    const { namespace, key, value, ifVersion, expiresAt, edited = ifVersion } = request;
    const { redactor } = this.#parts;
    const current = (await this.#present(namespace, key))?.entry;
    // Hidden parts can only be restored from the version that was shown. With another one the write fails anyway.
    const known = current?.version === ifVersion ? current : undefined;
    const conflicts = (current?.version ?? 0) !== ifVersion;
    const meant = conflicts ? value : redactor.restore(namespace, key, value, known?.value);
    // Throws if it cannot be read: it must not be replaced unseen.
    readableValue(known);
    const older = edited === ifVersion ? undefined : await this.#version(namespace, key, edited);
    const subjects =
      request.subjects === undefined
        ? { ...keptSubjects(older, meant), ...keptSubjects(known, meant) }
        : { ...forgottenSubjects(older, meant), ...forgottenSubjects(known, meant), ...request.subjects };
    const expiry = expiresAt === undefined ? (known?.expiresAt ?? null) : expiresAt;
    const command = { type: 'context.set', namespace, key, value: meant, ifVersion, agent: AGENT } as const;
    return this.#execute({
      ...command,
      ...(expiry !== null && { expiresAt: expiry }),
      ...(Object.keys(subjects).length > 0 && { subjects }),
    });
  }

  /** @throws {ContextCacheError} `VERSION_CONFLICT` if the entry has changed; the errors of `delete`. */
  delete({ namespace, key, ifVersion }: Omit<EditRequest, 'value'>): Promise<Acknowledgement> {
    return this.#execute({ type: 'context.delete', namespace, key, ifVersion, agent: AGENT });
  }

  /** Releases the key lists. */
  close(): void {
    this.#keys.clear();
  }

  /** Executes an edit. If a migration fails for the present entry of a conflict, the conflict has what was written. */
  async #execute(command: DataCommand): Promise<Acknowledgement> {
    const { cache } = this.#parts;
    try {
      return await cache.ask(command);
    } catch (error) {
      const conflict = conflictIn(error);
      if (conflict === undefined || conflict === error) throw error;
      const { namespace, key, expected } = conflict;
      throw new VersionConflictError(namespace, key, expected, await cache.inspection.entry(key, namespace));
    }
  }

  async #read(namespace: string, key: string, at: number | Date | undefined): Promise<Entry | undefined> {
    if (at === undefined) return (await this.#present(namespace, key))?.entry;
    return this.#parts.views.entry(at, namespace, key);
  }

  async #present(namespace: string, key: string): Promise<PresentEntry | undefined> {
    const written = await this.#parts.cache.inspection.entry(key, namespace);
    return written && this.#migrated(written);
  }

  /** Migrates an entry as readers get it. */
  #migrated(written: Entry): PresentEntry {
    try {
      return { written, entry: this.#parts.cache.inspection.migrated(written) };
    } catch (error) {
      return { written, entry: written, failure: toError(error).message };
    }
  }

  /** Returns an earlier version of an entry as its readers got it. */
  async #version(namespace: string, key: string, version: number): Promise<Entry> {
    for await (const each of this.#parts.cache.history(key, namespace)) {
      const written = each.version === version ? await this.#read(namespace, key, each.position) : undefined;
      if (written !== undefined) return this.#migrated(written).entry;
      if (each.version < version) break;
    }
    throw invalidCommand(
      `version ${version} of key ${JSON.stringify(key)} in namespace ${JSON.stringify(namespace)} is not kept, so whom it is about is not ` +
        'known. Edit the present entry, or name the subjects of the value',
    );
  }

  async #keysNow(namespace: string): Promise<KeyList> {
    const { cache, clock } = this.#parts;
    const { position } = cache;
    const version = cache.inspection.namespace(namespace)?.version;
    const known = this.#keys.get(namespace);
    const begun = clock.now();
    if (known !== undefined && (known.version === version || begun < known.freshUntil)) return known;
    const keys = await cache.listKeys(namespace);
    const names = new SortedNames(await sortInSlices(keys, compareNaturally, new TimeSlice(clock)));
    const now = clock.now();
    const list = { names, version, position, freshUntil: now + Math.min(FRESH_MS, (now - begun) * FRESH_FACTOR) };
    this.#keys.delete(namespace);
    this.#keys.set(namespace, list);
    for (const oldest of this.#keys.keys()) if (this.#keys.size > KEPT_LISTS) this.#keys.delete(oldest);
    return list;
  }

  #names(names: SortedNames, { q, signal, ...query }: NamesQuery): NamePage<Branching> | Promise<NamePage<Branching>> {
    return q === '' ? names.tree(query) : names.search(query, q, new TimeSlice(this.#parts.clock, signal));
  }
}

/** Returns the subjects of a version, by JSON pointer, for the value that it is edited to. */
function keptSubjects(edited: Entry | undefined, next: JsonValue): WriteOptions['subjects'] {
  const tags = edited && subjectTagsOf(edited);
  const moved = [...(tags ?? [])].find(([path]) => mayHaveMoved(path, edited?.value, next));
  if (moved === undefined) return inheritedSubjects({}, edited, next).subjects;
  const [path, subject] = moved.map((text) => JSON.stringify(text));
  throw invalidCommand(
    `what is at ${path} is about ${subject}, and the edit leaves nothing there or changes the length of an array on the way to it: what was ` +
      'moved from there would be stored readable. Leave it where it is, or name the subjects of the new value',
  );
}

/** Returns the subjects of forgotten parts that have a value again, which is then refused: the list of a request may leave them out. */
function forgottenSubjects(edited: Entry | undefined, next: JsonValue): WriteOptions['subjects'] {
  const { forgotten = [] } = edited ?? {};
  const tags = [...((edited && subjectTagsOf(edited)) ?? [])];
  return Object.fromEntries(
    tags.filter(([path]) => forgotten.includes(path) && (valueAt(next, path) ?? null) !== null),
  );
}

const UNCOUNTED = { version: null, position: null, keys: null, bytes: null };

/** Builds the page. Leaves out names whose item has been removed meanwhile. */
function treePage<Item>(
  { nodes, next, total }: NamePage<Branching>,
  { prefix }: NamesQuery,
  listed: Pick<TreePage<Item>, 'position' | 'current'>,
  itemOf: (name: string) => Item | undefined,
): TreePage<Item> {
  const items = nodes.flatMap((node): TreePage<Item>['items'] => {
    if (node.kind === 'group') return [node];
    const item = itemOf(node.name);
    return item === undefined ? [] : [{ kind: 'item', label: node.label, item }];
  });
  return { items, next, prefix, total, ...listed };
}

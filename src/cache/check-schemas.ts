import type { MaybePromise } from '../backends/base-context-cache.ts';
import type { Clock } from '../core/clock.ts';
import { ContextCacheError } from '../core/errors.ts';
import { Migrations } from '../core/migrations.ts';
import type { Entry } from '../core/namespace-state.ts';
import { openedUpdate } from '../core/opened.ts';
import { FORGOTTEN_NAMESPACE } from '../core/own-namespaces.ts';
import type { RangeOptions } from '../core/range.ts';
import {
  checkedSchemaOptions,
  type RefusedValue,
  type SchemaCheckOptions,
  type SchemaCheckProgress,
  type SchemaReport,
} from '../core/schema-report.ts';
import { createIssueFinder, type IssueFinder, type NamespaceSchemas } from '../core/schemas.ts';
import { ANY_SIZE, type SealedFields } from '../core/sealed.ts';
import { TimeSlice } from '../core/time-slice.ts';
import type { Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import type { Engine } from '../engine/engine.ts';
import type { LogRange } from '../engine/log-range.ts';
import { Reader } from '../engine/reader.ts';
import type { EntryVersion } from '../past/history.ts';

/** A cache of this process. */
interface OwnCache {
  readonly cache: Pick<CheckedStore, 'readLog' | 'history' | 'listNamespaces'>;
  readonly engine: Engine;
  /** Adopts the entries that a custom primary held before. */
  readonly hydrate: (namespace: string) => MaybePromise<unknown>;
}

/** Checks the values of a cache of this process. Migrates them itself, so that a step that fails is an issue of the value. */
export async function checkOwnSchemas(
  { cache, engine, hydrate }: OwnCache,
  schemas: NamespaceSchemas,
  options: SchemaCheckOptions = {},
): Promise<SchemaReport> {
  const { registry, primary, clock, activity, sequencer, log, subjects, reading } = engine;
  const reader = new Reader(registry, primary, clock, hydrate, activity, subjects, sequencer);
  const store: CheckedStore = {
    readLog: (range) => cache.readLog(range),
    entries: (namespace, range) => reader.entriesInOrder(namespace, range),
    history: (key, namespace) => cache.history(key, namespace),
    listNamespaces: () => cache.listNamespaces(),
    positions: async () => {
      await log.flush();
      return { first: log.first, head: log.committed };
    },
    opened: (update) => openedUpdate(subjects, update),
    migrations: reading.migrations,
  };
  return checkSchemas(store, schemas, options, clock);
}

/** A present entry. */
export interface CheckedEntry extends Entry {
  /** Why a migration of the server fails for the value, which is then the stored one. */
  readonly failure?: string | undefined;
}

/** The reads that a check of schemas needs. */
export interface CheckedStore {
  entries(namespace: string, options: RangeOptions): Iterable<CheckedEntry> | AsyncIterable<CheckedEntry>;
  history(key: string, namespace: string): AsyncIterable<EntryVersion>;
  listNamespaces(): MaybePromise<readonly string[]>;
  readLog(range: LogRange): AsyncIterable<Update>;
  /** Resolves with the first and the last position of the log, which then holds all that `entries` has shown. */
  positions(): Promise<{ readonly first: number; readonly head: number }>;
  /** Returns an update as readers see it. */
  opened(update: Update): Update | Promise<Update>;
  /** Migrations of the cache that its values have not passed. */
  readonly migrations?: Migrations | undefined;
}

/** Values between two calls of `onProgress`, and between two looks at the signal. */
const PROGRESS_EVERY = 1_000;

/** Checks the values of a cache; see `OwnerMethods`. */
export async function checkSchemas(
  store: CheckedStore,
  schemas: NamespaceSchemas,
  options: SchemaCheckOptions,
  clock: Clock,
): Promise<SchemaReport> {
  const finder = createIssueFinder(schemas);
  const given = options.migrations && new Migrations(options.migrations, ANY_SIZE);
  const migrations = [store.migrations ?? [], given ?? []].flat();
  const positions = await store.positions();
  const { from, to, limit, signal, onProgress } = checkedSchemaOptions(options, positions);
  signal?.throwIfAborted();
  const check = new Check(store, { finder, migrations }, limit, { clock, signal, onProgress });
  const present = await check.present();
  const recorded = await check.recorded(from, to);
  if (from > positions.first || to < positions.head) await check.findPositions();
  // The whole log was read: what was not met was written after that, or is not there.
  else await check.findSince(positions.head + 1);
  const both = <Name extends 'checked' | 'refused' | 'unreadable'>(name: Name) => ({
    recorded: recorded[name],
    present: present[name],
  });
  return {
    ok: recorded.refused + present.refused === 0,
    ...{ from, to, checked: both('checked'), refused: both('refused'), unreadable: both('unreadable') },
    ...{ recorded: recorded.list, present: present.list },
    more: recorded.refused > recorded.list.length || present.refused > present.list.length,
  };
}

/** A refused value whose position may not be known yet. */
type Refused = { -readonly [Field in keyof RefusedValue]: RefusedValue[Field] };

interface Tally {
  checked: number;
  refused: number;
  unreadable: number;
  readonly list: Refused[];
}

interface Rules {
  readonly finder: IssueFinder;
  /** They are applied in turn. */
  readonly migrations: readonly Migrations[];
}

interface Pace extends Pick<SchemaCheckOptions, 'signal' | 'onProgress'> {
  readonly clock: Clock;
}

class Check {
  readonly #store: CheckedStore;
  readonly #rules: Rules;
  readonly #limit: number;
  readonly #pace: Pace;
  readonly #slice: TimeSlice;
  readonly #tallies: { readonly [Stage in SchemaCheckProgress['stage']]: Tally } = {
    recorded: { checked: 0, refused: 0, unreadable: 0, list: [] },
    present: { checked: 0, refused: 0, unreadable: 0, list: [] },
  };
  /** Listed present values without a position, by namespace, key and version: at most `limit`. */
  readonly #unplaced = new Map<string, Refused>();

  constructor(store: CheckedStore, rules: Rules, limit: number, pace: Pace) {
    this.#store = store;
    this.#rules = rules;
    this.#limit = limit;
    this.#pace = pace;
    this.#slice = new TimeSlice(pace.clock, pace.signal);
  }

  /** Checks the present values. */
  async present(): Promise<Tally> {
    let done = 0;
    for (const namespace of await this.#store.listNamespaces()) {
      if (!this.#covers(namespace)) continue;
      for await (const entry of this.#store.entries(namespace, {})) {
        done += 1;
        await this.#paced('present', done);
        const { key, version, updatedAt: at, agent, failure } = entry;
        const issues = failure === undefined ? [] : [failure];
        const found = this.#check('present', { namespace, key, position: null, version, at, agent, issues }, entry);
        if (found !== undefined) this.#unplaced.set(idOf(entry), found);
      }
    }
    return this.#tallies.present;
  }

  /** Checks the values of updates, and learns the positions of present ones. */
  async recorded(from: number, to: number): Promise<Tally> {
    if (to < from) return this.#tallies.recorded;
    for await (const stored of this.#store.readLog({ from, to })) {
      const { namespace, key, operation, position, version, at, agent } = stored;
      await this.#paced('recorded', position - from + 1, to - from + 1);
      if (key === null || !this.#covers(namespace)) continue;
      this.#place(stored, key);
      if (operation !== 'set') continue;
      const found = { namespace, key, position, version, at, agent, issues: [] };
      this.#check('recorded', found, await this.#store.opened(stored));
    }
    return this.#tallies.recorded;
  }

  /** Finds the positions of present values that lie outside of the range that was read. */
  async findPositions(): Promise<void> {
    for (const { namespace, key } of [...this.#unplaced.values()]) {
      for await (const version of this.#store.history(key, namespace)) {
        if (this.#place({ ...version, namespace }, key)) break;
        if (this.#slice.over) await this.#slice.pause();
      }
    }
  }

  /** Finds the positions of present values that were written while the check was reading. */
  async findSince(from: number): Promise<void> {
    if ([...this.#unplaced.values()].every(({ position }) => position !== null)) return;
    const { head: to } = await this.#store.positions();
    if (to < from) return;
    for await (const update of this.#store.readLog({ from, to })) {
      if (update.key !== null) this.#place(update, update.key);
      if (this.#slice.over) await this.#slice.pause();
    }
  }

  /** Sets the position of a present value if this is its update. */
  #place(update: Pick<Update, 'namespace' | 'version' | 'position'>, key: string): boolean {
    if (this.#unplaced.size === 0) return false;
    const id = idOf({ ...update, key });
    const value = this.#unplaced.get(id);
    if (value === undefined) return false;
    value.position = update.position;
    return true;
  }

  #covers(namespace: string): boolean {
    return namespace !== FORGOTTEN_NAMESPACE && this.#rules.finder.covers(namespace);
  }

  /** Counts a value. Returns what the list has of it; `undefined` if the schemas accept it or the list is full. */
  #check(
    stage: SchemaCheckProgress['stage'],
    found: Refused,
    { value, forgotten, sealed }: SealedFields & { readonly value: JsonValue },
  ): Refused | undefined {
    const tally = this.#tallies[stage];
    if (forgotten !== undefined || sealed !== undefined) {
      tally.unreadable += 1;
      return undefined;
    }
    tally.checked += 1;
    if (found.issues.length === 0) found.issues = this.#issuesOf(found, value);
    if (found.issues.length === 0) return undefined;
    tally.refused += 1;
    if (tally.list.length >= this.#limit) return undefined;
    tally.list.push(found);
    return found;
  }

  #issuesOf({ namespace, key }: Refused, value: JsonValue): readonly string[] {
    const { finder, migrations } = this.#rules;
    let present = value;
    try {
      for (const each of migrations) present = each.migrated(namespace, key, present);
    } catch (error) {
      if (!(error instanceof ContextCacheError) || error.code !== 'MIGRATION_FAILED') throw error;
      return [error.message];
    }
    return finder.issuesOf(namespace, key, present);
  }

  async #paced(stage: SchemaCheckProgress['stage'], done: number, all?: number): Promise<void> {
    if (this.#slice.over) await this.#slice.pause();
    if (done % PROGRESS_EVERY !== 0) return;
    this.#pace.signal?.throwIfAborted();
    this.#pace.onProgress?.({ stage, done, fraction: all && done / all });
  }
}

function idOf({ namespace, key, version }: Pick<Entry, 'namespace' | 'key' | 'version'>): string {
  return JSON.stringify([namespace, key, version]);
}

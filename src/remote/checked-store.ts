import type { CheckedEntry, CheckedStore } from '../cache/check-schemas.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { Entry } from '../core/namespace-state.ts';
import type { RangeOptions } from '../core/range.ts';
import { isSealed } from '../core/sealed.ts';
import type { Update } from '../core/update.ts';

/** The methods of a client that a check of schemas calls. */
export interface Served extends Omit<CheckedStore, 'positions' | 'opened'> {
  entries(namespace: string, options: RangeOptions): AsyncIterable<Entry>;
  entry(key: string, namespace: string): Promise<Entry | undefined>;
  listKeys(namespace: string, options: RangeOptions): Promise<readonly string[]>;
  flush(): Promise<void>;
  health(): Promise<{ readonly log: { readonly first: number; readonly head: number } }>;
  at(position: number): Promise<View>;
}

type View = { entry(key: string, namespace: string): Promise<Entry | undefined> } & AsyncDisposable;

/** Returns what a check of schemas reads of a served cache. */
export function checkedStore(client: Served): CheckedStore {
  return {
    entries: (namespace) => checkedEntries(client, namespace),
    history: (key, namespace) => client.history(key, namespace),
    listNamespaces: () => client.listNamespaces(),
    readLog: (range) => client.readLog(range),
    positions: async () => {
      await client.flush();
      return (await client.health()).log;
    },
    opened: (update) => (isSealed(update.value) ? openedByServer(client, update) : update),
  };
}

/** Yields the entries of a namespace. One for which a migration of the server fails comes as it is stored, with the failure. */
async function* checkedEntries(client: Served, namespace: string): AsyncGenerator<CheckedEntry, void, undefined> {
  await using stored = new StoredEntries(client);
  let after: string | undefined;
  for (;;) {
    try {
      for await (const entry of client.entries(namespace, { after })) {
        yield entry;
        after = entry.key;
      }
      return;
    } catch (error) {
      if (!isMigrationFailure(error)) throw error;
    }
    // The list ends at some entry after the last one: its followers are read one by one until that one is found.
    let isFound = false;
    while (!isFound) {
      const [key] = await client.listKeys(namespace, { after, limit: 1 });
      if (key === undefined) return;
      after = key;
      try {
        const entry = await client.entry(key, namespace);
        if (entry !== undefined) yield entry;
      } catch (error) {
        if (!isMigrationFailure(error)) throw error;
        isFound = true;
        const entry = await stored.entry(key, namespace);
        if (entry !== undefined) yield { ...entry, failure: error.message };
      }
    }
  }
}

function isMigrationFailure(error: unknown): error is ContextCacheError {
  return error instanceof ContextCacheError && error.code === 'MIGRATION_FAILED';
}

/** Entries as they were written, read from one view of a served cache: a view is expensive, and a step may fail for each entry. */
class StoredEntries implements AsyncDisposable {
  readonly #client: Served;
  #view: View | undefined;

  constructor(client: Served) {
    this.#client = client;
  }

  async entry(key: string, namespace: string): Promise<Entry | undefined> {
    const known = await this.#view?.entry(key, namespace);
    if (known !== undefined) return known;
    // The entry may be younger than the view.
    await this[Symbol.asyncDispose]();
    const { log } = await this.#client.health();
    this.#view = await this.#client.at(log.head);
    return this.#view.entry(key, namespace);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const view = this.#view;
    this.#view = undefined;
    await view?.[Symbol.asyncDispose]();
  }
}

/** The server has the keys: a view at the position of an update shows its value. */
async function openedByServer(client: Served, update: Update): Promise<Update> {
  await using view = await client.at(update.position);
  const entry = await view.entry(update.key ?? '', update.namespace);
  if (entry === undefined) return update;
  const { value, forgotten, sealed } = entry;
  return { ...update, value, forgotten, sealed };
}

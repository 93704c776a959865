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
  at(
    position: number,
  ): Promise<{ entry(key: string, namespace: string): Promise<Entry | undefined> } & AsyncDisposable>;
}

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
        const stored = await storedEntry(client, key, namespace);
        if (stored !== undefined) yield { ...stored, failure: error.message };
      }
    }
  }
}

function isMigrationFailure(error: unknown): error is ContextCacheError {
  return error instanceof ContextCacheError && error.code === 'MIGRATION_FAILED';
}

/** A view shows a value as it was written. */
async function storedEntry(client: Served, key: string, namespace: string): Promise<Entry | undefined> {
  const { log } = await client.health();
  await using view = await client.at(log.head);
  return view.entry(key, namespace);
}

/** The server has the keys: a view at the position of an update shows its value. */
async function openedByServer(client: Served, update: Update): Promise<Update> {
  await using view = await client.at(update.position);
  const entry = await view.entry(update.key ?? '', update.namespace);
  if (entry === undefined) return update;
  const { value, forgotten, sealed } = entry;
  return { ...update, value, forgotten, sealed };
}

import type { CheckedStore } from '../cache/check-schemas.ts';
import type { Entry } from '../core/namespace-state.ts';
import { isSealed } from '../core/sealed.ts';
import type { Update } from '../core/update.ts';

/** The methods of a client that a check of schemas calls. */
export interface Served extends Omit<CheckedStore, 'positions' | 'opened'> {
  flush(): Promise<void>;
  health(): Promise<{ readonly log: { readonly first: number; readonly head: number } }>;
  at(
    position: number,
  ): Promise<{ entry(key: string, namespace: string): Promise<Entry | undefined> } & AsyncDisposable>;
}

/** Returns what a check of schemas reads of a served cache. */
export function checkedStore(client: Served): CheckedStore {
  return {
    entries: (namespace, range) => client.entries(namespace, range),
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

/** The server has the keys: a view at the position of an update shows its value. */
async function openedByServer(client: Served, update: Update): Promise<Update> {
  await using view = await client.at(update.position);
  const entry = await view.entry(update.key ?? '', update.namespace);
  if (entry === undefined) return update;
  const { value, forgotten, sealed } = entry;
  return { ...update, value, forgotten, sealed };
}

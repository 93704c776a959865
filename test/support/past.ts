import type { AgentContextCache, Entry, EntryVersion, JsonValue, Update } from '../../src/index.ts';

/** Computes from a log the state at its end, without any code of the package. */
export interface Folded {
  names(): string[];
  /** By key. */
  entries(namespace: string): Entry[];
  /** Newest first. */
  history(key: string, namespace: string): EntryVersion[];
}

export async function logOf(cache: AgentContextCache): Promise<Update[]> {
  const log: Update[] = [];
  for await (const update of cache.readLog({ from: 1 })) log.push(update);
  return log;
}

/** The `meta` of an update, absent where it has none. */
function metaOf({ meta }: Update): Pick<Update, 'meta'> {
  return meta === undefined ? {} : { meta };
}

/** The fold of the updates up to a position. */
export function foldTo(log: readonly Update[], position: number): Folded {
  const namespaces = new Map<string, Map<string, Entry>>();
  const histories = new Map<string, EntryVersion[]>();
  const note = (update: Update, key: string, value: JsonValue | undefined) => {
    const { namespace, operation, version, at, agent, expiresAt } = update;
    const name = `${namespace}|${key}`;
    const own = histories.get(name) ?? [];
    histories.set(name, own);
    own.unshift({ operation, value, version, position: update.position, at, agent, expiresAt, ...metaOf(update) });
  };
  for (const update of log.slice(0, position)) {
    const { namespace, operation, key, value, version, at, agent, expiresAt, drop, keys = [] } = update;
    const entries = namespaces.get(namespace) ?? new Map<string, Entry>();
    namespaces.set(namespace, entries);
    if (operation === 'clear') {
      for (const each of keys) note(update, each, undefined);
      for (const each of keys) entries.delete(each);
      continue;
    }
    if (key === null) {
      for (const each of entries.keys()) note(update, each, undefined);
      entries.clear();
      if (drop) namespaces.delete(namespace);
      continue;
    }
    const before = entries.get(key);
    const now = operation === 'set' ? value : operation === 'touch' ? before?.value : undefined;
    note(update, key, now);
    if (now === undefined) entries.delete(key);
    else {
      const createdAt = before?.createdAt ?? at;
      entries.set(key, {
        namespace,
        key,
        value: now,
        version,
        createdAt,
        updatedAt: at,
        expiresAt,
        agent,
        ...metaOf(update),
      });
    }
  }
  return {
    names: () => [...new Set(['default', ...namespaces.keys()])].sort(),
    entries: (namespace) => [...(namespaces.get(namespace)?.values() ?? [])].sort((a, b) => (a.key < b.key ? -1 : 1)),
    history: (key, namespace) => histories.get(`${namespace}|${key}`) ?? [],
  };
}

import {
  type BriefedChange,
  type Briefing,
  type BriefingOptions,
  type CheckedBriefing,
  changeOf,
  changeOfEntry,
  checkedBriefing,
  cursorOf,
  fitted,
  importanceOf,
  ranked,
} from '../core/briefing.ts';
import type { ChangesOptions } from '../core/changes.ts';
import { ContextCacheError } from '../core/errors.ts';
import { BRIEFINGS } from '../core/own-namespaces.ts';
import type { JsonValue } from '../core/value.ts';
import type { ContextStore } from './context-store.ts';

/** Changes that are held at a time; of more, the oldest are only counted. Also the entries that are read if the log has been shortened. */
const MAX_HELD = 10_000;

/** The methods that a briefing calls, of a cache or of a client. */
export type BriefingStore = Pick<
  ContextStore,
  'changes' | 'entries' | 'get' | 'listNamespaces' | 'position' | 'update'
>;

interface Found {
  readonly changes: readonly BriefedChange[];
  readonly total: number;
  readonly until: number;
  readonly isComplete: boolean;
}

/** Briefs an agent with what it may read; see `CacheMethods.briefing`. `storeFor` returns the cache as an agent may use it. */
export async function briefing(
  storeFor: (agent: string) => unknown,
  options: BriefingOptions,
  ownAgent?: string | null,
): Promise<Briefing> {
  const checked = checkedBriefing(options, ownAgent);
  const { agent, namespaces, advance } = checked;
  const store = storeFor(agent) as BriefingStore;
  const cursor = cursorOf(agent, namespaces);
  const since = checked.since ?? positionIn(await store.get(cursor, BRIEFINGS));
  const found = await changesFor(store, since, cursor, checked);
  const { until, isComplete, total } = found;
  const text = fitted(ranked(found.changes, namespaces), total, { agent, since, isComplete }, checked);
  // An agent to which nothing has happened leaves no update behind.
  if (advance && (total > 0 || !isComplete)) {
    // Another briefing of the agent may have come further meanwhile.
    const advanced = (value: JsonValue | undefined) => (positionIn(value) >= until ? undefined : { position: until });
    await store.update(cursor, advanced, BRIEFINGS, { agent });
  }
  return { agent, since, until, isComplete, ...text };
}

async function changesFor(
  store: BriefingStore,
  since: number,
  cursor: string,
  checked: CheckedBriefing,
): Promise<Found> {
  try {
    return await lastChanges(store, since, checked);
  } catch (error) {
    if (!(error instanceof ContextCacheError) || error.code !== 'POSITION_UNAVAILABLE') throw error;
    return presentEntries(store, cursor, checked);
  }
}

async function lastChanges(
  store: BriefingStore,
  since: number,
  { agent, namespaces }: CheckedBriefing,
): Promise<Found> {
  const selection = selectionOf(namespaces);
  let held: BriefedChange[] = [];
  let total = 0;
  for (let from = since; ; ) {
    const { changes, next, more } = await store.changes({ ...selection, since: from, limit: MAX_HELD });
    for (const update of changes) {
      if (update.agent === agent || !isAskedFor(update.namespace, namespaces)) continue;
      held.push(changeOf(update));
      total += 1;
    }
    if (held.length > MAX_HELD) held = held.slice(-MAX_HELD);
    if (!more) return { changes: held, total, until: next, isComplete: true };
    from = next;
  }
}

/** Reads the present entries instead of changes that the log no longer has. */
async function presentEntries(
  store: BriefingStore,
  cursor: string,
  { agent, namespaces, advance }: CheckedBriefing,
): Promise<Found> {
  // The position before the reads: what changes during them comes again in the next briefing. A client learns it from a write.
  const marked = (value: JsonValue | undefined) => ({ position: positionIn(value) });
  const until = advance ? (await store.update(cursor, marked, BRIEFINGS, { agent })).position : store.position;
  let held: BriefedChange[] = [];
  let total = 0;
  for (const namespace of await store.listNamespaces()) {
    if (!isAskedFor(namespace, namespaces)) continue;
    for await (const entry of store.entries(namespace, {})) {
      if (entry.agent === agent) continue;
      held.push(changeOfEntry(entry));
      total += 1;
      if (held.length >= 2 * MAX_HELD) held = newest(held);
    }
  }
  return { changes: newest(held), total, until, isComplete: false };
}

function newest(changes: readonly BriefedChange[]): BriefedChange[] {
  return [...changes].sort((a, b) => b.at - a.at).slice(0, MAX_HELD);
}

/** Returns the part of the selection that `changes` knows: the index of one namespace or prefix is smaller. */
function selectionOf(namespaces: readonly string[]): Pick<ChangesOptions, 'namespace' | 'prefix'> {
  const [only, ...others] = namespaces;
  if (only === undefined || others.length > 0) return {};
  return only.endsWith('*') ? { prefix: only.slice(0, -1) } : { namespace: only };
}

function isAskedFor(namespace: string, namespaces: readonly string[]): boolean {
  return namespace !== BRIEFINGS && importanceOf(namespace, namespaces) >= 0;
}

function positionIn(value: JsonValue | undefined): number {
  const { position } = (value ?? {}) as { readonly position?: unknown };
  return Number.isSafeInteger(position) ? (position as number) : 0;
}

import type { Clock } from '../../core/clock.ts';
import type { Entry } from '../../core/namespace-state.ts';
import { TimeSlice } from '../../core/time-slice.ts';
import type { SearchHit, SearchPage } from '../data-protocol.ts';
import type { Presenter } from './presenter.ts';
import type { SortedNames } from './sorted-names.ts';

/** Keys that one question reads. A page may end before its limit, so that no question takes long. */
const MAX_SCANNED = 20_000;

/** What to search for, and where to go on. */
export interface SearchQuery {
  readonly q: string;
  /** Position or instant of the view; `undefined`: now. */
  readonly at: number | Date | undefined;
  /** The `next` of the page before. */
  readonly after: string | undefined;
  readonly limit: number;
  readonly signal: AbortSignal;
}

/** What a search reads: the names of one view, and its entries. */
export interface Searched {
  namespaces(): Promise<SortedNames>;
  keys(namespace: string): Promise<SortedNames>;
  entry(namespace: string, key: string): Promise<Entry | undefined>;
}

/**
 * Finds a text in names of namespaces, in keys and in values, in any case. Values are searched as they are shown: what
 * is hidden cannot be found, so a search tells nothing about it.
 */
export async function search(
  { q, after, limit, signal }: SearchQuery,
  { namespaces, keys, entry }: Searched,
  { presenter, clock }: { readonly presenter: Presenter; readonly clock: Clock },
): Promise<SearchPage> {
  const wanted = q.toLowerCase();
  const slice = new TimeSlice(clock, signal);
  const items: SearchHit[] = [];
  const cursor = after === undefined ? undefined : (JSON.parse(after) as [namespace: string, key: string | null]);
  let scanned = 0;
  const isFull = () => items.length >= limit || scanned >= MAX_SCANNED;
  const all = await namespaces();
  for (const namespace of all.names.slice(cursor === undefined ? 0 : all.from(cursor[0]))) {
    const resumed = cursor?.[0] === namespace ? cursor : undefined;
    if (resumed === undefined) {
      scanned += 1;
      if (namespace.toLowerCase().includes(wanted))
        items.push({ namespace, key: null, found: 'namespace', preview: null });
      if (isFull()) return { items, scanned, next: JSON.stringify([namespace, null]) };
    }
    const below = await keys(namespace);
    for (const key of below.names.slice(resumed?.[1] == null ? 0 : below.after(resumed[1]))) {
      scanned += 1;
      const hit = hitOf(namespace, key, await entry(namespace, key), wanted, presenter);
      if (hit !== undefined) items.push(hit);
      if (isFull()) return { items, scanned, next: JSON.stringify([namespace, key]) };
      if (slice.over) await slice.pause();
    }
    if (slice.over) await slice.pause();
  }
  return { items, scanned, next: null };
}

function hitOf(
  namespace: string,
  key: string,
  entry: Entry | undefined,
  wanted: string,
  presenter: Presenter,
): SearchHit | undefined {
  if (entry === undefined) return undefined;
  if (key.toLowerCase().includes(wanted)) {
    return { namespace, key, found: 'key', preview: presenter.entrySummary(entry).preview };
  }
  const preview = presenter.find(namespace, key, entry.value, wanted);
  return preview && { namespace, key, found: 'value', preview };
}

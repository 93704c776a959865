import type { Clock } from '../../core/clock.ts';
import { ContextCacheError } from '../../core/errors.ts';
import type { Entry } from '../../core/namespace-state.ts';
import { TimeSlice } from '../../core/time-slice.ts';
import type { SearchHit, SearchPage } from '../data-protocol.ts';
import type { Presenter } from './presenter.ts';
import type { SortedNames } from './sorted-names.ts';

/** Most names and keys read for one page. A page may end before its limit, so that no request takes long. */
const MAX_SCANNED = 20_000;

/** The text to search for, and the page. */
export interface SearchQuery {
  readonly q: string;
  /** Position or time of the view; `undefined`: the present. */
  readonly at: number | Date | undefined;
  /** The `next` of the previous page. */
  readonly after: string | undefined;
  readonly limit: number;
  readonly signal: AbortSignal;
}

/** The source of a search: the names of one view, and its entries. */
export interface Searched {
  namespaces(): Promise<SortedNames>;
  keys(namespace: string): Promise<SortedNames>;
  entry(namespace: string, key: string): Promise<Entry | undefined>;
}

/**
 * Finds a text in names of namespaces, in keys and in values, in any case. Values are searched as they are shown, so a
 * search reveals nothing about hidden parts.
 *
 * @throws {ContextCacheError} `INVALID_OPTION` if `after` is not the `next` of a page.
 */
export async function search(
  { q, after, limit, signal }: SearchQuery,
  { namespaces, keys, entry }: Searched,
  { presenter, clock }: { readonly presenter: Presenter; readonly clock: Clock },
): Promise<SearchPage> {
  const wanted = q.toLowerCase();
  const slice = new TimeSlice(clock, signal);
  const items: SearchHit[] = [];
  const cursor = after === undefined ? undefined : cursorIn(after);
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

/** The namespace and key that a page ended with; `null` if it ended with the name of the namespace. */
type Cursor = readonly [namespace: string, key: string | null];

function cursorIn(after: string): Cursor {
  try {
    const cursor: unknown = JSON.parse(after);
    if (Array.isArray(cursor) && cursor.length === 2) {
      const [namespace, key] = cursor;
      if (typeof namespace === 'string' && (typeof key === 'string' || key === null)) return [namespace, key];
    }
  } catch {
    // Not JSON: reported below.
  }
  throw new ContextCacheError('INVALID_OPTION', 'after must be the `next` of a page of this search.');
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

import type { Operation } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';

/** What is told of namespaces, entries, updates and moments; see `protocol.ts` for where. */

export interface Paged<Item> {
  readonly items: readonly Item[];
  /** For `after`; `null`: this was the last page. */
  readonly next: string | null;
}

/** All but the name are `null` in a view of the past, where telling them would mean reading all of it. */
export interface NamespaceSummary {
  readonly name: string;
  readonly version: number | null;
  /** Of its last update. */
  readonly position: number | null;
  readonly keys: number | null;
  /** Estimated, of its values. */
  readonly bytes: number | null;
}

export interface EntrySummary {
  readonly key: string;
  readonly version: number;
  readonly updatedAt: number;
  readonly expiresAt: number | null;
  readonly agent: string | null;
  readonly preview: Preview;
}

/** The beginning of a value as JSON text. */
export interface Preview {
  /** At most 200 characters; not JSON where it is `cut`. */
  readonly text: string;
  readonly cut: boolean;
}

/**
 * Part of a tree of names. Below a `prefix` each name is cut at the next separator: what two or more share is one group.
 * A name can be an item and a group (`trip` beside `trip:1` and `trip:2`); the label of one that is the prefix itself is
 * empty. With `q` there are no groups: the names that contain it, whatever their case.
 *
 * `separator` is any text; several alternatives are given several times. Default: `:`, `/` and `.` together, of which
 * the first that comes in a name cuts it.
 */
export interface TreePage<Item> extends Paged<TreeGroup | TreeItem<Item>> {
  readonly prefix: string;
  /** Names below the prefix (or that contain `q`) in all. */
  readonly total: number;
  /** The moment whose names are listed; of now, what is said of them may be newer. */
  readonly position: number;
  /** Whether nothing has happened since that may have changed the list: of many names it is not made at every look. */
  readonly current: boolean;
}

export interface TreeGroup {
  readonly kind: 'group';
  /** What comes after the prefix, with its separator: `trip:`. */
  readonly label: string;
  /** For the next question. */
  readonly prefix: string;
  readonly count: number;
}

export interface TreeItem<Item> {
  readonly kind: 'item';
  /** What comes after the prefix. */
  readonly label: string;
  readonly item: Item;
}

/** A name or a value that contains the text searched for. */
export interface SearchHit {
  readonly namespace: string;
  /** `null`: the namespace itself. */
  readonly key: string | null;
  /** The first of these that contains the text. */
  readonly found: 'namespace' | 'key' | 'value';
  /** The beginning of the value, or what surrounds the match in it; `null` for a namespace. */
  readonly preview: Preview | null;
}

export interface SearchPage extends Paged<SearchHit> {
  /** Names and keys read for this page. A page may end before its limit, so that no question takes long. */
  readonly scanned: number;
}

export interface EntryDetail {
  readonly namespace: string;
  readonly key: string;
  readonly value: JsonValue;
  readonly version: number;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly expiresAt: number | null;
  readonly agent: string | null;
  /** Whether parts of the value, or all of it, are hidden. */
  readonly hidden: boolean;
}

export interface EntryVersionDetail {
  readonly operation: Operation;
  /** Absent where there was none any more. */
  readonly value?: JsonValue;
  readonly hidden: boolean;
  readonly version: number;
  readonly position: number;
  readonly at: number;
  readonly agent: string | null;
  readonly expiresAt: number | null;
}

/**
 * `POST /api/set` and, without `value`, `POST /api/delete`. Where `value` holds a `[hidden …]` of the version that is
 * replaced, what is hidden there is kept; it may only stand where it would be hidden again.
 */
export interface EditRequest {
  readonly namespace: string;
  readonly key: string;
  readonly value: JsonValue;
  /** The version that was looked at; 0: there was none. Else `VERSION_CONFLICT` (409) with the entry as it is. */
  readonly ifVersion: number;
  /** When it expires, epoch milliseconds; `null`: never. Default: as it was. */
  readonly expiresAt?: number | null;
}

/** Which updates: in the query as `operation`, `namespace`, `key`, `agent`; in a subscription as its `filter`. */
export interface UpdateFilter {
  /** One of these; in the query several times. */
  readonly operation?: readonly Operation[];
  /** Names, keys and agents are patterns: `*` stands for any text; without one all of it has to be the same. */
  readonly namespace?: string;
  readonly key?: string;
  readonly agent?: string;
  /** A part, in any case, of the value's JSON text as it is shown; of its first 20,000 characters. */
  readonly value?: string;
}

/** An update in a list. */
export interface UpdateRow {
  readonly position: number;
  readonly namespace: string;
  readonly version: number;
  readonly operation: Operation;
  readonly key: string | null;
  /** Of a `set`. */
  readonly preview: Preview | null;
  readonly at: number;
  readonly agent: string | null;
  readonly expiresAt: number | null;
  readonly drop: boolean;
  readonly bytes: number;
}

export interface UpdatePage extends Paged<UpdateRow> {
  /** Updates of the log that were looked at: a page may end before its limit, so that no question takes long. */
  readonly scanned: number;
  /** The oldest position that was looked at. */
  readonly oldest: number;
}

export interface UpdateDetail extends Omit<UpdateRow, 'preview'> {
  /** Of a `set`; absent otherwise. */
  readonly value?: JsonValue;
  /** What the entry held before; `null`: there was none, or it is not known any more. */
  readonly before: EntryVersionDetail | null;
  readonly hidden: boolean;
}

export interface ViewDetail {
  readonly position: number;
  /** When its update was asked for; `null` for 0, and where the log has let go of it. */
  readonly at: number | null;
  /** The oldest position that can be looked at, and the newest. */
  readonly first: number;
  readonly last: number;
  readonly firstAt: number | null;
  readonly lastAt: number | null;
}

export interface DiffItem {
  readonly change: 'added' | 'changed' | 'removed';
  readonly namespace: string;
  readonly key: string;
  readonly before?: EntryDetail;
  readonly after?: EntryDetail;
}

export interface DiffPage extends Paged<DiffItem> {
  readonly a: number;
  readonly b: number;
  readonly added: number;
  readonly changed: number;
  readonly removed: number;
}

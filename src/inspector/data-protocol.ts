import type { TracedLink } from '../core/trace.ts';
import type { Operation } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';

/** The JSON of namespaces, entries, updates and views; `protocol.ts` lists the addresses that answer with it. */

/** One page of a list. */
export interface Paged<Item> {
  readonly items: readonly Item[];
  /** Cursor for `after`; `null` on the last page. */
  readonly next: string | null;
}

/** A namespace. In a view all fields but the name are `null`: counting them would read the whole view. */
export interface NamespaceSummary {
  readonly name: string;
  readonly version: number | null;
  /** Position of its last update. */
  readonly position: number | null;
  readonly keys: number | null;
  /** Estimated size of its values. */
  readonly bytes: number | null;
}

/** An entry in a list. */
export interface EntrySummary {
  readonly key: string;
  readonly version: number;
  readonly updatedAt: number;
  readonly expiresAt: number | null;
  readonly agent: string | null;
  readonly preview: Preview;
}

/** Whom a value is about, and what of it cannot be read. A value without subjects has none of these. */
export interface SubjectMarks {
  /** Subjects by JSON pointer; `''` is the whole value. `null`: not known here. */
  readonly subjects?: { readonly [pointer: string]: string } | null;
  /** JSON pointers of what was forgotten. It is `null` in the value. */
  readonly forgotten?: readonly string[];
  /** JSON pointers of what cannot be decrypted, because the key is not available here. It is `null` in the value. */
  readonly sealed?: readonly string[];
}

/** The beginning of a value as JSON text. */
export interface Preview {
  /** At most 200 characters; not valid JSON if it is `cut`. */
  readonly text: string;
  readonly cut: boolean;
  /** Present if the whole value cannot be read. */
  readonly missing?: 'forgotten' | 'sealed';
}

/**
 * Part of a tree of names. Below `prefix`, names are grouped by their text up to the next separator; a group has at
 * least two names. A name can be an item beside a group (`trip` beside `trip:1` and `trip:2`); an item that equals the
 * prefix has an empty label. With `q` there are no groups, only the names that contain it in any case.
 *
 * `separator` is any text, and may be given several times. Default: `:`, `/` and `.`; the first one in a name splits it.
 */
export interface TreePage<Item> extends Paged<TreeGroup | TreeItem<Item>> {
  readonly prefix: string;
  /** Number of names below the prefix, or of those that contain `q`. */
  readonly total: number;
  /** Position of the list of names. Without `at`, the items themselves may be newer. */
  readonly position: number;
  /** True if the list is up to date. With very many names it is not rebuilt for every request. */
  readonly current: boolean;
}

/** Names with a common beginning. */
export interface TreeGroup {
  readonly kind: 'group';
  /** The text after the prefix, separator included: `trip:`. */
  readonly label: string;
  /** The `prefix` that lists the names of this group. */
  readonly prefix: string;
  readonly count: number;
}

/** One name. */
export interface TreeItem<Item> {
  readonly kind: 'item';
  /** The text after the prefix. */
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
  /** Names and keys read for this page. A page may end before its limit, so that no request takes long. */
  readonly scanned: number;
}

/** A value, redacted. */
export interface ShownValue {
  readonly value: JsonValue;
  /** True if any part of it is hidden. */
  readonly hidden: boolean;
}

/** An entry with its value. */
export interface EntryDetail extends SubjectMarks, ShownValue {
  readonly namespace: string;
  readonly key: string;
  /** The value that readers get. In a view, and in a difference of two, it is the value that was written. */
  readonly value: JsonValue;
  /** The value that was written, if a migration has changed it for readers. The pointers of {@link SubjectMarks} are about this form. */
  readonly written?: ShownValue;
  /** Why readers get an error instead of the value. `value` is what was written. */
  readonly failure?: string;
  readonly version: number;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly expiresAt: number | null;
  readonly agent: string | null;
}

/** What the last write of an entry was based on, and what was based on it. */
export interface TraceDetail {
  /** In order of column, then of position. None if the key is missing, or if the log no longer holds its write. */
  readonly writes: readonly TraceNode[];
  readonly links: readonly TracedLink[];
  /** Number of readings that are not followed: ranges, positions, and writes that the log no longer holds. */
  readonly open: number;
  /** `true` if there are more writes than were asked for. */
  readonly more: boolean;
}

/** A write in a {@link TraceDetail}. */
export interface TraceNode {
  readonly position: number;
  readonly namespace: string;
  /** `null` for an update of several keys. */
  readonly key: string | null;
  readonly operation: Operation;
  readonly at: number;
  readonly agent: string | null;
  /** Links between this write and that of the entry: negative before it, positive after it. */
  readonly column: number;
  /** `false` if the write may not have read what leads to it. */
  readonly certain: boolean;
  /** Position of the write that this one takes back; `null`: none. */
  readonly retracts: number | null;
  /** Position of the write that was taken back and makes this one stale; `null`: it is not stale. */
  readonly staleSince: number | null;
}

/** Two writes of a key by different agents, of which the later did not know of the earlier. */
export interface ContradictionDetail {
  readonly namespace: string;
  readonly key: string;
  readonly earlier: UpdateRow;
  readonly later: UpdateRow;
}

/** One version in the history of an entry. */
export interface EntryVersionDetail extends SubjectMarks {
  readonly operation: Operation;
  /** Absent if the update removed the entry. */
  readonly value?: JsonValue;
  readonly hidden: boolean;
  readonly version: number;
  readonly position: number;
  readonly at: number;
  readonly agent: string | null;
  readonly expiresAt: number | null;
}

/**
 * The body of `POST /api/set` and, without `value`, of `POST /api/delete`. A `[hidden …]` in `value` stands for the
 * hidden part of the replaced version, and may only appear at a path that is hidden again.
 */
export interface EditRequest {
  readonly namespace: string;
  readonly key: string;
  readonly value: JsonValue;
  /** The version that was shown; 0: no entry. `VERSION_CONFLICT` (409), with the current entry, if it has changed. */
  readonly ifVersion: number;
  /** Expiry in epoch milliseconds; `null`: never. Default: unchanged. */
  readonly expiresAt?: number | null;
  /**
   * The version that was edited, if another writer has changed the entry meanwhile: its subjects are kept too. Refused if the log does
   * not have it any more. Default: `ifVersion`.
   */
  readonly edited?: number;
  /**
   * The subjects of `value` by JSON pointer, as `set` takes them; `{}`: none. Default: those of the replaced and of the edited version.
   * Such an edit is refused with `INVALID_COMMAND` if it may have moved or removed a part with a subject.
   */
  readonly subjects?: { readonly [pointer: string]: string };
}

/** A choice of updates: query parameters of the same names, or the `filter` of a subscription. */
export interface UpdateFilter {
  /** Any of these operations; repeated in a query. */
  readonly operation?: readonly Operation[];
  /** A pattern, like `key` and `agent`: `*` stands for any text; without `*` the whole text must match. */
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
  /** `null` unless the operation is `set`. */
  readonly preview: Preview | null;
  readonly at: number;
  readonly agent: string | null;
  readonly expiresAt: number | null;
  readonly drop: boolean;
  readonly bytes: number;
  /** Number of keys that a `clear` removed; `null` for any other update. */
  readonly cleared: number | null;
}

/** A page of the log. */
export interface UpdatePage extends Paged<UpdateRow> {
  /** Updates read for this page. A page may end before its limit, so that no request takes long. */
  readonly scanned: number;
  /** The oldest position read. */
  readonly oldest: number;
}

/** An update with its value, redacted. */
export interface UpdateDetail extends Omit<UpdateRow, 'preview'>, SubjectMarks {
  /** Absent unless the operation is `set`. */
  readonly value?: JsonValue;
  /** The keys that a `clear` removed, the first 1,000. */
  readonly keys?: readonly string[];
  /** The version before; `null` if there was none, or if it is no longer kept. */
  readonly before: EntryVersionDetail | null;
  readonly hidden: boolean;
}

/** A view, and the range of positions that can be viewed. */
export interface ViewDetail {
  readonly position: number;
  /** When its update was requested; `null` for position 0, and if the log has released the update. */
  readonly at: number | null;
  /** The oldest and the newest position that can be viewed. */
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

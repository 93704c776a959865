import type { StoredEntry } from '../../../core/encoding/entry-codec.ts';
import type { NamespaceSummary } from '../../state-source.ts';
import type { StorageWrite } from '../leveldb/level-storage.ts';
import { corrupt, seal, sealWritten, unseal } from '../leveldb/sealed.ts';

/** Format of the state in storage: one record for each namespace, one for each page of its entries. */

/** Metadata of a namespace in the state table. */
export interface StoredNamespace extends NamespaceSummary {
  readonly name: string;
  /** Number of pages that its entries lie in. */
  readonly pages: number;
}

/** The entries of one page, encoded, so that a change decodes only the entries that it concerns. */
export type Page = Map<string, StoredEntry>;

const PREFIX = '!state!';
/** All keys of the state. */
export const STATE_RANGE = { gte: PREFIX, lt: '!state"' } as const;
/** Keys of the records of namespaces. */
export const SUMMARY_RANGE = { gte: `${PREFIX}d/`, lt: `${PREFIX}d0` } as const;
/** Key of the table's progress. */
export const PROGRESS_KEY = `${PREFIX}c`;

/** Key of a namespace's record. */
export function summaryKey(name: string): string {
  return `${SUMMARY_RANGE.gte}${name}`;
}

/**
 * Key of a page. The length before the name keeps `a` + `b/0` and `a/b` + `0` apart, because a name may contain any
 * character.
 */
export function pageKey(name: string, page: number): string {
  return `${PREFIX}p/${name.length}:${name}/${page.toString(16)}`;
}

const DIGEST = /^[0-9a-f]{64}$/;

/** Encodes a namespace's record. */
export function encodeSummary(summary: StoredNamespace): Uint8Array {
  const { name, version, position, count, bytes, pages, nextExpiryAt, digest } = summary;
  const fields = [name, version, position, count, bytes, pages, nextExpiryAt];
  return seal(digest === undefined ? fields : [...fields, digest]);
}

/** Decodes what {@link encodeSummary} has encoded. */
export function decodeSummary(record: Uint8Array): StoredNamespace {
  const [name, version, position, count, bytes, pages, nextExpiryAt, digest] = unseal(
    record,
    () => 'The record of a namespace in the state table',
  ) as [string, number, number, number, number, number, number | null, string?];
  if (digest !== undefined && !DIGEST.test(digest))
    throw corrupt('The digest of a namespace in the state table is malformed');
  return { name, version, position, count, bytes, pages, nextExpiryAt, digest };
}

/** Returns the write of a page. An empty page is stored as well, to distinguish it from a lost one. */
export function pageWrite(name: string, page: number, entries: Page): StorageWrite {
  return { type: 'put', key: pageKey(name, page), value: encodePage(entries) };
}

/** Encodes the entries of a page, one after the other. */
export function encodePage(entries: ReadonlyMap<string, StoredEntry>): Uint8Array {
  return sealWritten((to) => {
    to.array(3 * entries.size);
    for (const [entryKey, { expiresAt, bytes }] of entries) {
      to.text(entryKey);
      to.value(expiresAt);
      to.binary(bytes);
    }
  });
}

/** Decodes what {@link encodePage} has encoded. */
export function decodePage(record: Uint8Array | undefined): Page {
  const page: Page = new Map();
  if (record === undefined) return page;
  const rows = unseal(record, () => 'A page of entries in the state table') as unknown[];
  for (let i = 0; i < rows.length; i += 3) {
    page.set(rows[i] as string, { expiresAt: rows[i + 1] as number | null, bytes: rows[i + 2] as Uint8Array });
  }
  return page;
}

/** Progress of the state table. */
export interface Progress {
  /** Everything up to this position is in the table. */
  readonly checkpoint: number;
  /** Position of the restored snapshot that the table started with; 0 if it started empty. */
  readonly adopted: number;
  /** `true` while a snapshot is being adopted: the table is then incomplete. */
  readonly adopting: boolean;
  /** Start of the past: the instants of updates are numbered from this position. */
  readonly begins: number;
  /** Number of namespaces; `undefined` if a version that did not count them wrote the record. */
  readonly namespaces: number | undefined;
  /** `true` if a page that is not stored is lost. Early versions did not store empty pages. */
  readonly allPages: boolean;
  /** States before this position cannot be read: never kept, or released. */
  readonly since: number;
}

/** Progress of an empty table. */
export const NO_PROGRESS: Progress = {
  checkpoint: 0,
  adopted: 0,
  adopting: false,
  begins: 0,
  namespaces: 0,
  allPages: true,
  since: 0,
};

/** Returns the write that goes with every batch. */
export function progressWrite(progress: Progress & { readonly namespaces: number }): StorageWrite {
  const { checkpoint, adopted, adopting, begins, namespaces, allPages, since } = progress;
  const value = seal([checkpoint, adopted, adopting, begins, namespaces, allPages, since]);
  return { type: 'put', key: PROGRESS_KEY, value };
}

/** Decodes what {@link progressWrite} has encoded. Without a record: the progress of an empty table. */
export function decodeProgress(record: Uint8Array | undefined): Progress {
  if (record === undefined) return NO_PROGRESS;
  // A directory of a version that did not keep the past starts to keep it now.
  const [checkpoint, adopted, adopting, begins = checkpoint, namespaces, allPages = false, since = begins] = unseal(
    record,
    () => 'The checkpoint of the state table',
  ) as [number, number, boolean, number?, number?, boolean?, number?];
  return { checkpoint, adopted, adopting, begins, namespaces, allPages, since };
}

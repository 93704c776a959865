import type { StoredEntry } from '../../../core/encoding/entry-codec.ts';
import type { NamespaceSummary } from '../../state-source.ts';
import type { StorageWrite } from '../leveldb/level-storage.ts';
import { corrupt, seal, sealWritten, unseal } from '../leveldb/sealed.ts';

/** How the state lies in storage: one record for each namespace, one for each page of its entries. */

/** What the table knows of a namespace without reading its entries. */
export interface StoredNamespace extends NamespaceSummary {
  readonly name: string;
  /** Pages its entries lie in. */
  readonly pages: number;
}

/** The entries of one page: encoded, so that it is changed without decoding what does not change. */
export type Page = Map<string, StoredEntry>;

const PREFIX = '!state!';
/** All keys of the state. */
export const STATE_RANGE = { gte: PREFIX, lt: '!state"' } as const;
/** The records of the namespaces. */
export const SUMMARY_RANGE = { gte: `${PREFIX}d/`, lt: `${PREFIX}d0` } as const;
/** How far the table is. */
export const PROGRESS_KEY = `${PREFIX}c`;

/** Key of a namespace's record. */
export function summaryKey(name: string): string {
  return `${SUMMARY_RANGE.gte}${name}`;
}

/** A name may hold any character; its length in front keeps `a` + `b/0` and `a/b` + `0` apart. */
export function pageKey(name: string, page: number): string {
  return `${PREFIX}p/${name.length}:${name}/${page.toString(16)}`;
}

const DIGEST = /^[0-9a-f]{64}$/;

/** A namespace's record. */
export function encodeSummary(summary: StoredNamespace): Uint8Array {
  const { name, version, position, count, bytes, pages, nextExpiryAt, digest } = summary;
  const fields = [name, version, position, count, bytes, pages, nextExpiryAt];
  return seal(digest === undefined ? fields : [...fields, digest]);
}

/** The inverse of {@link encodeSummary}. */
export function decodeSummary(record: Uint8Array): StoredNamespace {
  const [name, version, position, count, bytes, pages, nextExpiryAt, digest] = unseal(
    record,
    () => 'The record of a namespace in the state table',
  ) as [string, number, number, number, number, number, number | null, string?];
  if (digest !== undefined && !DIGEST.test(digest))
    throw corrupt('The digest of a namespace in the state table is not one');
  return { name, version, position, count, bytes, pages, nextExpiryAt, digest };
}

/** A page as it is stored, its entries one after the other; an empty one too, so that it is told from a lost one. */
export function pageWrite(name: string, page: number, entries: Page): StorageWrite {
  return { type: 'put', key: pageKey(name, page), value: encodePage(entries) };
}

/** The record of a page. */
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

/** The inverse of {@link encodePage}. */
export function decodePage(record: Uint8Array | undefined): Page {
  const page: Page = new Map();
  if (record === undefined) return page;
  const rows = unseal(record, () => 'A page of entries in the state table') as unknown[];
  for (let i = 0; i < rows.length; i += 3) {
    page.set(rows[i] as string, { expiresAt: rows[i + 1] as number | null, bytes: rows[i + 2] as Uint8Array });
  }
  return page;
}

/** How far the table is. */
export interface Progress {
  /** Everything up to here is in the table. */
  readonly checkpoint: number;
  /** Position of the restored snapshot that the table began with; 0 where it began empty. */
  readonly adopted: number;
  /** A snapshot was being taken over: what is in the table is not whole. */
  readonly adopting: boolean;
  /** The past was kept from here on: the instants of updates are counted from this position. */
  readonly begins: number;
  /** How many namespaces there are; `undefined` where nobody has counted them yet. */
  readonly namespaces: number | undefined;
  /** Whether a page that is not there is lost. Early versions did not store empty ones. */
  readonly allPages: boolean;
  /** What was before this position cannot be seen, or no longer. */
  readonly since: number;
}

/** Of a table without anything in it. */
export const NO_PROGRESS: Progress = {
  checkpoint: 0,
  adopted: 0,
  adopting: false,
  begins: 0,
  namespaces: 0,
  allPages: true,
  since: 0,
};

/** Goes with every batch. */
export function progressWrite(progress: Progress & { readonly namespaces: number }): StorageWrite {
  const { checkpoint, adopted, adopting, begins, namespaces, allPages, since } = progress;
  const value = seal([checkpoint, adopted, adopting, begins, namespaces, allPages, since]);
  return { type: 'put', key: PROGRESS_KEY, value };
}

/** What {@link progressWrite} stored; the beginning where there is none. */
export function decodeProgress(record: Uint8Array | undefined): Progress {
  if (record === undefined) return NO_PROGRESS;
  // A directory that is older than the keeping of the past begins to keep it now.
  const [checkpoint, adopted, adopting, begins = checkpoint, namespaces, allPages = false, since = begins] = unseal(
    record,
    () => 'The checkpoint of the state table',
  ) as [number, number, boolean, number?, number?, boolean?, number?];
  return { checkpoint, adopted, adopting, begins, namespaces, allPages, since };
}

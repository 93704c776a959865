import { NamespaceDigest } from '../../../../core/encoding/digest.ts';
import type { StoredEntry } from '../../../../core/encoding/entry-codec.ts';
import type { NamespaceSummary } from '../../../state-source.ts';
import type { StorageWrite } from '../leveldb/level-storage.ts';
import { sealWritten, unseal } from '../leveldb/sealed.ts';

/** Format of the state in storage: one record for each namespace, one for each page of its entries. */

/** Digest of a namespace that does not exist. */
const NO_DIGEST = new NamespaceDigest().at(0);

/** Metadata of a namespace in the index. */
export interface StoredNamespace extends NamespaceSummary {
  readonly name: string;
  /** Number of pages that its entries lie in. */
  readonly pages: number;
  readonly digest: string;
}

/** Returns the metadata of a namespace that does not exist yet. */
export function emptySummary(name: string): StoredNamespace {
  return { name, version: 0, position: 0, count: 0, bytes: 0, pages: 1, nextExpiryAt: null, digest: NO_DIGEST };
}

/** The entries of one page, encoded, so that a change decodes only the entries that it concerns. */
export type Page = Map<string, StoredEntry>;

const PREFIX = '!state!';
/** Keys of the records of namespaces. */
export const SUMMARY_RANGE = { gte: `${PREFIX}d/`, lt: `${PREFIX}d0` } as const;
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

/** Encodes a namespace's record. */
export function encodeSummary(summary: StoredNamespace): Uint8Array {
  const { name, version, position, count, bytes, pages, nextExpiryAt, digest } = summary;
  return sealWritten((to) => {
    to.array(8);
    to.text(name);
    to.number(version);
    to.number(position);
    to.number(count);
    to.number(bytes);
    to.number(pages);
    to.value(nextExpiryAt);
    to.binary(Buffer.from(digest, 'hex'));
  });
}

/** Decodes what {@link encodeSummary} has encoded. */
export function decodeSummary(record: Uint8Array): StoredNamespace {
  const fields = unseal(record, () => 'The record of a namespace in the index');
  const [name, version, position, count, bytes, pages, nextExpiryAt, digest] = fields as [
    string,
    number,
    number,
    number,
    number,
    number,
    number | null,
    Buffer,
  ];
  return { name, version, position, count, bytes, pages, nextExpiryAt, digest: digest.toString('hex') };
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
  const rows = unseal(record, () => 'A page of entries in the index') as unknown[];
  for (let i = 0; i < rows.length; i += 3) {
    page.set(rows[i] as string, { expiresAt: rows[i + 1] as number | null, bytes: rows[i + 2] as Uint8Array });
  }
  return page;
}

import { freezeDeep } from '../core/codec.ts';
import type { EntryRecord } from '../core/namespace-state.ts';
import type { JsonValue } from '../core/value.ts';
import type { StorageWrite } from './level-storage.ts';
import { seal, unseal } from './sealed.ts';
import type { NamespaceSummary } from './state-source.ts';

/** How the state lies in storage: one record for each namespace, one for each page of its entries. */

/** What the table knows of a namespace without reading its entries. */
export interface StoredNamespace extends NamespaceSummary {
  readonly name: string;
  /** Pages its entries lie in. */
  readonly pages: number;
}

/** The entries of one page. */
export type Page = Map<string, EntryRecord>;

const PREFIX = '!state!';
/** All keys of the state. */
export const STATE_RANGE = { gte: PREFIX, lt: '!state"' } as const;
/** The records of the namespaces. */
export const SUMMARY_RANGE = { gte: `${PREFIX}d/`, lt: `${PREFIX}d0` } as const;
export const PROGRESS_KEY = `${PREFIX}c`;

export function summaryKey(name: string): string {
  return `${SUMMARY_RANGE.gte}${name}`;
}

/** A name may hold any character; its length in front keeps `a` + `b/0` and `a/b` + `0` apart. */
export function pageKey(name: string, page: number): string {
  return `${PREFIX}p/${name.length}:${name}/${page.toString(16)}`;
}

export function encodeSummary(summary: StoredNamespace): Uint8Array {
  const { name, version, position, count, bytes, pages, nextExpiryAt } = summary;
  return seal([name, version, position, count, bytes, pages, nextExpiryAt]);
}

export function decodeSummary(record: Uint8Array): StoredNamespace {
  const [name, version, position, count, bytes, pages, nextExpiryAt] = unseal(
    record,
    () => 'The record of a namespace in the state table',
  ) as [string, number, number, number, number, number, number | null];
  return { name, version, position, count, bytes, pages, nextExpiryAt };
}

/** A page as it is stored; an empty one is not. The value comes last, and is left out where it is kept elsewhere. */
export function pageWrite(name: string, page: number, entries: Page): StorageWrite {
  const key = pageKey(name, page);
  if (entries.size === 0) return { type: 'del', key };
  const rows: unknown[] = [];
  for (const [entryKey, entry] of entries) {
    const { version, createdAt, updatedAt, expiresAt, agent, bytes, value } = entry;
    const row = [entryKey, version, createdAt, updatedAt - createdAt, expiresAt, agent, bytes];
    rows.push(value === undefined ? row : [...row, value]);
  }
  return { type: 'put', key, value: seal(rows) };
}

type Row = [string, number, number, number, number | null, string | null, number, JsonValue?];

export function decodePage(record: Uint8Array | undefined): Page {
  const page: Page = new Map();
  if (record === undefined) return page;
  for (const row of unseal(record, () => 'A page of entries in the state table') as Row[]) {
    const [key, version, createdAt, age, expiresAt, agent, bytes, value] = row;
    page.set(key, {
      value: row.length < 8 ? undefined : freezeDeep(value),
      version,
      createdAt,
      updatedAt: createdAt + age,
      expiresAt,
      agent,
      bytes,
    });
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
}

export function progressWrite({ checkpoint, adopted, adopting }: Progress): StorageWrite {
  return { type: 'put', key: PROGRESS_KEY, value: seal([checkpoint, adopted, adopting]) };
}

export function decodeProgress(record: Uint8Array | undefined): Progress {
  if (record === undefined) return { checkpoint: 0, adopted: 0, adopting: false };
  const [checkpoint, adopted, adopting] = unseal(record, () => 'The checkpoint of the state table') as [
    number,
    number,
    boolean,
  ];
  return { checkpoint, adopted, adopting };
}

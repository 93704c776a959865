import { NamespaceDigest } from '../../../core/encoding/digest.ts';
import { encodeEntry } from '../../../core/encoding/entry-codec.ts';
import type { EntryRecord } from '../../../core/namespace-state.ts';
import { filled, type NameTable } from '../../../core/tables/name-table.ts';
import type { TimeSlice } from '../../../core/time-slice.ts';
import { type LevelDirectory, readAll } from '../leveldb/level-directory.ts';
import { BatchWriter } from '../records/batch-writer.ts';
import {
  encodeSummary,
  type Page,
  pageWrite,
  STATE_RANGE,
  type StoredNamespace,
  summaryKey,
} from '../records/state-records.ts';
import { StateColumns } from './state-columns.ts';
import { pageOf, pagesFor } from './state-hash.ts';

/** A namespace of a snapshot. */
export interface AdoptedNamespace {
  readonly name: string;
  readonly version: number;
  readonly position: number;
  /** All entries. The same entry may occur twice. */
  readonly entries: Iterable<readonly [string, EntryRecord]>;
}

/** Stores namespaces that do not exist yet. Resolves with their metadata. */
export function adoptNamespaces(
  directory: LevelDirectory,
  namespaces: AsyncIterable<AdoptedNamespace> | Iterable<AdoptedNamespace>,
  slice: TimeSlice,
  names: NameTable,
): Promise<StateColumns> {
  return filled(new StateColumns(names), async (summaries) => {
    const writer = new BatchWriter(directory);
    for await (const namespace of namespaces) summaries.set(await adoptNamespace(writer, namespace, slice));
    await writer.flush();
  });
}

async function adoptNamespace(
  writer: BatchWriter,
  { name, version, position, entries }: AdoptedNamespace,
  slice: TimeSlice,
): Promise<StoredNamespace> {
  const all = new Map(entries);
  const { bytes, nextExpiryAt } = measure(all);
  const pages = pagesFor(1, all.size, bytes);
  const digest = new NamespaceDigest();
  for (const [page, content] of distribute(all, pages).entries()) {
    const stored: Page = new Map(Array.from(content, ([key, entry]) => [key, encodeEntry(entry)]));
    for (const [key, entry] of stored) digest.add(key, entry);
    await writer.add(pageWrite(name, page, stored));
    if (slice.over) await slice.pause();
  }
  const measures = { count: all.size, bytes, pages, nextExpiryAt, digest: digest.at(version) };
  const summary = { name, version, position, ...measures };
  await writer.add({ type: 'put', key: summaryKey(name), value: encodeSummary(summary) });
  return summary;
}

function measure(entries: ReadonlyMap<string, EntryRecord>): { bytes: number; nextExpiryAt: number | null } {
  let bytes = 0;
  let next = Number.POSITIVE_INFINITY;
  for (const entry of entries.values()) {
    bytes += entry.bytes;
    if (entry.expiresAt !== null) next = Math.min(next, entry.expiresAt);
  }
  return { bytes, nextExpiryAt: next === Number.POSITIVE_INFINITY ? null : next };
}

function distribute(entries: ReadonlyMap<string, EntryRecord>, count: number): Map<string, EntryRecord>[] {
  const pages = Array.from({ length: count }, () => new Map<string, EntryRecord>());
  for (const [key, entry] of entries) pages[pageOf(key, count)]?.set(key, entry);
  return pages;
}

/** Removes the whole state. */
export async function wipeState(directory: LevelDirectory): Promise<void> {
  const writer = new BatchWriter(directory);
  for await (const [key] of readAll(directory, STATE_RANGE)) await writer.add({ type: 'del', key });
  await writer.flush();
}

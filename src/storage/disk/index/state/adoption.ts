import { NamespaceDigest } from '../../../../core/encoding/digest.ts';
import { encodeEntry, type StoredEntry } from '../../../../core/encoding/entry-codec.ts';
import type { EntryRecord } from '../../../../core/namespace-state.ts';
import type { TimeSlice } from '../../../../core/time-slice.ts';
import type { BaseNamespace } from '../../log/logged-update.ts';
import type { LevelStorage, StorageWrite } from '../leveldb/level-storage.ts';
import { keyframeWrites } from '../past/keyframe.ts';
import { BatchWriter } from '../records/batch-writer.ts';
import { pastWrite } from '../records/past-records.ts';
import { sumAfter } from '../records/record-sum.ts';
import { encodeSummary, type Page, pageWrite, summaryKey } from '../records/state-records.ts';
import { pageOf, pagesFor } from './state-hash.ts';

/** Stores the namespaces of a base in a storage that holds none. Resolves with their number and the sum of their records. */
export async function adoptNamespaces(
  storage: LevelStorage,
  namespaces: AsyncIterable<BaseNamespace>,
  keepsValues: boolean,
  slice: TimeSlice,
): Promise<{ readonly namespaces: number; readonly sum: number }> {
  const writer = new BatchWriter(storage);
  let count = 0;
  let sum = 0;
  for await (const namespace of namespaces) {
    const entries = new Map(namespace.entries);
    const records = [await adoptNamespace(writer, namespace, entries, keepsValues, slice)];
    if (!keepsValues) records.push(await keepAsKeyframe(writer, namespace, entries));
    sum = sumAfter(sum, [], records);
    for (const record of records) await writer.add(record);
    count += 1;
  }
  await writer.flush();
  return { namespaces: count, sum };
}

/** Stores the pages of a namespace. Resolves with its record, which is still to be written. */
async function adoptNamespace(
  writer: BatchWriter,
  { name, version, position }: BaseNamespace,
  entries: ReadonlyMap<string, EntryRecord>,
  keepsValues: boolean,
  slice: TimeSlice,
): Promise<StorageWrite> {
  const { bytes, nextExpiryAt } = measure(entries);
  const pages = pagesFor(1, entries.size, bytes);
  const contents: Map<string, StoredEntry>[] = Array.from({ length: pages }, () => new Map());
  const digest = new NamespaceDigest();
  for (const [key, entry] of entries) {
    const stored = encodeEntry(keepsValues ? entry : { ...entry, value: undefined });
    digest.add(key, stored);
    (contents[pageOf(key, pages)] as Page).set(key, stored);
    if (slice.over) await slice.pause();
  }
  for (const [page, content] of contents.entries()) {
    await writer.add(pageWrite(name, page, content));
    if (slice.over) await slice.pause();
  }
  const measures = { count: entries.size, bytes, pages, nextExpiryAt, digest: digest.at(version) };
  const value = encodeSummary({ name, version, position, ...measures });
  return { type: 'put', key: summaryKey(name), value };
}

/** Keeps the values, which the pages of the state do not contain, for the past. */
async function keepAsKeyframe(
  writer: BatchWriter,
  { name, version, position }: BaseNamespace,
  entries: ReadonlyMap<string, EntryRecord>,
): Promise<StorageWrite> {
  let pages = 0;
  for (const write of keyframeWrites(name, 1, entries)) {
    await writer.add(write);
    pages += 1;
  }
  const keyframe = { generation: 1, ordinal: 0, version, position, pages, entries: entries.size };
  const nothing = { count: 0, frames: 0, framedAt: 0, weight: 0, firstChunk: 0, firstFrame: 0 };
  return pastWrite({ name, last: position, lives: [0], livedBefore: false, ...nothing, keyframe });
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

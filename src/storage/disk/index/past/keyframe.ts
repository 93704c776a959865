import { encodeEntry, type StoredEntry } from '../../../../core/encoding/entry-codec.ts';
import type { EntryRecord } from '../../../../core/namespace-state.ts';
import type { StorageWrite } from '../leveldb/level-storage.ts';
import { keyframePageKey } from '../records/past-records.ts';
import { encodePage } from '../records/state-records.ts';

/** Upper bounds of a page of a keyframe, in entries and bytes. */
const PAGE_ENTRIES = 64;
const PAGE_BYTES = 64 * 1024;

/** Yields the pages of a keyframe. */
export function* keyframeWrites(
  name: string,
  generation: number,
  entries: Iterable<readonly [string, EntryRecord]>,
): Generator<StorageWrite> {
  let pages = 0;
  for (const page of pagesOf(entries)) {
    yield { type: 'put', key: keyframePageKey(name, generation, pages), value: encodePage(page) };
    pages += 1;
  }
}

function* pagesOf(entries: Iterable<readonly [string, EntryRecord]>): Generator<Map<string, StoredEntry>> {
  let page = new Map<string, StoredEntry>();
  let bytes = 0;
  for (const [key, entry] of entries) {
    const stored = encodeEntry(entry);
    page.set(key, stored);
    bytes += key.length + stored.bytes.length;
    if (page.size < PAGE_ENTRIES && bytes < PAGE_BYTES) continue;
    yield page;
    page = new Map();
    bytes = 0;
  }
  if (page.size > 0) yield page;
}

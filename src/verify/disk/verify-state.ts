import { NamespaceDigest } from '../../core/encoding/digest.ts';
import { decodeEntry, type StoredEntry } from '../../core/encoding/entry-codec.ts';
import type { PinnedStorage } from '../../storage/disk/leveldb/pinned-storage.ts';
import { corrupt } from '../../storage/disk/leveldb/sealed.ts';
import { decodePage, pageKey, type StoredNamespace } from '../../storage/disk/records/state-records.ts';
import { pageOf } from '../../storage/disk/state/state-hash.ts';
import type { Findings } from '../verify-findings.ts';

/** Number of pages read at a time. */
const PAGES = 64;

/** Verdict on a namespace of the state table. */
export interface StateVerdict {
  /** Digest of the stored entries. */
  readonly digest: string;
  /** `true` if values are stored; with an external primary they are not. */
  readonly valued: boolean;
  /** `true` if every page could be read. */
  readonly whole: boolean;
}

/** Totals while the pages are read. */
interface Met {
  count: number;
  bytes: number;
  nextExpiryAt: number | null;
  valued: boolean;
  whole: boolean;
}

/** Reads all pages of a namespace and compares them with its record. `allPages`: empty pages are stored too. */
export async function verifyState(
  storage: PinnedStorage,
  findings: Findings,
  stored: StoredNamespace,
  allPages: boolean,
): Promise<StateVerdict> {
  const digest = new NamespaceDigest();
  const met: Met = { count: 0, bytes: 0, nextExpiryAt: null, valued: false, whole: true };
  for await (const [page, key, entry] of pagesOf(storage, findings, stored, allPages, met)) {
    try {
      digest.add(key, entry);
      take(findings, stored, page, key, entry, met);
    } catch (error) {
      met.whole = false;
      findings.addError('record', { record: pageKey(stored.name, page), namespace: stored.name }, error);
    }
    await findings.step('namespaces', findings.counts.namespaces);
  }
  findings.counts.entries += met.count;
  const found = digest.at(stored.version);
  if (met.whole) compare(findings, stored, met, found);
  return { digest: found, valued: met.valued, whole: met.whole };
}

async function* pagesOf(
  storage: PinnedStorage,
  findings: Findings,
  { name, pages, count }: StoredNamespace,
  allPages: boolean,
  met: Met,
): AsyncGenerator<readonly [page: number, key: string, entry: StoredEntry]> {
  for (let first = 0; first < pages; first += PAGES) {
    const some = Array.from({ length: Math.min(PAGES, pages - first) }, (_, index) => first + index);
    const records = await readable(storage, findings, name, some, met);
    for (const [index, page] of some.entries()) {
      try {
        if (records[index] === undefined && count > 0 && allPages)
          throw corrupt('A page of the state table is missing');
        for (const [key, entry] of decodePage(records[index])) yield [page, key, entry];
      } catch (error) {
        met.whole = false;
        findings.addError('record', { record: pageKey(name, page), namespace: name }, error);
      }
    }
  }
}

async function readable(
  storage: PinnedStorage,
  findings: Findings,
  namespace: string,
  pages: readonly number[],
  met: Met,
): Promise<readonly (Uint8Array | undefined)[]> {
  try {
    return await storage.getMany(pages.map((page) => pageKey(namespace, page)));
  } catch (error) {
    met.whole = false;
    findings.addError('record', { record: pageKey(namespace, pages[0] ?? 0), namespace }, error);
    return [];
  }
}

function take(
  findings: Findings,
  { name, pages }: StoredNamespace,
  page: number,
  key: string,
  stored: StoredEntry,
  met: Met,
): void {
  const where = { record: pageKey(name, page), namespace: name, key };
  if (pageOf(key, pages) !== page) findings.add('state', where, 'The entry is in the wrong page.');
  met.count += 1;
  const { bytes, value, expiresAt } = decodeEntry(stored);
  met.bytes += bytes;
  met.valued ||= value !== undefined;
  if (expiresAt !== null) met.nextExpiryAt = Math.min(met.nextExpiryAt ?? expiresAt, expiresAt);
}

function compare(findings: Findings, stored: StoredNamespace, met: Met, digest: string): void {
  const where = { namespace: stored.name };
  for (const what of ['count', 'bytes'] as const) {
    if (met[what] === stored[what]) continue;
    findings.add('state', where, `The pages hold ${met[what]} instead of ${stored[what]} (${what} of the namespace).`);
  }
  // A lower bound for a namespace of several pages: it may be too early, never too late.
  const known = stored.nextExpiryAt ?? Number.POSITIVE_INFINITY;
  const next = met.nextExpiryAt ?? Number.POSITIVE_INFINITY;
  if (stored.pages === 1 ? known !== next : known > next) {
    findings.add('state', where, `The next expiry is at ${next}, but the record of the namespace has ${known}.`);
  }
  if (digest !== (stored.digest ?? digest)) {
    findings.add('state', where, 'The pages are not those that were written last: their digest differs.');
  }
}

/**
 * Linear hashing: the entries of a namespace lie in pages 0 … n-1, and n changes one page at a time. An added page
 * takes its entries from exactly one other page, its parent; a removed page returns them to it.
 */

/** A page is added when the average number of entries in a page exceeds this. */
const ENTRIES_A_PAGE = 16;
/** A page is added when the average number of value bytes in a page exceeds this. */
const BYTES_A_PAGE = 64 * 1024;
/** Pages are removed only well below the limit, so that a namespace at the limit does not alternate. */
const SHRINK = 4;

/** Hashes a key: FNV-1a over its UTF-16 units, mixed so that the low bits depend on all of it. Part of the format. */
function hashKey(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i += 1) {
    const unit = key.charCodeAt(i);
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193);
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Returns the page of a key among `pages` pages. */
export function pageOf(key: string, pages: number): number {
  const hash = hashKey(key);
  const wide = hash % powerAbove(pages);
  return wide < pages ? wide : wide - powerAbove(pages) / 2;
}

/** Returns the page that page `page` (not 0) takes its entries from, or returns them to. */
export function parentOf(page: number): number {
  return page - powerAbove(page + 1) / 2;
}

/** Returns the new number of pages, at least 1, of a namespace that has `pages` pages now. */
export function pagesFor(pages: number, count: number, bytes: number): number {
  const wanted = Math.min(count, Math.max(count / ENTRIES_A_PAGE, bytes / BYTES_A_PAGE));
  const most = Math.min(count, SHRINK * wanted);
  return Math.max(1, Math.min(Math.max(pages, Math.ceil(wanted)), Math.floor(most)));
}

/** Returns the smallest power of two that is at least `n`. */
function powerAbove(n: number): number {
  return n <= 1 ? 1 : 2 ** (32 - Math.clz32(n - 1));
}

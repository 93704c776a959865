import { createUpdate, type Update } from './update.ts';

/** Number of keys in one `clear` at most: as many messages are published before the server must confirm them. */
export const MAX_CLEARED_KEYS = 4096;
/** Estimated bytes of the keys in one `clear` at most, unless one key alone is larger. A frame of the log is of that size. */
export const MAX_CLEARED_BYTES = 1024 * 1024;

/** Returns the estimated bytes of keys in memory, as that of an array of texts. */
export function bytesOfKeys(keys: readonly string[]): number {
  let bytes = 0;
  for (const key of keys) bytes += bytesOfKey(key);
  return bytes;
}

function bytesOfKey(key: string): number {
  return 16 + 2 * key.length;
}

/** Splits keys into parts that one `clear` may have. */
export function* clearableParts(keys: readonly string[]): Generator<readonly string[]> {
  let start = 0;
  let bytes = 0;
  for (const [index, key] of keys.entries()) {
    const more = bytesOfKey(key);
    if (index > start && (index - start === MAX_CLEARED_KEYS || bytes + more > MAX_CLEARED_BYTES)) {
      yield keys.slice(start, index);
      start = index;
      bytes = 0;
    }
    bytes += more;
  }
  if (start < keys.length) yield keys.slice(start);
}

/**
 * Returns updates in which each `clear` is replaced by a `delete` for each of its keys, all of them with its position and
 * version: for destinations that know no `clear`.
 */
export function withDeletes(updates: readonly Update[]): readonly Update[] {
  if (!updates.some(({ operation }) => operation === 'clear')) return updates;
  return updates.flatMap((update) => [...eachKey(update)]);
}

/** Yields a `delete` for each key of a `clear`, and any other update itself. */
export function* eachKey(update: Update): Generator<Update> {
  if (update.operation !== 'clear') {
    yield update;
    return;
  }
  for (const key of update.keys ?? []) yield deletionOf(update, key);
}

/** Returns what a `clear` did to one key. */
export function deletionOf(clear: Update, key: string): Update {
  const deletion = createUpdate({ ...clear, operation: 'delete', key, keys: undefined, bytes: 0 });
  deletion.position = clear.position;
  return deletion;
}

/** Returns a `clear` with only those of its keys that `has` selects; `undefined` if it selects none. */
export function narrowed(clear: Update, has: (key: string) => boolean): Update | undefined {
  const { keys = [] } = clear;
  const selected = keys.filter(has);
  if (selected.length === keys.length) return clear;
  return selected.length === 0 ? undefined : withKeys(clear, selected);
}

/** Returns a `clear` with other keys. */
export function withKeys(clear: Update, keys: readonly string[]): Update {
  return { ...clear, operation: 'clear', key: null, keys, replaced: 0, bytes: bytesOfKeys(keys) };
}

/** Returns changes in which those of one key each that a `clear` made, which have one position, are one `clear` again. */
export function joined(changes: readonly Update[]): Update[] {
  const updates: Update[] = [];
  for (let start = 0; start < changes.length; ) {
    const first = changes[start] as Update;
    let end = start + 1;
    while (changes[end]?.position === first.position) end += 1;
    const isPart = end - start > 1 || (first.operation === 'clear' && first.key !== null);
    const keys = () => changes.slice(start, end).map(({ key }) => key as string);
    updates.push(isPart ? withKeys(first, keys()) : first);
    start = end;
  }
  return updates;
}

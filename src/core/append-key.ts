/** Most characters that {@link appendedKey} adds to a prefix: a letter, 16 digits, and one more character in the rare case. */
export const LONGEST_SUFFIX = 18;

const LETTERS = 'abcdefghijklmnop';

/**
 * Returns the key of an appended entry: the prefix, a letter for the number of digits, and the version of the namespace with
 * this entry: `a1`, …, `a9`, `b10`, …, `c100`. Later entries have greater versions, so the order of code points is the order
 * of appending. No version comes twice, whatever was deleted or dropped meanwhile, so no key is given twice.
 *
 * If a caller has set this very key before, `~` follows until the key is free: it stays between its neighbours.
 */
export function appendedKey(prefix: string, version: number, isTaken: (key: string) => boolean): string {
  const digits = String(version);
  let key = `${prefix}${LETTERS[digits.length - 1]}${digits}`;
  while (isTaken(key)) key += '~';
  return key;
}

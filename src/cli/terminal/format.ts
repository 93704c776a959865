/** A name on a line of its own: as it is, or, where that would not be clear, as JSON. */
export function shownName(name: string): string {
  return /^"|^\s|\s$|[\p{Cc}\p{Zl}\p{Zp}]/u.test(name) ? JSON.stringify(name) : name;
}

/** `12,345`. */
export function shownCount(count: number): string {
  return count.toLocaleString('en-US');
}

/** `1 update`, `12,345 updates`. */
export function shownAmount(count: number, one: string, several = `${one}s`): string {
  return `${shownCount(count)} ${count === 1 ? one : several}`;
}

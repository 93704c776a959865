/** Returns a name as it is, or as JSON if it would be ambiguous on a line. */
export function shownName(name: string): string {
  return /^$|^"|^\s|\s$|[\p{Cc}\p{Zl}\p{Zp}]/u.test(name) ? JSON.stringify(name) : name;
}

/**
 * `12,345`. Groups the digits of an integer itself: the first `toLocaleString` of a process loads the locale's data, which
 * takes longer than most commands.
 */
export function shownCount(count: number): string {
  if (!Number.isSafeInteger(count)) return count.toLocaleString('en-US');
  return String(count).replace(/\B(?=(?:\d{3})+$)/g, ',');
}

/** `1 update`, `12,345 updates`. */
export function shownAmount(count: number, one: string, several = `${one}s`): string {
  return `${shownCount(count)} ${count === 1 ? one : several}`;
}

/** `2026-01-31T12:00:00.000Z` for epoch milliseconds. */
export function shownTime(at: number): string {
  return new Date(at).toISOString();
}

/** JSON on several lines, in which instants (`at`, `updatedAt`) are ISO times instead of epoch milliseconds. */
export function shownJson(value: unknown): string {
  const withTimes = (name: string, field: unknown) =>
    typeof field === 'number' && /(^at|At)$/.test(name) ? shownTime(field) : field;
  return JSON.stringify(value, withTimes, 2);
}

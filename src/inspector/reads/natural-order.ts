import { compareNames } from '../../core/names.ts';

/**
 * Compares two names as people read them: digits count as one number, so `task-2` comes before `task-10`. Everything
 * else is in the order of `compareNames`. Numbers of equal value are ordered by their length (`1`, `01`), so that only
 * equal names compare as 0. Names that share a prefix are next to each other, unless the prefix ends inside a number.
 */
export function compareNaturally(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  let at = 0;
  while (at < length && a.charCodeAt(at) === b.charCodeAt(at)) at += 1;
  let start = at;
  while (start > 0 && isDigit(a.charCodeAt(start - 1))) start -= 1;
  const [one, other] = [endOfNumber(a, start), endOfNumber(b, start)];
  // The names differ outside a number, or a number meets another character.
  if (one === start || other === start) return compareNames(a, b);
  return compareNumbers(a.slice(start, one), b.slice(start, other)) || compareNames(a.slice(one), b.slice(other));
}

/** Returns whether the prefix ends in a digit. The names below such a prefix do not form one run. */
export const endsInNumber = (prefix: string): boolean => isDigit(prefix.charCodeAt(prefix.length - 1));

const isDigit = (unit: number): boolean => unit >= 48 && unit <= 57;

function endOfNumber(name: string, start: number): number {
  let end = start;
  while (end < name.length && isDigit(name.charCodeAt(end))) end += 1;
  return end;
}

/** Compares two numbers by value, and equal values by length. They may be longer than a JavaScript number. */
function compareNumbers(a: string, b: string): number {
  const [x, y] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')];
  if (x.length !== y.length) return x.length - y.length;
  if (x !== y) return x < y ? -1 : 1;
  return a.length - b.length;
}

/**
 * Returns the first index from `from` to `to - 1` for which `isTrue` holds, by bisection; `to` if it holds for none. Once
 * true it must stay true.
 */
export function firstWhere(from: number, to: number, isTrue: (index: number) => boolean): number {
  let low = from;
  let high = to;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (isTrue(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

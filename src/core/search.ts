/** The first of `from` … `to - 1` of which it is true, by halving; `to` where it is true of none. Once true, always true. */
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

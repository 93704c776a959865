/**
 * Returns the wait before a retry, milliseconds: `firstMs` before the first one (`retry` 1), doubled with each further
 * one, at most `longestMs`. The caller sets the timer on its own clock.
 */
export function backOffMs(retry: number, firstMs: number, longestMs: number): number {
  // Beyond 30 doublings the product only loses precision.
  return Math.min(longestMs, firstMs * 2 ** Math.min(retry - 1, 30));
}

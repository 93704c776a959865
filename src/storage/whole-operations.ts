import type { Update } from '../core/update.ts';

/**
 * Returns the updates without the last operation, of which the rest may follow: updates with one operation id that follow
 * each other are delivered together. Returns all of them if they are one operation, or if nothing follows.
 */
export function wholeOperations(updates: readonly Update[], committed: number): readonly Update[] {
  const last = updates.at(-1);
  if (last?.operationId === undefined || last.position >= committed) return updates;
  let end = updates.length - 1;
  while (end > 0 && updates[end - 1]?.operationId === last.operationId) end -= 1;
  return end === 0 ? updates : updates.slice(0, end);
}

import type { Update } from './update.ts';

/**
 * Returns the updates without the last operation, of which the rest may follow: updates with one operation id that follow
 * each other are delivered together, and so are the deletions that stand for one `clear`. Returns all of them if they are one operation, or if nothing follows.
 */
export function wholeOperations(updates: readonly Update[], committed: number): readonly Update[] {
  const last = updates.at(-1);
  if (last?.operationId === undefined || last.position >= committed) return updates;
  let end = updates.length - 1;
  while (end > 0 && isOneOperation(updates[end - 1], last)) end -= 1;
  return end === 0 ? updates : updates.slice(0, end);
}

/**
 * Returns how many of the updates to deliver, about `most` and at least 1, without a part of an operation: fewer if an
 * operation would be split, more if the first operation alone is larger.
 */
export function countOfWhole(updates: readonly Update[], most: number): number {
  let end = Math.max(1, Math.min(most, updates.length));
  const wanted = end;
  while (end > 0 && isOneOperation(updates[end - 1], updates[end])) end -= 1;
  if (end > 0) return end;
  end = wanted;
  while (isOneOperation(updates[end - 1], updates[end])) end += 1;
  return end;
}

function isOneOperation(update: Update | undefined, next: Update | undefined): boolean {
  if (update === undefined || next === undefined) return false;
  // Updates without a position are those of a copy.
  if (update.position === next.position && update.position > 0) return true;
  return update.operationId !== undefined && update.operationId === next.operationId;
}

import assert from 'node:assert/strict';
import { ContextCacheError, type ErrorCode } from '../core/errors.ts';
import { createUpdate, type PendingUpdate, type Update } from '../core/update.ts';
import type { UpdateLog } from '../storage/update-log.ts';

/** A log under test. */
export interface LogUnderTest {
  /** New and empty. The suite closes it. */
  readonly log: UpdateLog;
  /** The same log again after `log` has been closed; absent where it does not outlive that. The suite closes it. */
  readonly reopen?: () => UpdateLog | Promise<UpdateLog>;
}

/** A test of a log that is new. */
export type Check = (name: string, run: (log: UpdateLog, place: LogUnderTest) => Promise<void>) => unknown;

/** What the suite appends, and how it looks at what comes. */

export function sets(first: number, count: number): PendingUpdate[] {
  return range(first, first + count - 1).map((version) => aSet(version, `k${version % 7}`));
}

export function aSet(version: number, key: string): PendingUpdate {
  return createUpdate('n', version, 'set', key, { version }, 1_700_000_000_000 + version, null, null, 0, false, 16);
}

export function oneOfEach(): PendingUpdate[] {
  const at = 1_700_000_000_000;
  return [
    createUpdate(
      'a',
      1,
      'set',
      'k',
      Object.freeze({ list: Object.freeze([1, null]) }),
      at,
      'agent',
      at + 5,
      0,
      false,
      9,
    ),
    createUpdate('a', 2, 'touch', 'k', null, at + 1, null, null, 1, false, 0),
    createUpdate('a', 3, 'expire', 'k', null, at + 2, null, null, 2, false, 0),
    createUpdate('__proto__', 1, 'set', 'é:\u{1f600}\0', -1.5, at, null, null, 0, false, 8),
    createUpdate('__proto__', 2, 'evict', 'é:\u{1f600}\0', null, at - 9, 'agent', null, 1, false, 0),
    createUpdate('a', 4, 'set', 'k', '', at, null, null, 0, false, 2),
    createUpdate('a', 5, 'delete', 'k', null, at, null, null, 4, false, 0),
    createUpdate('a', 6, 'clear_namespace', null, null, at, null, null, 0, false, 0),
    createUpdate('a', 7, 'clear_namespace', null, null, at, 'other', null, 0, true, 0),
  ];
}

export async function fill(log: UpdateLog, count: number): Promise<void> {
  log.append(sets(log.head + 1, count));
  await log.flush();
}

export async function all(groups: AsyncIterable<readonly Update[]>): Promise<Update[]> {
  const updates: Update[] = [];
  for await (const group of groups) updates.push(...group);
  return updates;
}

export function positions(updates: readonly Update[]): number[] {
  return updates.map(({ position }) => position);
}

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

export function isError(code: ErrorCode): (thrown: unknown) => boolean {
  return (thrown) => thrown instanceof ContextCacheError && thrown.code === code;
}

/** Whether it throws or rejects with the code. */
export async function refuses(code: ErrorCode, run: () => Promise<unknown>): Promise<void> {
  await assert.rejects(async () => run(), isError(code));
}

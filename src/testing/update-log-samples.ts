import assert from 'node:assert/strict';
import { ContextCacheError, type ErrorCode } from '../core/errors.ts';
import { createUpdate, type PendingUpdate, type Update } from '../core/update.ts';
import type { UpdateLog } from '../storage/update-log.ts';

/** A log under test. */
export interface LogUnderTest {
  /** New and empty. The suite closes it. */
  readonly log: UpdateLog;
  /** Opens the same log after `log` was closed. Absent if its content does not outlive that. The suite closes it. */
  readonly reopen?: () => UpdateLog | Promise<UpdateLog>;
}

/** A test of a new log. */
export type Check = (name: string, run: (log: UpdateLog, place: LogUnderTest) => Promise<void>) => unknown;

const SOME_BASIS = [
  { namespace: 'a', key: 'k', version: 1 },
  { namespace: 'a', prefix: '', from: 1, to: 2 },
  { position: 3 },
];

/** Sample updates of the suite, and helpers to read them. */

export function sets(first: number, count: number): PendingUpdate[] {
  return range(first, first + count - 1).map((version) => aSet(version, `k${version % 7}`));
}

export function aSet(version: number, key: string): PendingUpdate {
  return createUpdate({
    namespace: 'n',
    version,
    operation: 'set',
    key,
    value: { version },
    at: 1_700_000_000_000 + version,
    bytes: 16,
  });
}

export function oneOfEach(): PendingUpdate[] {
  const at = 1_700_000_000_000;
  return [
    createUpdate({
      namespace: 'a',
      version: 1,
      operation: 'set',
      key: 'k',
      value: Object.freeze({ list: Object.freeze([1, null]) }),
      at,
      agent: 'agent',
      meta: Object.freeze({ task: 't-7', steps: Object.freeze([1, null]) }),
      operationId: 'é-1',
      expiresAt: at + 5,
      bytes: 9,
    }),
    createUpdate({ namespace: 'a', version: 2, operation: 'touch', key: 'k', at: at + 1, replaced: 1, meta: {} }),
    createUpdate({ namespace: 'a', version: 3, operation: 'expire', key: 'k', at: at + 2, replaced: 2 }),
    createUpdate({
      namespace: '__proto__',
      version: 1,
      operation: 'set',
      key: 'é:\u{1f600}\0',
      value: -1.5,
      at,
      bytes: 8,
    }),
    createUpdate({
      namespace: '__proto__',
      version: 2,
      operation: 'evict',
      key: 'é:\u{1f600}\0',
      at: at - 9,
      agent: 'agent',
      replaced: 1,
    }),
    createUpdate({
      namespace: 'a',
      version: 4,
      operation: 'set',
      key: 'k',
      value: '',
      at,
      bytes: 2,
      basis: SOME_BASIS,
    }),
    createUpdate({
      namespace: 'a',
      version: 5,
      operation: 'delete',
      key: 'k',
      at,
      replaced: 4,
      operationId: 'x',
      basis: [],
    }),
    createUpdate({
      namespace: 'a',
      version: 6,
      operation: 'clear',
      at,
      keys: Object.freeze(['', 'é:\u{1f600}\0']),
      bytes: 40,
      operationId: 'y',
      commandHash: 2 ** 48 - 1,
    }),
    createUpdate({ namespace: 'a', version: 7, operation: 'clear_namespace', at }),
    createUpdate({ namespace: 'a', version: 8, operation: 'clear_namespace', at, agent: 'other', drop: true }),
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

/** Returns whether a call throws or rejects with the code. */
export async function refuses(code: ErrorCode, run: () => Promise<unknown>): Promise<void> {
  await assert.rejects(async () => run(), isError(code));
}

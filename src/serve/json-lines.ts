import { setImmediate as nextTurn } from 'node:timers/promises';
import type { WatchedUpdate } from '../actors/watch.ts';
import type { MaybePromise } from '../backends/base-context-cache.ts';
import { compareNames } from '../core/names.ts';
import type { Entry } from '../core/namespace-state.ts';
import type { RangeOptions } from '../core/range.ts';
import type { Update } from '../core/update.ts';
import type { Difference } from '../past/difference.ts';
import type { EntryVersion } from '../past/history.ts';
import type { PositionOrDate } from '../wire/position.ts';

/** The first and last position to read, and the namespace (default: all). */
export interface LogRange {
  readonly from?: number;
  readonly to?: number;
  readonly namespace?: string;
}

/** The position or time (default: the present) and the namespace (default: all) of entries. */
export interface DumpRange {
  readonly at?: PositionOrDate | undefined;
  readonly namespace?: string | undefined;
}

/** The positions or times to compare, and the namespace (default: all). */
export interface DiffRange {
  readonly a: PositionOrDate;
  readonly b: PositionOrDate;
  readonly namespace?: string | undefined;
}

/** The part of a namespace (default: `default`) that is read in order. */
export interface OrderedRange extends RangeOptions {
  readonly namespace?: string | undefined;
}

/** A cache or a view, as a source of entries. */
interface Entries {
  listNamespaces(): MaybePromise<string[]>;
  entries(namespace: string): MaybePromise<Entry[]>;
}

/** A cache, or the client of one. */
export interface LineSource extends Entries {
  keys(namespace: string | undefined, options: RangeOptions): Iterable<string> | AsyncIterable<string>;
  entries(namespace: string | undefined, options: RangeOptions): Iterable<Entry> | AsyncIterable<Entry>;
  entries(namespace: string): MaybePromise<Entry[]>;
  at(position: PositionOrDate): MaybePromise<Entries & Disposable>;
  history(key: string, namespace?: string): AsyncIterable<EntryVersion>;
  diff(a: PositionOrDate, b: PositionOrDate, options: { readonly namespace?: string | undefined }): Promise<Difference>;
  readLog(range: LogRange): AsyncIterable<Update>;
}

/** Characters of a chunk of lines. */
const CHUNK_CHARACTERS = 64 * 1024;

/**
 * Returns an entry as a line: `{"namespace","key","value","version"}`, with `retraction` and `stale` if a write was taken back, and
 * with `forgotten` and `sealed` if it lacks parts.
 */
function entryLine({ namespace, key, value, version, retraction, stale, forgotten, sealed }: Entry): string {
  return `${JSON.stringify({ namespace, key, value, version, retraction, stale, forgotten, sealed })}\n`;
}

/**
 * Returns an update as a line: `{"position","time","namespace","version","operation","key","value","at","agent"}`, followed by
 * `expiresAt`, `drop`, `begins`, `keys`, `meta`, `operationId`, `commandHash`, `basis`, `retraction`, `stale`, and for readers `forgotten` and
 * `sealed`, if they are set.
 */
export function updateLine(update: Update | WatchedUpdate): string {
  const { position, namespace, version, operation, key, value, at, agent, expiresAt } = update;
  const { drop, begins, keys, meta, operationId, commandHash, basis, retraction, stale, forgotten, sealed } = update;
  const time = timeOf(at);
  const line: Record<string, unknown> = { position, time, namespace, version, operation, key, value, at, agent };
  if (expiresAt !== null) line.expiresAt = expiresAt;
  if (drop) line.drop = true;
  if (begins !== undefined) line.begins = true;
  if (keys !== undefined) line.keys = keys;
  if (meta !== undefined) line.meta = meta;
  if (operationId !== undefined) line.operationId = operationId;
  if (commandHash !== undefined) line.commandHash = commandHash;
  if (basis !== undefined) line.basis = basis;
  if (retraction !== undefined) line.retraction = retraction;
  if (stale !== undefined) line.stale = stale;
  if (forgotten !== undefined) line.forgotten = forgotten;
  if (sealed !== undefined) line.sealed = sealed;
  if ('snapshot' in update && update.snapshot) line.snapshot = true;
  if ('skipped' in update && update.skipped > 0) line.skipped = update.skipped;
  return `${JSON.stringify(line)}\n`;
}

/** Returns `at` as an ISO time, for people; `replay` and programs read `at`. */
function timeOf(at: number): string {
  return new Date(at).toISOString();
}

/**
 * Returns a version of an entry as a line: `{"position","time","version","operation","value","at","agent"}`, without `value`
 * if the entry was removed, with `expiresAt` if it was to expire, with `meta`, `operationId` and `basis` if the writer gave them, and
 * with `retraction` and `stale` if a write was taken back.
 */
function versionLine({
  position,
  version,
  operation,
  value,
  at,
  agent,
  expiresAt,
  meta,
  operationId,
  basis,
  retraction,
  stale,
  forgotten,
  sealed,
}: EntryVersion): string {
  const known = { position, time: timeOf(at), version, operation, value, at, agent, expiresAt: expiresAt ?? undefined };
  const line = { ...known, meta, operationId, basis, retraction, stale, forgotten, sealed };
  return `${JSON.stringify(line)}\n`;
}

/**
 * Yields entries as lines, sorted by namespace and key, with one namespace in memory at a time. Reads each namespace when
 * its turn comes; with `at`, all in one view.
 */
export async function* dumpChunks(cache: LineSource, { at, namespace }: DumpRange): AsyncGenerator<string> {
  if (at === undefined) {
    yield* entryChunks(cache, namespace);
    return;
  }
  using view = await cache.at(at);
  yield* entryChunks(view, namespace);
}

async function* entryChunks(source: Entries, namespace: string | undefined): AsyncGenerator<string> {
  for (const name of namespace === undefined ? await source.listNamespaces() : [namespace]) {
    const entries = [...(await source.entries(name))].sort((a, b) => compareNames(a.key, b.key));
    yield* chunked(entries.values(), entryLine);
  }
}

/** Yields the versions of an entry as lines, newest first. */
export function historyChunks(cache: LineSource, key: string, namespace?: string): AsyncGenerator<string> {
  return chunked(cache.history(key, namespace), versionLine);
}

/**
 * Yields the entries that differ between two views as lines, sorted by namespace and key:
 * `{"change":"added"|"changed"|"removed","namespace","key","before","after"}`, without a value that did not exist.
 */
export async function* diffChunks(cache: LineSource, { a, b, namespace }: DiffRange): AsyncGenerator<string> {
  const changes = changesOf(await cache.diff(a, b, { namespace }));
  changes.sort((one, other) => compareNames(one.namespace, other.namespace) || compareNames(one.key, other.key));
  yield* chunked(changes.values(), (change) => `${JSON.stringify(change)}\n`);
}

interface Change {
  readonly change: 'added' | 'changed' | 'removed';
  readonly namespace: string;
  readonly key: string;
  readonly before?: unknown;
  readonly after?: unknown;
}

function changesOf({ added, changed, removed }: Difference): Change[] {
  return [
    ...added.map(({ namespace, key, value }): Change => ({ change: 'added', namespace, key, after: value })),
    ...changed.map(({ before, after }): Change => {
      const { namespace, key } = after;
      return { change: 'changed', namespace, key, before: before.value, after: after.value };
    }),
    ...removed.map(({ namespace, key, value }): Change => ({ change: 'removed', namespace, key, before: value })),
  ];
}

/** Yields committed updates as lines. */
export function logChunks(cache: LineSource, range: LogRange): AsyncGenerator<string> {
  return chunked(cache.readLog(range), updateLine);
}

/** Yields updates as lines, each without delay. */
export async function* watchLines(updates: AsyncIterable<WatchedUpdate>): AsyncGenerator<string> {
  for await (const update of updates) yield updateLine(update);
}

/** Joins lines into chunks. Other work gets a turn between two of them. */
async function* chunked<Item>(
  items: AsyncIterable<Item> | Iterable<Item>,
  lineOf: (item: Item) => string,
): AsyncGenerator<string> {
  let chunk = '';
  for await (const item of items) {
    chunk += lineOf(item);
    if (chunk.length < CHUNK_CHARACTERS) continue;
    yield chunk;
    chunk = '';
    await nextTurn();
  }
  if (chunk !== '') yield chunk;
}

/** Yields keys in order, a line each: the key as a JSON string. */
export function keyChunks(cache: LineSource, { namespace, ...range }: OrderedRange): AsyncGenerator<string> {
  return chunked(cache.keys(namespace, range), (key) => `${JSON.stringify(key)}\n`);
}

/** Yields entries in order of their keys, a line each. */
export function orderedChunks(cache: LineSource, { namespace, ...range }: OrderedRange): AsyncGenerator<string> {
  return chunked(cache.entries(namespace, range), entryLine);
}

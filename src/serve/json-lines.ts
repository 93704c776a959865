import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type AgentContextCache,
  compareNames,
  type Difference,
  type Entry,
  type EntryVersion,
  type Update,
  type WatchedUpdate,
} from '../index.ts';
import type { PositionOrDate } from '../wire/position.ts';

/** What a log is read from, to (inclusive) and of which namespace. */
export interface LogRange {
  readonly from?: number;
  readonly to?: number;
  readonly namespace?: string;
}

/** Of which moment (default: the present) and of which namespace (default: of all) entries are read. */
export interface DumpRange {
  readonly at?: PositionOrDate | undefined;
  readonly namespace?: string | undefined;
}

/** Between which moments, and of which namespace (default: of all). */
export interface DiffRange {
  readonly a: PositionOrDate;
  readonly b: PositionOrDate;
  readonly namespace?: string | undefined;
}

/** What has entries: a cache, or a view of its past. */
interface Entries {
  listNamespaces(): string[];
  entries(namespace: string): Entry[];
}

/** Characters of lines that are handed on together. */
const CHUNK_CHARACTERS = 64 * 1024;

/** An entry as a line: `{"namespace","key","value","version"}`. */
function entryLine({ namespace, key, value, version }: Entry): string {
  return `${JSON.stringify({ namespace, key, value, version })}\n`;
}

/**
 * An update as a line: `{"position","namespace","version","operation","key","value","at","agent"}`, and behind these
 * `expiresAt` and `drop` where they say something.
 */
export function updateLine(update: Update | WatchedUpdate): string {
  const { position, namespace, version, operation, key, value, at, agent, expiresAt, drop } = update;
  const line: Record<string, unknown> = { position, namespace, version, operation, key, value, at, agent };
  if (expiresAt !== null) line.expiresAt = expiresAt;
  if (drop) line.drop = true;
  if ('snapshot' in update && update.snapshot) line.snapshot = true;
  if ('skipped' in update && update.skipped > 0) line.skipped = update.skipped;
  return `${JSON.stringify(line)}\n`;
}

/**
 * A version of an entry as a line: `{"position","version","operation","value","at","agent"}`, without `value` where the
 * entry was gone, and with `expiresAt` where it was to expire.
 */
function versionLine({ position, version, operation, value, at, agent, expiresAt }: EntryVersion): string {
  const line = { position, version, operation, value, at, agent };
  return `${JSON.stringify(expiresAt === null ? line : { ...line, expiresAt })}\n`;
}

/**
 * Entries as lines, sorted by namespace and key, one namespace in memory at a time. Each namespace is as it is when
 * its turn comes; with a moment, all are as they were then.
 */
export async function* dumpChunks(cache: AgentContextCache, { at, namespace }: DumpRange): AsyncGenerator<string> {
  if (at === undefined) {
    yield* entryChunks(cache, namespace);
    return;
  }
  using view = cache.at(at);
  yield* entryChunks(view, namespace);
}

async function* entryChunks(source: Entries, namespace: string | undefined): AsyncGenerator<string> {
  for (const name of namespace === undefined ? source.listNamespaces() : [namespace]) {
    const entries = source.entries(name).sort((a, b) => compareNames(a.key, b.key));
    yield* chunked(entries.values(), entryLine);
  }
}

/** What became of an entry as lines, newest first. */
export function historyChunks(cache: AgentContextCache, key: string, namespace?: string): AsyncGenerator<string> {
  return chunked(cache.history(key, namespace), versionLine);
}

/**
 * What is different between two moments as lines, sorted by namespace and key:
 * `{"change":"added"|"changed"|"removed","namespace","key","before","after"}`, without the value that was not there.
 */
export async function* diffChunks(cache: AgentContextCache, { a, b, namespace }: DiffRange): AsyncGenerator<string> {
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

/** Committed updates as lines. */
export function logChunks(cache: AgentContextCache, range: LogRange): AsyncGenerator<string> {
  return chunked(cache.readLog(range), updateLine);
}

/** Updates as lines, each at once. */
export async function* watchLines(updates: AsyncIterable<WatchedUpdate>): AsyncGenerator<string> {
  for await (const update of updates) yield updateLine(update);
}

/** Other work gets its turn between two chunks. */
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

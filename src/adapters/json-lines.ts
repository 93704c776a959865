import { setImmediate as nextTurn } from 'node:timers/promises';
import { type AgentContextCache, compareNames, type Entry, type Update, type WatchedUpdate } from '../index.ts';

/** What a log is read from, to (inclusive) and of which namespace. */
export interface LogRange {
  readonly from?: number;
  readonly to?: number;
  readonly namespace?: string;
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
function updateLine(update: Update | WatchedUpdate): string {
  const { position, namespace, version, operation, key, value, at, agent, expiresAt, drop } = update;
  const line: Record<string, unknown> = { position, namespace, version, operation, key, value, at, agent };
  if (expiresAt !== null) line.expiresAt = expiresAt;
  if (drop) line.drop = true;
  if ('snapshot' in update && update.snapshot) line.snapshot = true;
  if ('skipped' in update && update.skipped > 0) line.skipped = update.skipped;
  return `${JSON.stringify(line)}\n`;
}

/**
 * Entries as lines, sorted by namespace and key, one namespace in memory at a time. Each namespace is as it is when
 * its turn comes.
 */
export async function* dumpChunks(cache: AgentContextCache, namespace?: string): AsyncGenerator<string> {
  for (const name of namespace === undefined ? cache.listNamespaces() : [namespace]) {
    const entries = cache.entries(name).sort((a, b) => compareNames(a.key, b.key));
    yield* chunked(entries.values(), entryLine);
  }
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

import { withDeletes } from '../core/cleared-keys.ts';
import { beginsWith, nextVersion } from '../core/decide.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { NamespaceState } from '../core/namespace-state.ts';
import { createUpdate, type PendingUpdate, type Update } from '../core/update.ts';
import { admit, type JsonValue } from '../core/value.ts';
import type { BaseContextCache, MaybePromise } from './base-context-cache.ts';

/** Writes one update to a backend. A `clear` comes as a `delete` for each of its keys: see `withDeletes`. */
export function writeToPrimary(primary: BaseContextCache, update: Update): MaybePromise<unknown> {
  const { namespace, key } = update;
  if (key === null) return update.drop ? primary.dropNamespace(namespace) : primary.clearNamespace(namespace);
  switch (update.operation) {
    case 'set':
      return primary.set(key, update.value, namespace, { expiresAt: update.expiresAt });
    case 'touch':
      return primary.touch(key, namespace, update.expiresAt);
    default:
      return primary.delete(key, namespace);
  }
}

/**
 * Writes the updates of one command to an asynchronous primary, all or none: if one of several is refused, the changes of
 * the earlier ones are undone.
 *
 * @throws {ContextCacheError} `BACKEND_FAILED` if nothing has changed, `OUTCOME_UNKNOWN` if undoing failed.
 */
export async function writeAllToPrimary(primary: BaseContextCache, pending: readonly Update[]): Promise<void> {
  const updates = withDeletes(pending);
  const before = updates.length > 1 ? await valuesBefore(primary, updates) : undefined;
  for (const [index, update] of updates.entries()) {
    try {
      await writeToPrimary(primary, update);
    } catch (cause) {
      if (before !== undefined) await putBack(primary, updates.slice(0, index + 1), before, cause);
      throw refused(cause);
    }
  }
}

/**
 * Writes the updates of one command to a synchronous primary; otherwise the same as {@link writeAllToPrimary}.
 *
 * @throws {ContextCacheError} the same.
 */
export function writeAllAtOnce(primary: BaseContextCache, pending: readonly Update[]): void {
  const updates = withDeletes(pending);
  const before = new Map<Update, JsonValue | undefined>();
  for (const update of updates) {
    const { key, namespace } = update;
    try {
      if (updates.length > 1 && key !== null) before.set(update, primary.get(key, namespace) as JsonValue | undefined);
      writeToPrimary(primary, update);
    } catch (cause) {
      putBackAtOnce(primary, before, cause);
      throw refused(cause);
    }
  }
}

function putBackAtOnce(
  primary: BaseContextCache,
  before: ReadonlyMap<Update, JsonValue | undefined>,
  cause: unknown,
): void {
  try {
    for (const [{ key, namespace }, value] of [...before].reverse()) {
      // The refused update and those after it changed nothing.
      if (primary.get(key as string, namespace) === value) continue;
      if (value === undefined) primary.delete(key as string, namespace);
      else primary.set(key as string, value, namespace);
    }
  } catch (undoing) {
    throw notPutBack(cause, undoing);
  }
}

function notPutBack(cause: unknown, undoing: unknown): ContextCacheError {
  return new ContextCacheError(
    'OUTCOME_UNKNOWN',
    'The primary refused one write of a batch, and putting back the earlier ones failed. Compare it with the log.',
    { cause: new AggregateError([cause, undoing]) },
  );
}

function refused(cause: unknown): ContextCacheError {
  return new ContextCacheError('BACKEND_FAILED', 'The primary refused the write; nothing has changed. See the cause.', {
    cause,
  });
}

type Before = ReadonlyMap<string, JsonValue | undefined>;

async function valuesBefore(primary: BaseContextCache, updates: readonly Update[]): Promise<Before> {
  const keys = [...new Set(updates.flatMap((update) => (update.key === null ? [] : [update.key])))];
  try {
    const values = await primary.getMany(keys, updates[0]?.namespace ?? '');
    return new Map(keys.map((key, index) => [key, values[index]]));
  } catch (cause) {
    throw refused(cause);
  }
}

async function putBack(
  primary: BaseContextCache,
  updates: readonly Update[],
  before: Before,
  cause: unknown,
): Promise<void> {
  try {
    for (const { key, namespace } of updates) {
      if (key === null) continue;
      const value = before.get(key);
      await (value === undefined ? primary.delete(key, namespace) : primary.set(key, value, namespace));
    }
  } catch (undoing) {
    throw notPutBack(cause, undoing);
  }
}

/** Returns the keys that a primary held before the cache first wrote to the namespace. */
export function unknownKeys(state: NamespaceState, held: readonly string[]): string[] {
  return held.filter((key) => !state.entries.has(key));
}

/**
 * Returns `set` updates without an agent for values that a primary held before the cache used it. They put the values
 * into the log and so to everything that follows it. `floor`: that of the log, see `decide`.
 */
export function adoption(
  state: NamespaceState,
  keys: readonly string[],
  values: readonly (JsonValue | undefined)[],
  at: number,
  floor: number,
): PendingUpdate[] {
  const updates: PendingUpdate[] = [];
  const first = nextVersion(state, floor);
  for (const [index, key] of keys.entries()) {
    if (values[index] === undefined) continue;
    const { value, bytes } = admit(values[index]);
    const version = first + updates.length;
    const begins = beginsWith(state, version, floor);
    updates.push(createUpdate({ namespace: state.name, version, operation: 'set', key, value, at, begins, bytes }));
  }
  return updates;
}

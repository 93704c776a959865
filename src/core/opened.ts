import type { WriteOptions } from './command.ts';
import { VersionConflictError } from './conflict.ts';
import { ContextCacheError, toError } from './errors.ts';
import { invalidCommand } from './invalid-command.ts';
import { mayHaveMoved, valueAt } from './json-pointer.ts';
import type { Meta } from './meta.ts';
import type { Entry } from './namespace-state.ts';
import { withNotes } from './retraction.ts';
import { isSealed, mayBeSealed, type SealedFields, type SubjectDoor, type SubjectTags } from './sealed.ts';
import type { Update } from './update.ts';
import type { JsonValue } from './value.ts';

/** Values with subjects, as readers see them. Any other value passes through. */

/**
 * Returns the value of a key for a reader; `undefined` if it was forgotten.
 *
 * @throws {ContextCacheError} `KEY_UNAVAILABLE` if it, or a part of it, cannot be decrypted here.
 */
export function openedValue(
  door: SubjectDoor,
  namespace: string,
  key: string,
  stored: JsonValue | undefined,
): JsonValue | undefined {
  const { migrations } = door;
  if (!mayBeSealed(stored) || !isSealed(stored))
    return stored === undefined || migrations === undefined ? stored : migrations.migrated(namespace, key, stored);
  const { value, forgotten, sealed } = door.open(namespace, key, stored);
  if (sealed !== undefined) throw unavailable(namespace, key, door.failureOf?.(stored));
  if (forgotten?.[0] === '') return undefined;
  return migrations === undefined ? value : migrations.migrated(namespace, key, value);
}

/** Returns whether values of a namespace may be migrated for readers. Ask once for a namespace: it tests the patterns of all migrations. */
export function mayMigrate({ migrations }: SubjectDoor, namespace: string): boolean {
  return migrations?.concerns(namespace) === true;
}

/** What has a value that may be sealed: an entry, an update, a version of an entry. */
interface Shown extends SealedFields {
  readonly value: JsonValue | undefined;
  readonly meta?: Meta | undefined;
}

/** Returns an entry as readers see it. */
export function openedEntry<
  Shows extends Shown & { readonly namespace: string; readonly key: string; readonly version: number },
>(door: SubjectDoor, entry: Shows): Shows {
  const { namespace, key, value } = entry;
  return migratedEntry(door, mayBeSealed(value) ? openedAs(door, namespace, key, entry) : entry);
}

/**
 * Returns an opened entry in its newest form; the entry itself if it has that form.
 *
 * @throws {ContextCacheError} `MIGRATION_FAILED`.
 */
export function migratedEntry<
  Shows extends Shown & { readonly namespace: string; readonly key: string; readonly version: number },
>(door: SubjectDoor, opened: Shows): Shows {
  if (door.migrations === undefined) return opened;
  return migratedAs(door, opened.namespace, opened.key, opened, `version ${opened.version}`);
}

/** Returns an update as readers see it. */
export function openedUpdate<Shows extends Shown & Pick<Update, 'namespace' | 'key' | 'operation' | 'position'>>(
  door: SubjectDoor,
  update: Shows,
): Shows {
  const shown = update.meta === undefined ? update : withNotes(update);
  const { namespace, key, operation, position } = shown;
  if (key === null || operation !== 'set') return shown;
  const opened = mayBeSealed(shown.value) ? openedAs(door, namespace, key, shown) : shown;
  return door.migrations === undefined ? opened : migratedAs(door, namespace, key, opened, `position ${position}`);
}

/** Returns what was opened, frozen, with the value in its newest form. */
function migratedAs<Shows extends Shown>(
  door: SubjectDoor,
  namespace: string,
  key: string,
  opened: Shows,
  where: string,
): Shows {
  const { value, forgotten, sealed } = opened;
  // Without the whole value there is nothing to migrate.
  if (value === undefined || forgotten?.[0] === '' || sealed?.[0] === '') return opened;
  const next = door.migrations?.migrated(namespace, key, value, where);
  if (next === value) return opened;
  const migrated = Object.freeze({ ...opened, value: next });
  if (tagsOfShown.has(opened)) {
    const tags = tagsOfShown.get(opened);
    tagsOfShown.set(migrated, tags);
    const moved = [...(tags?.keys() ?? [])].find((path) => mayHaveMoved(path, value, next));
    if (moved !== undefined) movedFrom.set(migrated, moved);
  }
  const failure = failures.get(opened);
  if (failure !== undefined) failures.set(migrated, failure);
  return migrated;
}

/** Returns the same object, frozen, with the value and what is missing in it. */
export function openedAs<Shows extends Shown>(door: SubjectDoor, namespace: string, key: string, shown: Shows): Shows {
  const { value } = shown;
  if (!isSealed(value)) return shown;
  const opened = Object.freeze({ ...shown, ...door.open(namespace, key, value) });
  const tags = door.tagsOf(value);
  if (tags === undefined || tags.size > 0) tagsOfShown.set(opened, tags);
  const failure = opened.sealed && door.failureOf?.(value);
  if (failure !== undefined) failures.set(opened, failure);
  return opened;
}

/** The subjects of what was opened, for a write that changes it; `undefined` if one of them is not known here. */
const tagsOfShown = new WeakMap<object, SubjectTags | undefined>();
/** The first path with a subject that a migration may have moved: the value from there may now be anywhere in the new one. */
const movedFrom = new WeakMap<object, string>();
/** Why the store of keys did not answer for what is sealed. */
const failures = new WeakMap<object, Error>();

/**
 * Returns the options of a write with the subjects of the entry that it changes, unless they name their own. Leaves out a path that the
 * new value does not have any more, or whose subject was forgotten and which is still empty.
 *
 * @throws {ContextCacheError} `KEY_UNAVAILABLE` if the entry has a subject that is not known here, `INVALID_COMMAND` if a migration has moved
 *   what a subject's path led to: the new value would be stored readable.
 */
export function inheritedSubjects(options: WriteOptions, entry: Entry | undefined, next: unknown): WriteOptions {
  if (entry === undefined || !tagsOfShown.has(entry)) return options;
  if (options.subject !== undefined || options.subjects !== undefined) return options;
  const tags = tagsOfShown.get(entry);
  if (tags === undefined) throw unknownSubjects(entry);
  const moved = movedFrom.get(entry);
  if (moved !== undefined) throw movedSubject(entry, moved);
  const { forgotten = [] } = entry;
  const kept = [...tags].filter(([pointer]) => {
    const part = valueAt(next as JsonValue, pointer);
    return part !== undefined && (pointer === '' || part !== null || !forgotten.includes(pointer));
  });
  return kept.length === 0 ? options : { ...options, subjects: Object.fromEntries(kept) };
}

/**
 * Returns the subjects of an entry, an update or a version that was opened; `null` if one of them is not known here, `undefined` if it
 * has none.
 */
export function subjectTagsOf(shown: object): SubjectTags | null | undefined {
  return tagsOfShown.has(shown) ? (tagsOfShown.get(shown) ?? null) : undefined;
}

/** Returns the value of an entry that was read; `undefined` if the key is missing or the value was forgotten. */
export function valueIn(entry: Entry | undefined): JsonValue | undefined {
  return entry === undefined || entry.forgotten?.[0] === '' ? undefined : entry.value;
}

/**
 * Returns the value of an entry as `get` does; `undefined` if the key is missing or the value was forgotten.
 *
 * @throws {ContextCacheError} `KEY_UNAVAILABLE` if it, or a part of it, cannot be decrypted here. It must not be changed unseen either.
 */
export function readableValue(entry: Entry | undefined): JsonValue | undefined {
  if (entry?.sealed !== undefined) throw unavailable(entry.namespace, entry.key, failures.get(entry));
  return valueIn(entry);
}

/** Returns an error whose present entry is as readers see it. */
export function openedError(door: SubjectDoor, error: Error): Error {
  if (!(error instanceof VersionConflictError) || error.current === undefined) return error;
  try {
    const current = openedEntry(door, error.current);
    if (current === error.current) return error;
    return new VersionConflictError(error.namespace, error.key, error.expected, current);
  } catch (thrown) {
    return unshownConflict(toError(thrown), error);
  }
}

/** The conflicts whose present entry could not be shown, by the error that says why. */
const conflictsBehind = new WeakMap<Error, VersionConflictError>();

/** Returns the error that keeps the present entry of a conflict from being shown. */
export function unshownConflict(error: Error, conflict: VersionConflictError): Error {
  conflictsBehind.set(error, conflict);
  return error;
}

/** Returns the conflict that an error is, or that is behind it; `undefined` if there is none. */
export function conflictIn(error: unknown): VersionConflictError | undefined {
  if (error instanceof VersionConflictError) return error;
  return error instanceof Error ? conflictsBehind.get(error) : undefined;
}

function unavailable(namespace: string, key: string, cause?: Error): ContextCacheError {
  const problem = `The value of key ${JSON.stringify(key)} in namespace ${JSON.stringify(namespace)} is sealed for a subject, and its key `;
  if (cause !== undefined) {
    const message = `${problem}could not be fetched: ${cause.message} Read it again once the key store answers.`;
    return new ContextCacheError('KEY_UNAVAILABLE', message, { cause });
  }
  const remedy = 'Open the cache with the option subjects (--subject-keys) and the key store that it was written with.';
  return new ContextCacheError('KEY_UNAVAILABLE', `${problem}is not available here. ${remedy}`);
}

function movedSubject({ namespace, key }: Entry, path: string): ContextCacheError {
  return invalidCommand(
    `the value of key ${JSON.stringify(key)} in namespace ${JSON.stringify(namespace)} has a subject at ${JSON.stringify(path)}, and a migration ` +
      'has left nothing there or changed the length of an array on the way, so what it has moved would be stored readable. Name the subjects of the new value with subject or subjects; in a ' +
      'merge, take ours or theirs',
  );
}

function unknownSubjects({ namespace, key }: Entry): ContextCacheError {
  const message =
    `The value of key ${JSON.stringify(key)} in namespace ${JSON.stringify(namespace)} is about a subject that is not known here, so a ` +
    'new value would be stored readable. Name the subject with subject or subjects, or open the cache with the key store that it was written with.';
  return new ContextCacheError('KEY_UNAVAILABLE', message);
}

import { ContextCacheError } from './errors.ts';
import { invalidCommand as invalid } from './invalid-command.ts';
import { isPointer } from './json-pointer.ts';
import type { Migrations } from './migrations.ts';
import { checkName } from './names.ts';
import { FORGOTTEN_NAMESPACE } from './own-namespaces.ts';
import type { JsonValue, ValueLimits } from './value.ts';

/**
 * The only property of a sealed value: `{ $sealed: { value, parts } }`. `value` is what is not encrypted, with `null` in place of
 * each part. A value of a user's own that looks like this is stored as a sealed value without parts.
 */
export const SEALED = '$sealed';

/** Limits of what is sealed: what goes in was measured before. */
export const ANY_SIZE: ValueLimits = { maxDepth: Number.POSITIVE_INFINITY, maxBytes: Number.POSITIVE_INFINITY };

/** Largest number of paths of one value. */
export const MAX_PATHS = 64;

/** Whom a value, or parts of it, are about. Give one of the two. */
export interface SubjectOptions {
  /**
   * The subject of the whole value: it is encrypted with the subject's key until `forget`. Use a pseudonym such as an id, because
   * the name itself stays readable. 1 to 1,024 bytes. Needs the option `subjects` of the cache. Default: none.
   */
  readonly subject?: string | undefined;
  /**
   * The subjects of parts of the value by JSON pointer, `{ '/contact/email': 'user-42' }`: at most 64 paths, none inside
   * another. Each must lead to something in the value. Default: none.
   */
  readonly subjects?: { readonly [path: string]: string } | undefined;
}

/** What readers of a value with subjects may lack. Both are absent if the value is complete. */
export interface SealedFields {
  /** JSON pointers of what was forgotten, and reads as `null`. `['']`: the whole value. */
  readonly forgotten?: readonly string[] | undefined;
  /** JSON pointers of what cannot be decrypted because the key is not available here, and reads as `null`. */
  readonly sealed?: readonly string[] | undefined;
}

/** An encrypted part: its JSON pointer, the id of its key, characters of the entry's key that it is bound to, base64. */
export type SealedPart = readonly [pointer: string, keyId: string, bound: number, data: string];

/** A value with subjects, as it is stored. */
export interface SealedValue {
  readonly [SEALED]: { readonly value: JsonValue; readonly parts: readonly SealedPart[] };
}

/** A value as readers see it. */
export interface Opened extends SealedFields {
  readonly value: JsonValue;
}

/** Subjects by JSON pointer; `''` is the whole value. */
export type SubjectTags = ReadonlyMap<string, string>;

/** A value that is about to be stored. */
export interface Sealing {
  readonly namespace: string;
  /** The key of the entry; of an `append` its prefix. */
  readonly key: string;
  readonly value: JsonValue;
  readonly tags: SubjectTags | undefined;
  /** Repeating an operation must give the same bytes. */
  readonly operationId: string | undefined;
}

/** Seals values at the door and opens them for readers. */
export interface SubjectDoor {
  /** Migrates what readers get; absent: they get values as they were written. */
  readonly migrations?: Migrations | undefined;
  /**
   * Returns the value to store. Leaves a value without tags as it is, unless it looks like a sealed one.
   *
   * @throws {KeyPending} if the key is being fetched or created.
   * @throws {ContextCacheError} `INVALID_OPTION`, `INVALID_COMMAND`, `SUBJECT_FORGOTTEN`.
   */
  seal(sealing: Sealing): JsonValue;
  open(namespace: string, key: string, sealed: SealedValue): Opened;
  /** Returns why the store of keys did not answer for a part of a sealed value; `undefined` if it did. */
  failureOf?(sealed: SealedValue): Error | undefined;
  /** Returns the subjects of a sealed value; `undefined` if one of them is not known here. */
  tagsOf(sealed: SealedValue): SubjectTags | undefined;
}

/** A key is not there yet. The same call works once `ready` has resolved. */
export class KeyPending extends ContextCacheError {
  readonly ready: Promise<unknown>;

  constructor(ready: Promise<unknown>) {
    super('KEY_UNAVAILABLE', 'The key of the subject is being fetched. Try again.');
    this.ready = ready;
    // A failure reaches the caller that tries again.
    ready.catch(() => {});
  }
}

/** Calls `run`, and again after each key that it needs has arrived. */
export async function whenKeyed<Result>(run: () => Result | Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof KeyPending)) throw error;
      await error.ready;
    }
  }
}

/** Returns whether a value may be a sealed one, without looking closer: this is asked on each read and write. */
export function mayBeSealed(value: JsonValue | undefined): value is { readonly [name: string]: JsonValue } {
  return typeof value === 'object' && value !== null && SEALED in value;
}

/** Returns whether a stored value is sealed. */
export function isSealed(value: unknown): value is SealedValue {
  if (typeof value !== 'object' || value === null || !(SEALED in value)) return false;
  if (Object.keys(value).length !== 1) return false;
  const inner: unknown = value[SEALED];
  if (typeof inner !== 'object' || inner === null || Object.keys(inner).length !== 2 || !('value' in inner))
    return false;
  return 'parts' in inner && Array.isArray(inner.parts) && inner.parts.every(isPart);
}

function isPart(part: unknown): boolean {
  if (!Array.isArray(part) || part.length !== 4) return false;
  const [pointer, keyId, bound, data] = part as unknown[];
  return (
    typeof pointer === 'string' && typeof keyId === 'string' && Number.isSafeInteger(bound) && typeof data === 'string'
  );
}

/** Returns whether a value that is written must be sealed, or looks as if it were. */
export function mustSeal(value: JsonValue, options: SubjectOptions | undefined): boolean {
  return (
    mayBeSealed(value) || (options !== undefined && (options.subject !== undefined || options.subjects !== undefined))
  );
}

/** Returns the stored form of a value without subjects that looks like a sealed one; any other value as it is. */
export function kept(value: JsonValue): JsonValue {
  return isSealed(value) ? frozenSealed(value, []) : value;
}

/** Creates a sealed value. */
export function frozenSealed(value: JsonValue, parts: readonly SealedPart[]): JsonValue {
  const inner = Object.freeze({ value, parts: Object.freeze(parts.map((part) => Object.freeze(part))) });
  return Object.freeze({ [SEALED]: inner }) as unknown as JsonValue;
}

/**
 * Returns the subjects that the options of a write name; `undefined` without any.
 *
 * @throws {ContextCacheError} `INVALID_COMMAND`.
 */
export function tagsIn(options: SubjectOptions | undefined): SubjectTags | undefined {
  if (options?.subject === undefined && options?.subjects === undefined) return undefined;
  const { subject, subjects } = options;
  if (subject !== undefined && subjects !== undefined) throw invalid('give subject or subjects, not both');
  if (subject !== undefined) return new Map([['', subjectOf(subject)]]);
  if (typeof subjects !== 'object' || subjects === null || Array.isArray(subjects))
    throw invalid("subjects must be an object of JSON pointers, such as { '/contact/email': 'user-42' }");
  const tags = new Map(Object.entries(subjects).map(([path, named]) => [pointerOf(path), subjectOf(named)]));
  if (tags.size > MAX_PATHS) throw invalid(`subjects may have at most ${MAX_PATHS} paths`);
  for (const path of tags.keys())
    for (const other of tags.keys())
      if (path !== other && other.startsWith(`${path}/`))
        throw invalid(
          `subjects: ${JSON.stringify(other)} lies inside ${JSON.stringify(path)}. Name the outer one alone`,
        );
  return tags.size === 0 ? undefined : tags;
}

/**
 * Returns a checked subject.
 *
 * @throws {ContextCacheError} `INVALID_COMMAND`.
 */
export function subjectOf(subject: unknown): string {
  if (typeof subject === 'string' && subject !== '' && subject.isWellFormed() && Buffer.byteLength(subject) <= 1024)
    return subject;
  throw invalid('a subject must be a well-formed string of 1 to 1,024 bytes');
}

function pointerOf(path: string): string {
  if (isPointer(path)) return path;
  throw invalid(
    `subjects: ${JSON.stringify(path)} is no JSON pointer. Write '/contact/email', or '' for the whole value`,
  );
}

/**
 * Checks the name of a namespace that a command changes.
 *
 * @throws {ContextCacheError} `INVALID_NAME`.
 */
export function checkWritable(namespace: string): void {
  checkName('namespace', namespace);
  if (namespace !== FORGOTTEN_NAMESPACE) return;
  const message = `The namespace ${FORGOTTEN_NAMESPACE} holds the records of forgotten subjects: only forget writes to it.`;
  throw new ContextCacheError('INVALID_NAME', message);
}

/** A door that leaves the sealing to the server: it only checks. */
export const UNSEALED: SubjectDoor = {
  seal: ({ value }) => value,
  open: (_namespace, _key, sealed) => ({ value: sealed as unknown as JsonValue }),
  tagsOf: () => undefined,
};

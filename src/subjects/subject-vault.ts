import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { ContextCacheError } from '../core/errors.ts';
import { invalidCommand } from '../core/invalid-command.ts';
import { replacedAt, valueAt } from '../core/json-pointer.ts';
import {
  frozenSealed,
  kept,
  type Opened,
  SEALED,
  type SealedPart,
  type SealedValue,
  type Sealing,
  type SubjectDoor,
  type SubjectTags,
} from '../core/sealed.ts';
import type { JsonValue } from '../core/value.ts';
import type { KeyRing } from './key-ring.ts';
import { forgottenError } from './memory-subject-keys.ts';
import type { SubjectKey } from './subject-keys.ts';

const ALGORITHM = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** The records of forgotten subjects in the state of a cache. */
export interface ForgottenRecords {
  /** Changes whenever a record is added. */
  readonly revision: number;
  /** Yields subjects with the ids of their keys. */
  all(): Iterable<{ readonly subject: string; readonly keys: readonly string[] }>;
}

/**
 * Encrypts values with subjects when they come in, and decrypts them for readers. Log, index, backups, mirror and messages hold what
 * is encrypted. A part is bound to namespace, key and path, so that it cannot be moved to another entry.
 */
export class SubjectVault implements SubjectDoor {
  /** An own property is found at once by each read. */
  readonly migrations = undefined;
  /** `undefined` without the option `subjects`. */
  readonly ring: KeyRing | undefined;
  /** `true` if the keys are those of a parent, which alone may destroy them. */
  readonly isBranch: boolean;
  readonly #records: ForgottenRecords;
  readonly #finish: (subject: string, keys: readonly string[]) => void;
  /** Subjects of destroyed keys by id. */
  readonly #forgottenKeys = new Map<string, string>();
  readonly #report: (error: Error) => void;
  readonly #forgottenSubjects = new Set<string>();
  #revision = 0;

  /**
   * `finish` is called for each record: its key must be destroyed in the store, if it is there. `report` is called if the store fails to
   * answer a read.
   */
  constructor(
    ring: KeyRing | undefined,
    records: ForgottenRecords,
    finish: (subject: string, keys: readonly string[]) => void,
    report: (error: Error) => void,
    isBranch = false,
  ) {
    this.#report = report;
    this.isBranch = isBranch;
    this.ring = ring;
    this.#records = records;
    this.#finish = finish;
  }

  seal({ namespace, key, value, tags, operationId }: Sealing): JsonValue {
    if (tags === undefined) return kept(value);
    this.noteForgotten();
    const inside = Array.from(tags, ([pointer, subject]) => {
      const part = valueAt(value, pointer);
      if (part !== undefined) return { pointer, part, key: this.#keyFor(subject) };
      throw invalidCommand(`subjects: ${JSON.stringify(pointer)} leads to nothing in the value`);
    });
    const parts = inside.map(({ pointer, part, key: secret }): SealedPart => {
      const bound = boundTo(namespace, key, pointer);
      return [pointer, secret.id, key.length, encrypted(secret.secret, bound, JSON.stringify(part), operationId)];
    });
    return frozenSealed(
      replacedAt(
        value,
        inside.map(({ pointer }) => [pointer, null] as const),
      ),
      parts,
    );
  }

  open(namespace: string, key: string, { [SEALED]: { value, parts } }: SealedValue): Opened {
    if (parts.length === 0) return { value };
    this.noteForgotten();
    const forgotten: string[] = [];
    const sealed: string[] = [];
    const opened: (readonly [string, JsonValue])[] = [];
    for (const part of parts) {
      const found = this.#opened(namespace, key, part);
      if (found === 'forgotten') forgotten.push(part[0]);
      else if (found === undefined) sealed.push(part[0]);
      else opened.push([part[0], found.value]);
    }
    const missing = { ...(forgotten.length > 0 && { forgotten }), ...(sealed.length > 0 && { sealed }) };
    return { value: replacedAt(value, opened), ...missing };
  }

  tagsOf({ [SEALED]: { parts } }: SealedValue): SubjectTags | undefined {
    const tags = new Map<string, string>();
    for (const [pointer, keyId] of parts) {
      const subject = this.#forgottenKeys.get(keyId) ?? this.ring?.subjectOf(keyId, this.#report);
      if (subject === undefined) return undefined;
      tags.set(pointer, subject);
    }
    return tags;
  }

  failureOf({ [SEALED]: { parts } }: SealedValue): Error | undefined {
    for (const [, keyId] of parts) {
      const failure = this.ring?.failureOf(keyId);
      if (failure !== undefined) return failure;
    }
    return undefined;
  }

  /** Takes in the records that were added to the state: by `forget`, by another node, by a replay. */
  noteForgotten(): void {
    const { revision } = this.#records;
    if (revision === this.#revision) return;
    this.#revision = revision;
    for (const { subject, keys } of this.#records.all()) {
      if (this.#forgottenSubjects.has(subject)) continue;
      this.forget(subject, keys);
      this.#finish(subject, keys);
    }
  }

  /** Makes a subject unreadable here, at once. */
  forget(subject: string, keys: readonly string[]): void {
    this.#forgottenSubjects.add(subject);
    for (const id of keys) this.#forgottenKeys.set(id, subject);
    this.ring?.forget(keys, subject);
  }

  #keyFor(subject: string): SubjectKey {
    if (this.ring === undefined) {
      const message =
        'A value with a subject needs the option subjects of the cache (--subject-keys): the store of the keys of subjects.';
      throw new ContextCacheError('INVALID_OPTION', message);
    }
    if (this.#forgottenSubjects.has(subject)) throw forgottenError(subject);
    return this.ring.keyFor(subject);
  }

  #opened(
    namespace: string,
    key: string,
    [pointer, keyId, bound, data]: SealedPart,
  ): { readonly value: JsonValue } | 'forgotten' | undefined {
    if (this.#forgottenKeys.has(keyId)) return 'forgotten';
    const found = this.ring?.find(keyId, this.#report);
    if (this.ring === undefined || found === undefined) return undefined;
    if (found === 'forgotten') return found;
    const boundText = boundTo(namespace, key.slice(0, bound), pointer);
    const known = this.ring.opened.get(data, boundText);
    if (known !== undefined) return known;
    const text = decrypted(found.secret, boundText, data);
    if (text === undefined) return undefined;
    const part = { keyId, bound: boundText, value: frozen(JSON.parse(text)) };
    this.ring.opened.add(data, part);
    return part;
  }
}

/** Returns what a part is authenticated with. */
function boundTo(namespace: string, key: string, pointer: string): string {
  return JSON.stringify([namespace, key, pointer]);
}

/**
 * Returns iv, encrypted text and tag in base64. The iv is random; with an operation id it is a keyed hash of all that goes in, so that
 * a repetition gives the same bytes, and the same iv is never used for two texts.
 */
function encrypted(secret: Uint8Array, bound: string, text: string, operationId: string | undefined): string {
  const iv = operationId === undefined ? randomBytes(IV_BYTES) : ivOf(secret, [operationId, bound, text]);
  const cipher = createCipheriv(ALGORITHM, secret, iv).setAAD(Buffer.from(bound));
  return Buffer.concat([iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString('base64');
}

function ivOf(secret: Uint8Array, parts: readonly string[]): Buffer {
  const own = createHmac('sha256', secret).update('agent-context-cache iv').digest();
  return createHmac('sha256', own).update(JSON.stringify(parts)).digest().subarray(0, IV_BYTES);
}

/** Returns `undefined` if the text was not encrypted with this key for this entry. */
function decrypted(secret: Uint8Array, bound: string, data: string): string | undefined {
  const bytes = Buffer.from(data, 'base64');
  if (bytes.length < IV_BYTES + TAG_BYTES) return undefined;
  const decipher = createDecipheriv(ALGORITHM, secret, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(bound)).setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
  try {
    const text = decipher.update(bytes.subarray(IV_BYTES, bytes.length - TAG_BYTES));
    return Buffer.concat([text, decipher.final()]).toString('utf8');
  } catch {
    return undefined;
  }
}

function frozen(value: JsonValue): JsonValue {
  if (typeof value !== 'object' || value === null) return value;
  for (const inner of Object.values(value)) frozen(inner as JsonValue);
  return Object.freeze(value);
}

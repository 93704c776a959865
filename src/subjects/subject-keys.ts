/** The key of a subject. */
export interface SubjectKey {
  /** Names the key in what it has sealed. Unique, and never used again. */
  readonly id: string;
  readonly subject: string;
  /** 32 bytes, for AES-256-GCM. The cache overwrites them with zeros once the subject is forgotten. */
  readonly secret: Uint8Array;
}

/** A subject, and what became of its key. */
export interface SubjectKeyRecord {
  readonly id: string;
  readonly subject: string;
  /** Instant at which the key was created, epoch milliseconds. */
  readonly createdAt: number;
  /** Instant at which the key was destroyed, epoch milliseconds; `null`: it is there. */
  readonly forgottenAt: number | null;
}

/**
 * A store of the keys of subjects, for a KMS or a database of your own. `fileSubjectKeys` and `memorySubjectKeys` are such stores;
 * `subjectKeysSuite` of the entry for tests checks one.
 *
 * Reads of a cache answer at once. If `find` answers with a promise, the first read that needs the key therefore says that it is
 * not available, and the next one after the promise has it. So answer at once if you can, from keys that were fetched before.
 */
export interface SubjectKeyStore {
  /**
   * Returns the key of a subject, the same for every caller. Creates it if it is missing; it must be durable before this
   * returns or resolves, because what it seals is lost without it.
   *
   * @throws {ContextCacheError} `SUBJECT_FORGOTTEN` if the key of this subject was destroyed: a subject gets one key, once.
   */
  keyFor(subject: string): SubjectKey | Promise<SubjectKey>;
  /** Returns the key with an id, or the record of the one that was destroyed; `undefined` if the id is unknown. */
  find(id: string): SubjectKey | SubjectKeyRecord | undefined | Promise<SubjectKey | SubjectKeyRecord | undefined>;
  /**
   * Destroys the key of a subject, durably before it returns or resolves, and keeps its record. Repeating it changes nothing.
   * Returns the record; `undefined` if the subject has never had a key.
   */
  destroy(subject: string): SubjectKeyRecord | undefined | Promise<SubjectKeyRecord | undefined>;
  /** Returns a record of each subject, forgotten ones too. */
  list(): readonly SubjectKeyRecord[] | Promise<readonly SubjectKeyRecord[]>;
  /**
   * Returns the ids of keys that another process has destroyed since the last call. Called at most once a second while values
   * with subjects are read. Absent: no other process destroys keys behind this one.
   */
  refresh?(): readonly string[];
}

/** Returns whether a store has found a key, not the record of a destroyed one. */
export function isKey(found: SubjectKey | SubjectKeyRecord | undefined): found is SubjectKey {
  return found !== undefined && 'secret' in found;
}

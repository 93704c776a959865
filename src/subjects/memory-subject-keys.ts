import { randomBytes } from 'node:crypto';
import { systemClock } from '../core/clock.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { SubjectKey, SubjectKeyRecord, SubjectKeyStore } from './subject-keys.ts';

/** Makes the error of a write for a subject that was forgotten. */
export function forgottenError(subject: string): ContextCacheError {
  const message = `The subject ${JSON.stringify(subject)} was forgotten, so nothing more can be stored for it.`;
  return new ContextCacheError('SUBJECT_FORGOTTEN', `${message} Leave the data out, or name another subject.`);
}

/** Creates a key with a random id and secret. */
export function newKey(subject: string): SubjectKey {
  return { id: randomBytes(12).toString('base64url'), subject, secret: randomBytes(32) };
}

/** The keys of subjects in memory, for tests: what they have sealed cannot be read after the process ends. */
export function memorySubjectKeys(): SubjectKeyStore {
  const keys = new Map<string, SubjectKey>();
  const records = new Map<string, SubjectKeyRecord>();
  const subjects = new Map<string, string>();
  return {
    keyFor: (subject) => {
      const known = keys.get(subject);
      if (known !== undefined) return known;
      if (records.has(subject)) throw forgottenError(subject);
      const key = newKey(subject);
      keys.set(subject, key);
      subjects.set(key.id, subject);
      records.set(subject, { id: key.id, subject, createdAt: systemClock.now(), forgottenAt: null });
      return key;
    },
    find: (id) => {
      const subject = subjects.get(id);
      return subject === undefined ? undefined : (keys.get(subject) ?? records.get(subject));
    },
    destroy: (subject) => {
      const record = records.get(subject);
      if (record === undefined || record.forgottenAt !== null) return record;
      const forgotten = { ...record, forgottenAt: systemClock.now() };
      keys.get(subject)?.secret.fill(0);
      keys.delete(subject);
      records.set(subject, forgotten);
      return forgotten;
    },
    list: () => [...records.values()],
  };
}

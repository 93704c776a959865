import { systemClock } from '../core/clock.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import { KeyPending } from '../core/sealed.ts';
import { forgottenError } from './memory-subject-keys.ts';
import { OpenedParts } from './opened-parts.ts';
import { isKey, type SubjectKey, type SubjectKeyRecord, type SubjectKeyStore } from './subject-keys.ts';

/** Milliseconds between two questions whether other processes have destroyed keys. */
const REFRESH_MS = 1_000;

const rings = new WeakMap<SubjectKeyStore, KeyRing>();

/** The keys of a store in memory, and what they have opened. Caches of this process with the same store share them. */
export class KeyRing {
  readonly store: SubjectKeyStore;
  readonly opened = new OpenedParts();
  readonly #byId = new Map<string, SubjectKey>();
  readonly #bySubject = new Map<string, SubjectKey>();
  /** Subjects of destroyed keys by id; `undefined` if the subject is not known. */
  readonly #forgotten = new Map<string, string | undefined>();
  /** Ids for which the store was asked, and has not answered yet. */
  readonly #asked = new Set<string>();
  /** Why the store did not answer the last question for an id. */
  readonly #failures = new Map<string, Error>();
  #refreshedAt = 0;

  private constructor(store: SubjectKeyStore) {
    this.store = store;
  }

  /** Returns the ring of a store. */
  static of(store: SubjectKeyStore): KeyRing {
    const known = rings.get(store);
    if (known !== undefined) return known;
    const ring = new KeyRing(store);
    rings.set(store, ring);
    return ring;
  }

  /**
   * Returns the key of a subject.
   *
   * @throws {KeyPending} if the store answers with a promise.
   * @throws {ContextCacheError} `SUBJECT_FORGOTTEN`; `KEY_UNAVAILABLE` if the store returns what is no key of this subject; the errors
   *   of the store.
   */
  keyFor(subject: string): SubjectKey {
    this.#refresh();
    const known = this.#living(this.#bySubject.get(subject));
    if (known !== undefined) return known;
    const take = (key: SubjectKey): SubjectKey => {
      checkUsable(key);
      if (this.#forgotten.has(key.id)) throw forgottenError(subject);
      if (key.subject !== subject) throw unusable('The key store returned the key of another subject');
      return this.#added(key);
    };
    const key = this.store.keyFor(subject);
    if (key instanceof Promise) throw new KeyPending(key.then(take));
    return take(key);
  }

  /**
   * Returns a key by its id; `forgotten` if it was destroyed, `undefined` if it is not available now. `report` is called if the store
   * then fails to answer.
   */
  find(id: string, report: (error: Error) => void): SubjectKey | 'forgotten' | undefined {
    this.#refresh();
    const known = this.#living(this.#byId.get(id));
    if (known !== undefined) return known;
    return this.#forgotten.has(id) ? 'forgotten' : this.#ask(id, report);
  }

  /** Returns the subject of a key, also of a destroyed one; `undefined` if it is not known now. */
  subjectOf(id: string, report: (error: Error) => void): string | undefined {
    const found = this.find(id, report);
    if (found !== 'forgotten') return found?.subject;
    if (this.#forgotten.get(id) === undefined) this.#ask(id, report);
    return this.#forgotten.get(id);
  }

  /** Returns why the store did not answer the last question for a key; `undefined` if it did. */
  failureOf(id: string): Error | undefined {
    return this.#failures.get(id);
  }

  /**
   * Discards keys and all that they have opened. They are never used again, whatever the store says. `subject` is the one of these
   * keys, which need not have been loaded; without it the store knows it.
   */
  forget(ids: Iterable<string>, subject?: string): void {
    const all = new Set(ids);
    for (const id of all) {
      const key = this.#byId.get(id);
      if (key !== undefined) {
        key.secret.fill(0);
        this.#byId.delete(id);
        this.#bySubject.delete(key.subject);
      }
      this.#forgotten.set(id, this.#forgotten.get(id) ?? key?.subject ?? subject);
    }
    this.opened.discard(all);
  }

  /** Asks the store for a key. Returns `undefined` if it answers later. */
  #ask(id: string, report: (error: Error) => void): SubjectKey | 'forgotten' | undefined {
    if (this.#asked.has(id)) return undefined;
    const found = this.store.find(id);
    if (!(found instanceof Promise)) return this.#took(id, found);
    this.#asked.add(id);
    found
      .then((arrived) => {
        this.#took(id, arrived);
        this.#failures.delete(id);
      })
      .catch((thrown) => {
        const error = toError(thrown);
        const before = this.#failures.get(id);
        this.#failures.set(id, error);
        // Each read asks again.
        if (before?.message !== error.message) report(error);
      })
      .finally(() => this.#asked.delete(id));
    return undefined;
  }

  /** Returns a key, unless the store has overwritten it: then it was destroyed, and must not encrypt anything. */
  #living(key: SubjectKey | undefined): SubjectKey | undefined {
    if (key === undefined || !isOverwritten(key)) return key;
    this.forget([key.id]);
    return undefined;
  }

  #added(key: SubjectKey): SubjectKey {
    this.#byId.set(key.id, key);
    this.#bySubject.set(key.subject, key);
    return key;
  }

  #took(id: string, found: SubjectKey | SubjectKeyRecord | undefined): SubjectKey | 'forgotten' | undefined {
    if (found === undefined) return undefined;
    if (isKey(found)) checkUsable(found);
    if (found.id !== id) throw unusable(`The key store returned the key ${JSON.stringify(found.id)} for another id`);
    if (isKey(found) && !this.#forgotten.has(id)) return this.#added(found);
    this.forget([id], found.subject);
    return 'forgotten';
  }

  #refresh(): void {
    if (this.store.refresh === undefined) return;
    const now = (systemClock.elapsed ?? systemClock.now)();
    if (now - this.#refreshedAt < REFRESH_MS) return;
    this.#refreshedAt = now;
    const gone = this.store.refresh();
    if (gone.length > 0) this.forget(gone);
  }
}

/** Throws `KEY_UNAVAILABLE` if a store has returned something else than a key. */
function checkUsable(key: SubjectKey): void {
  const isUsable = typeof key?.id === 'string' && typeof key.subject === 'string' && key.secret?.length === 32;
  if (!isUsable || isOverwritten(key))
    throw unusable('The key store returned no key of 32 bytes with an id and a subject');
}

function isOverwritten({ secret }: SubjectKey): boolean {
  return !secret.some((byte) => byte !== 0);
}

function unusable(problem: string): ContextCacheError {
  return new ContextCacheError('KEY_UNAVAILABLE', `${problem}. Check the store with subjectKeysSuite.`);
}

import { systemClock } from '../core/clock.ts';
import { ContextCacheError } from '../core/errors.ts';
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
  /** Questions that the store has not answered yet. */
  readonly #asked = new Map<string, Promise<unknown>>();
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
   * @throws {ContextCacheError} `SUBJECT_FORGOTTEN`, and the errors of the store.
   */
  keyFor(subject: string): SubjectKey {
    this.#refresh();
    const known = this.#bySubject.get(subject);
    if (known !== undefined) return known;
    const key = this.store.keyFor(subject);
    if (key instanceof Promise) throw new KeyPending(key.then((arrived) => this.#added(arrived)));
    if (this.#forgotten.has(key.id)) throw forgottenError(subject);
    return this.#added(key);
  }

  /** Returns a key by its id; `forgotten` if it was destroyed, `undefined` if it is not available now. */
  find(id: string): SubjectKey | 'forgotten' | undefined {
    this.#refresh();
    const known = this.#byId.get(id);
    if (known !== undefined) return known;
    if (this.#forgotten.has(id)) return 'forgotten';
    if (this.#asked.has(id)) return undefined;
    const found = this.store.find(id);
    if (!(found instanceof Promise)) return this.#took(found);
    const taken = found.then((arrived) => this.#took(arrived)).catch(() => {});
    this.#asked.set(
      id,
      taken.finally(() => this.#asked.delete(id)),
    );
    return undefined;
  }

  /** Resolves once the store has answered what it was asked by reads. */
  async settled(): Promise<void> {
    await Promise.all(this.#asked.values());
  }

  /** Returns the subject of a key, also of a destroyed one; `undefined` if it is not known. */
  subjectOf(id: string): string | undefined {
    const found = this.find(id);
    return found === 'forgotten' ? this.#forgotten.get(id) : found?.subject;
  }

  /** Discards keys and all that they have opened. They are never used again, whatever the store says. */
  forget(ids: Iterable<string>): void {
    const all = new Set(ids);
    for (const id of all) {
      const key = this.#byId.get(id);
      if (key !== undefined) {
        key.secret.fill(0);
        this.#byId.delete(id);
        this.#bySubject.delete(key.subject);
      }
      if (!this.#forgotten.has(id)) this.#forgotten.set(id, key?.subject);
    }
    this.opened.discard(all);
  }

  #added(key: SubjectKey): SubjectKey {
    if (!isUsable(key))
      throw new ContextCacheError(
        'KEY_UNAVAILABLE',
        'The key store returned no key of 32 bytes with an id and a subject.',
      );
    if (this.#forgotten.has(key.id)) return key;
    this.#byId.set(key.id, key);
    this.#bySubject.set(key.subject, key);
    return key;
  }

  #took(found: SubjectKey | SubjectKeyRecord | undefined): SubjectKey | 'forgotten' | undefined {
    if (found === undefined) return undefined;
    if (isKey(found)) return this.#added(found);
    this.#forgotten.set(found.id, found.subject);
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

function isUsable(key: SubjectKey): boolean {
  return typeof key?.id === 'string' && typeof key.subject === 'string' && key.secret?.length === 32;
}

import {
  closeSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { systemClock } from '../core/clock.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import { withLock } from './key-file-lock.ts';
import { forgottenError, newKey } from './memory-subject-keys.ts';
import type { SubjectKey, SubjectKeyRecord, SubjectKeyStore } from './subject-keys.ts';
import { overwrite, wipe } from './wipe.ts';

/** First line of the file. */
const HEADING = { format: 'agent-context-cache subject keys', version: 1 } as const;

/** A line of the file. `key` is base64; without it the key was destroyed. */
type Line = SubjectKeyRecord & { readonly key?: string };

/** Times that a file that keeps changing is read. */
const READ_TRIES = 10;

/** Stores by path: caches of this process that use the same file share its keys. */
const open = new Map<string, FileSubjectKeys>();

/**
 * The keys of subjects in a file that only its owner can read (0600), a line of JSON each. A new key is appended and synced, which
 * takes the time of one disk sync the first time that a subject is named. Destroying a key replaces the file in one step and then
 * overwrites the old one. Several processes may use the same file; a key that one of them has destroyed is refused by the others
 * within a second.
 *
 * Keep the file out of data directories, backups and images of the disk: whoever has a copy of it can read what its keys have sealed.
 *
 * @throws {ContextCacheError} `FILE_CORRUPT`; `KEY_UNAVAILABLE` if it cannot be read; `FORBIDDEN` if others may read it.
 *
 * @example
 * ```ts
 * const subjects = { keys: fileSubjectKeys('/var/lib/agents/subject.keys') };
 * await using cache = await AgentContextCache.open({ dataDir, subjects });
 * ```
 */
export function fileSubjectKeys(path: string): SubjectKeyStore {
  if (typeof path !== 'string' || path === '')
    throw new ContextCacheError('INVALID_OPTION', 'fileSubjectKeys takes the path of a file.');
  const full = resolve(path);
  const known = open.get(full);
  if (known !== undefined) return known;
  const store = new FileSubjectKeys(full);
  open.set(full, store);
  return store;
}

/** The store of {@link fileSubjectKeys}. */
export class FileSubjectKeys implements SubjectKeyStore {
  readonly path: string;
  /** The temporary file of a replacement. Only the owner of the lock has one; one that a crash has left holds keys. */
  readonly #temporary: string;
  #lines = new Map<string, Line>();
  #byId = new Map<string, Line>();
  #keys = new Map<string, SubjectKey>();
  /** Ids of keys that were destroyed since the last {@link refresh}. */
  readonly #gone: string[] = [];
  /** Identifies the content that was read; empty: there was no file. */
  #seen = '';
  #endsWhole = true;

  constructor(path: string) {
    this.path = path;
    this.#temporary = join(dirname(path), `.${basename(path)}.tmp`);
    if (statSync(this.#temporary, { throwIfNoEntry: false }) !== undefined) this.#changed(() => wipe(this.#temporary));
    this.#read();
  }

  keyFor(subject: string): SubjectKey {
    return this.#existing(subject) ?? this.#changed(() => this.#created(subject));
  }

  find(id: string): SubjectKey | SubjectKeyRecord | undefined {
    let line = this.#byId.get(id);
    if (line === undefined && this.#readIfChanged()) line = this.#byId.get(id);
    return line && (this.#keys.get(line.subject) ?? recordOf(line));
  }

  destroy(subject: string): SubjectKeyRecord | undefined {
    return this.#changed(() => {
      this.#readIfChanged();
      const line = this.#lines.get(subject);
      if (line === undefined || line.forgottenAt !== null) return line && recordOf(line);
      const forgotten = { ...recordOf(line), forgottenAt: systemClock.now() };
      this.#replace(new Map(this.#lines).set(subject, forgotten));
      return forgotten;
    });
  }

  list(): readonly SubjectKeyRecord[] {
    this.#readIfChanged();
    return [...this.#lines.values()].map(recordOf);
  }

  refresh(): readonly string[] {
    this.#readIfChanged();
    return this.#gone.splice(0);
  }

  #existing(subject: string): SubjectKey | undefined {
    const key = this.#keys.get(subject);
    if (key !== undefined) return key;
    if (this.#lines.has(subject)) throw forgottenError(subject);
    return undefined;
  }

  #created(subject: string): SubjectKey {
    this.#readIfChanged();
    const existing = this.#existing(subject);
    if (existing !== undefined) return existing;
    const key = newKey(subject);
    const secret = Buffer.from(key.secret).toString('base64');
    const line: Line = { id: key.id, subject, key: secret, createdAt: systemClock.now(), forgottenAt: null };
    if (this.#seen === '' || !this.#endsWhole) this.#replace(new Map(this.#lines).set(subject, line));
    else this.#append(line, key);
    return this.#keys.get(subject) as SubjectKey;
  }

  #append(line: Line, key: SubjectKey): void {
    const file = this.#opened('a');
    try {
      const { size } = fstatSync(file);
      try {
        writeFileSync(file, `${JSON.stringify(line)}\n`);
        fsyncSync(file);
      } catch (error) {
        ftruncateSync(file, size);
        throw error;
      }
      this.#lines.set(line.subject, line);
      this.#byId.set(line.id, line);
      this.#keys.set(line.subject, key);
      this.#seen = stampOf(fstatSync(file));
    } finally {
      closeSync(file);
    }
  }

  /** Writes the whole file anew, in one step, and overwrites the old one. */
  #replace(lines: Map<string, Line>): void {
    wipe(this.#temporary);
    const content = Buffer.from([HEADING, ...lines.values()].map((each) => `${JSON.stringify(each)}\n`).join(''));
    const old = this.#seen === '' ? undefined : this.#opened('r+');
    let stamp: string;
    try {
      writeSynced(this.#temporary, content);
      renameSync(this.#temporary, this.path);
      syncDirectory(dirname(this.path));
      stamp = stampOf(statSync(this.path));
      if (old !== undefined) overwrite(old);
    } finally {
      if (old !== undefined) closeSync(old);
      wipe(this.#temporary);
    }
    this.#take(lines, stamp);
    this.#endsWhole = true;
  }

  #readIfChanged(): boolean {
    const stamp = stampAt(this.path);
    if (stamp === this.#seen) return false;
    this.#read();
    return true;
  }

  #read(): void {
    for (let tries = 1; ; tries += 1) {
      const stamp = stampAt(this.path);
      try {
        this.#readAs(stamp);
        if (stampAt(this.path) === stamp) return;
      } catch (error) {
        // Another process replaces the file, and overwrites the one that is being read.
        if (stampAt(this.path) === stamp || tries === READ_TRIES) throw error;
      }
    }
  }

  #readAs(stamp: string): void {
    if (stamp === '') {
      this.#take(new Map(), '');
      return;
    }
    const { mode } = statSync(this.path);
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      const message = `${this.path} may be read by other users (mode ${(mode & 0o777).toString(8)}). Run: chmod 600 ${this.path}`;
      throw new ContextCacheError('FORBIDDEN', message);
    }
    const text = this.#text();
    const [heading = '', ...rest] = text.split('\n');
    const tail = rest.pop();
    this.#endsWhole = tail === '';
    if (heading !== JSON.stringify(HEADING)) throw this.#corrupt(1, 'is no heading of a file of subject keys');
    const lines = new Map<string, Line>();
    for (const [index, each] of rest.entries()) {
      const line = parsed(each);
      if (line === undefined) throw this.#corrupt(index + 2, 'is no record of a key');
      lines.set(line.subject, line);
    }
    // A line without its end was cut off by a crash before it was acknowledged; nothing was sealed with its key.
    this.#take(lines, stamp);
  }

  #text(): string {
    try {
      return readFileSync(this.path, 'utf8');
    } catch (cause) {
      const message = `${this.path} cannot be read. Check its permissions.`;
      throw new ContextCacheError('KEY_UNAVAILABLE', message, { cause });
    }
  }

  #take(lines: Map<string, Line>, stamp: string): void {
    const keys = new Map<string, SubjectKey>();
    for (const { subject, id, key } of lines.values()) {
      const before = this.#keys.get(subject);
      if (key !== undefined) keys.set(subject, before?.id === id ? before : { id, subject, secret: bytesOf(key) });
    }
    for (const [subject, { id, secret }] of this.#keys) {
      if (keys.get(subject)?.id === id) continue;
      this.#gone.push(id);
      secret.fill(0);
    }
    this.#lines = lines;
    this.#byId = new Map(Array.from(lines.values(), (line) => [line.id, line]));
    this.#keys = keys;
    this.#seen = stamp;
  }

  #opened(flags: 'a' | 'r+'): number {
    try {
      return openSync(this.path, flags, 0o600);
    } catch (cause) {
      const message = `${this.path} cannot be written. Check its permissions.`;
      throw new ContextCacheError('KEY_UNAVAILABLE', message, { cause });
    }
  }

  /** Changes the file while no other process does. */
  #changed<Result>(change: () => Result): Result {
    mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 });
    return withLock(this.path, () => {
      try {
        return change();
      } catch (error) {
        if (error instanceof ContextCacheError) throw error;
        const cause = toError(error);
        const message = `${this.path} could not be changed: ${cause.message} Check the disk, then try again.`;
        throw new ContextCacheError('KEY_UNAVAILABLE', message, { cause });
      }
    });
  }

  #corrupt(line: number, problem: string): ContextCacheError {
    const message = `Line ${line} of ${this.path} ${problem}. Put back a good copy of the file: without its keys, sealed values cannot be read.`;
    return new ContextCacheError('FILE_CORRUPT', message);
  }
}

function recordOf({ id, subject, createdAt, forgottenAt }: Line): SubjectKeyRecord {
  return { id, subject, createdAt, forgottenAt };
}

function bytesOf(base64: string): Uint8Array {
  return Buffer.from(base64, 'base64');
}

function parsed(text: string): Line | undefined {
  try {
    const line: unknown = JSON.parse(text);
    if (typeof line !== 'object' || line === null) return undefined;
    const { id, subject, key, createdAt, forgottenAt } = line as Partial<Record<keyof Line, unknown>>;
    if (typeof id !== 'string' || typeof subject !== 'string' || typeof createdAt !== 'number') return undefined;
    if (key === undefined) return typeof forgottenAt === 'number' ? { id, subject, createdAt, forgottenAt } : undefined;
    if (forgottenAt !== null || typeof key !== 'string' || bytesOf(key).length !== 32) return undefined;
    return { id, subject, key, createdAt, forgottenAt };
  } catch {
    return undefined;
  }
}

/** Writes a new file that only its owner can read. */
function writeSynced(path: string, content: Buffer): void {
  const file = openSync(path, 'wx', 0o600);
  try {
    writeFileSync(file, content);
    fsyncSync(file);
    const { size } = fstatSync(file);
    if (size !== content.length) throw new Error(`${path} has ${size} bytes instead of ${content.length}.`);
  } finally {
    closeSync(file);
  }
}

function stampAt(path: string): string {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined ? '' : stampOf(stats);
}

function stampOf({ ino, size, mtimeMs }: { ino: number; size: number; mtimeMs: number }): string {
  return `${ino} ${size} ${mtimeMs}`;
}

function syncDirectory(path: string): void {
  if (process.platform === 'win32') return;
  const directory = openSync(path, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

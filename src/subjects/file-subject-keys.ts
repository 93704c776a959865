import {
  closeSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { systemClock } from '../core/clock.ts';
import { ContextCacheError } from '../core/errors.ts';
import { withLock } from './key-file-lock.ts';
import { forgottenError, newKey } from './memory-subject-keys.ts';
import type { SubjectKey, SubjectKeyRecord, SubjectKeyStore } from './subject-keys.ts';

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
  #lines = new Map<string, Line>();
  #keys = new Map<string, SubjectKey>();
  /** Identifies the content that was read; empty: there was no file. */
  #seen = '';
  #endsWhole = true;

  constructor(path: string) {
    this.path = path;
    this.#read();
  }

  keyFor(subject: string): SubjectKey {
    return this.#existing(subject) ?? withLock(this.#directoryMade(), () => this.#created(subject));
  }

  find(id: string): SubjectKey | SubjectKeyRecord | undefined {
    const found = () => [...this.#lines.values()].find((line) => line.id === id);
    let line = found();
    if (line === undefined && this.#readIfChanged()) line = found();
    return line && (this.#keys.get(line.subject) ?? recordOf(line));
  }

  destroy(subject: string): SubjectKeyRecord | undefined {
    return withLock(this.#directoryMade(), () => {
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
    const before = new Map(this.#keys);
    if (!this.#readIfChanged()) return [];
    return [...before].filter(([subject]) => !this.#keys.has(subject)).map(([, { id }]) => id);
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
    const lines = new Map(this.#lines).set(subject, line);
    if (this.#seen === '' || !this.#endsWhole) this.#replace(lines);
    else this.#append(line, lines);
    return this.#keys.get(subject) as SubjectKey;
  }

  #append(line: Line, lines: Map<string, Line>): void {
    const file = this.#opened('a');
    try {
      writeSync(file, `${JSON.stringify(line)}\n`);
      fsyncSync(file);
      this.#take(lines, stampOf(fstatSync(file)));
    } finally {
      closeSync(file);
    }
  }

  /** Writes the whole file anew, in one step, and overwrites the old one. */
  #replace(lines: Map<string, Line>): void {
    const temporary = join(dirname(this.path), `.${basename(this.path)}.${process.pid}.tmp`);
    rmSync(temporary, { force: true });
    const old = this.#seen === '' ? undefined : this.#opened('r+');
    let stamp: string;
    try {
      const file = openSync(temporary, 'wx', 0o600);
      try {
        writeSync(file, [HEADING, ...lines.values()].map((each) => `${JSON.stringify(each)}\n`).join(''));
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      renameSync(temporary, this.path);
      syncDirectory(dirname(this.path));
      stamp = stampOf(statSync(this.path));
      if (old !== undefined) overwrite(old);
    } finally {
      if (old !== undefined) closeSync(old);
      rmSync(temporary, { force: true });
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
    for (const [subject, { secret }] of this.#keys) if (!keys.has(subject)) secret.fill(0);
    this.#lines = lines;
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

  #directoryMade(): string {
    mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 });
    return this.path;
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

/** Overwrites a file that was replaced. Where the disk writes elsewhere (SSD, copy on write), the old bytes may stay on it. */
function overwrite(file: number): void {
  const { size } = fstatSync(file);
  writeSync(file, Buffer.alloc(size), 0, size, 0);
  fsyncSync(file);
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

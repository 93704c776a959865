import type { BigIntStats } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { ContextCacheError, toError } from '../core/errors.ts';
import { optionNames } from '../core/options.ts';
import type { Update } from '../core/update.ts';
import type { JsonValue } from '../core/value.ts';
import { type BackendSetOptions, BaseContextCache, type LogMark } from './base-context-cache.ts';
import { contentOf, type FileContent, spaceOf, takeUpdate, textOf } from './file-content.ts';
import { updatesToTake } from './mirror-position.ts';
import { replaceFile } from './replace-file.ts';

/** Options of {@link FileContextCache}. */
export interface FileContextCacheOptions {
  /** Path of the file. Created at the first change, with its directories, readable and writable by its owner only. */
  readonly path: string;
}

const OPTIONS = optionNames<FileContextCacheOptions>('FileContextCache', { path: true });

/** Inode, size and time of a file, which change with its content; `undefined` if there is no file. */
type Trace = string | undefined;

/** The content of the file, with the changes made since it was read. */
interface Loaded extends FileContent {
  /** The file after the last write of this instance. */
  trace: Trace;
  /** Generation of the instance when the file was read. A later generation makes this content outdated. */
  readonly generation: number;
}

/** The changes of one write. */
interface Round {
  readonly done: Promise<void>;
  readonly settle: (failure?: ContextCacheError) => void;
}

/**
 * Values in one readable JSON file, for small amounts: every write replaces the whole file atomically. The file is read
 * at the first call and kept in memory. A call that changes something resolves once the change is on disk; calls made
 * during a write share the next one. Reads see a change at once.
 *
 * A damaged or foreign file rejects every call with `FILE_CORRUPT` and is never overwritten. Use one instance for a file:
 * if another program has changed it, the write rejects with `BACKEND_FAILED`, waiting changes are undone, and the next
 * call reads the file again. (A program that writes at the same instant may still be overwritten.) A failed write has
 * the same effect. The cache decides about expiry and then sends a `delete`.
 *
 * @example
 * ```ts
 * const backend = new FileContextCache({ path: './context.json' });
 * await backend.set('token', 't-1', 'auth');
 * await backend.close();
 * ```
 */
export class FileContextCache extends BaseContextCache implements AsyncDisposable {
  readonly #path: string;
  #loading: Promise<Loaded> | undefined;
  #generation = 0;
  /** The changes that wait for the next write. */
  #waiting: Round | undefined;
  /** The changes of the write under way. */
  #writing: Round | undefined;
  #writer: Promise<void> | undefined;

  constructor(options: FileContextCacheOptions) {
    super();
    const { path } = OPTIONS.checked(options);
    if (typeof path !== 'string' || path === '') {
      throw new ContextCacheError('INVALID_OPTION', 'FileContextCache needs a path: the file to keep the values in.');
    }
    this.#path = path;
  }

  override async get(key: string, namespace: string): Promise<JsonValue | undefined> {
    const { spaces } = await this.#loaded();
    return spaces.get(namespace)?.get(key);
  }

  override set(key: string, value: JsonValue, namespace: string, _options?: BackendSetOptions): Promise<void> {
    return this.#change(({ spaces }) => {
      spaceOf(spaces, namespace).set(key, value);
      return { changed: true, result: undefined };
    });
  }

  override delete(key: string, namespace: string): Promise<boolean> {
    return this.#change(({ spaces }) => {
      const removed = spaces.get(namespace)?.delete(key) ?? false;
      return { changed: removed, result: removed };
    });
  }

  override async listKeys(namespace: string): Promise<string[]> {
    const { spaces } = await this.#loaded();
    return [...(spaces.get(namespace)?.keys() ?? [])];
  }

  /** Empties the namespace, which stays listed. */
  override clearNamespace(namespace: string): Promise<void> {
    return this.#change(({ spaces }) => {
      const space = spaces.get(namespace);
      const changed = space !== undefined && space.size > 0;
      space?.clear();
      return { changed, result: undefined };
    });
  }

  override async listNamespaces(): Promise<string[]> {
    return [...(await this.#loaded()).spaces.keys()];
  }

  override dropNamespace(namespace: string): Promise<void> {
    return this.#change(({ spaces }) => ({ changed: spaces.delete(namespace), result: undefined }));
  }

  override async getMany(keys: readonly string[], namespace: string): Promise<(JsonValue | undefined)[]> {
    const space = (await this.#loaded()).spaces.get(namespace);
    return keys.map((key) => space?.get(key));
  }

  /** Writes the updates and the position at once. A log that the file does not name is at position 0. */
  override applyUpdates(updates: readonly Update[], mark: LogMark, signal: AbortSignal): Promise<void> {
    return this.#change((content) => {
      checkNotAborted(signal);
      const stored = content.positions.get(mark.log);
      const rest = updatesToTake(updates, mark, stored);
      for (const update of rest) takeUpdate(content, update);
      content.positions.set(mark.log, Math.max(mark.through, stored ?? 0));
      return { changed: rest.length > 0 || (stored ?? 0) < mark.through, result: undefined };
    });
  }

  override async appliedPosition(log: string, signal: AbortSignal): Promise<number | undefined> {
    checkNotAborted(signal);
    return (await this.#loaded()).positions.get(log);
  }

  override resetPosition(log: string, position: number, signal: AbortSignal): Promise<void> {
    return this.#change(({ positions }) => {
      checkNotAborted(signal);
      positions.set(log, position);
      return { changed: true, result: undefined };
    });
  }

  /** Waits for the last write, then releases the content; a later call reads the file again. */
  override async close(): Promise<void> {
    while (this.#writer !== undefined) await this.#writer;
    this.#forget();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #loaded(): Promise<Loaded> {
    for (;;) {
      this.#loading ??= this.#load(this.#generation);
      const loaded = await this.#loading;
      if (loaded.generation === this.#generation) return loaded;
    }
  }

  async #load(generation: number): Promise<Loaded> {
    try {
      const trace = await traceOf(this.#path);
      if (trace === undefined) return { spaces: new Map(), positions: new Map(), trace, generation };
      return { ...contentOf(await readFile(this.#path), this.#path), trace, generation };
    } catch (error) {
      // A person may have repaired the file before the next call.
      if (generation === this.#generation) this.#forget();
      throw this.#failure('read', error);
    }
  }

  #forget(): void {
    this.#generation += 1;
    this.#loading = undefined;
  }

  /** Changes the content in memory and resolves once it is on disk. A refused change has no effect. */
  async #change<T>(change: (content: Loaded) => { changed: boolean; result: T }): Promise<T> {
    const loaded = await this.#loaded();
    // Synchronous up to the await: no other change comes in between.
    const { changed, result } = change(loaded);
    if (changed) this.#waiting ??= newRound();
    // Also without a change: the result may rest on one that is still being written.
    const round = this.#waiting ?? this.#writing;
    if (changed) this.#writer ??= this.#write(loaded);
    await round?.done;
    return result;
  }

  /** Writes until no change waits. Never rejects: each round settles for its own callers. */
  async #write(loaded: Loaded): Promise<void> {
    for (let round = this.#waiting; round !== undefined; round = this.#waiting) {
      this.#waiting = undefined;
      this.#writing = round;
      try {
        await this.#save(loaded);
        round.settle();
      } catch (error) {
        this.#undo(round, this.#failure('write', error));
      }
    }
    this.#writing = undefined;
    this.#writer = undefined;
  }

  /** Undoes the failed round and the waiting one, which builds on it; the file holds the truth. */
  #undo(round: Round, failure: ContextCacheError): void {
    round.settle(failure);
    this.#waiting?.settle(failure);
    this.#waiting = undefined;
    this.#forget();
  }

  async #save(loaded: Loaded): Promise<void> {
    const text = textOf(loaded);
    if ((await traceOf(this.#path)) !== loaded.trace) {
      throw new ContextCacheError(
        'BACKEND_FAILED',
        `${this.#path} was changed by another program, so nothing was written. Let one process use it, and repeat the change.`,
      );
    }
    loaded.trace = traceFrom(await replaceFile(this.#path, text));
  }

  #failure(what: 'read' | 'write', thrown: unknown): ContextCacheError {
    if (thrown instanceof ContextCacheError) return thrown;
    const cause = toError(thrown);
    const message = `${this.#path} cannot be ${what === 'read' ? 'read' : 'written'}: ${cause.message}. Check its rights and the free space.`;
    return new ContextCacheError('BACKEND_FAILED', message, { cause });
  }
}

function newRound(): Round {
  let settle: Round['settle'] = () => {};
  const done = new Promise<void>((resolve, reject) => {
    settle = (failure) => (failure === undefined ? resolve() : reject(failure));
  });
  return { done, settle };
}

function checkNotAborted(signal: AbortSignal): void {
  if (signal.aborted)
    throw new ContextCacheError('TIMED_OUT', 'The call was given up before it was made.', { cause: signal.reason });
}

function traceFrom({ ino, size, mtimeNs }: BigIntStats): string {
  return `${ino} ${size} ${mtimeNs}`;
}

async function traceOf(path: string): Promise<Trace> {
  try {
    return traceFrom(await stat(path, { bigint: true }));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

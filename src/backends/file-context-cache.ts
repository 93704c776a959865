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
  /** The file. Made at the first change, with its directories, readable by its owner only. */
  readonly path: string;
}

const OPTIONS = optionNames<FileContextCacheOptions>('FileContextCache', { path: true });

/** What tells one state of a file from another; `undefined` where there is no file. */
type Trace = string | undefined;

/** The file as it was read, with the changes made since. */
interface Loaded extends FileContent {
  /** The file as this instance has left it. */
  trace: Trace;
  /** As the instance's own when it was read: another one since, and this is out of date. */
  readonly generation: number;
}

/** Changes that one write carries. */
interface Round {
  readonly done: Promise<void>;
  readonly settle: (failure?: ContextCacheError) => void;
}

/**
 * Values in one JSON file that people can read, for small amounts: every write replaces the whole file, atomically.
 * It is read at the first call and kept in memory. A call that changes something resolves once that is on disk; calls
 * made while a write is on its way share the next one. Reads see at once what has been set.
 *
 * A damaged or foreign file is `FILE_CORRUPT` and is never overwritten. One instance a file: where somebody else has
 * changed it, the write is refused with `BACKEND_FAILED`, what waited is undone, and the next call reads it anew. (Who
 * writes in the same instant may still be overwritten.) The same happens where writing fails. Expiry is decided
 * elsewhere and arrives as a `delete`.
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
  /** What the next write carries. */
  #waiting: Round | undefined;
  /** What the write on its way carries. */
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

  /** The updates and the position are one write. A log that nothing is known of is at position 0. */
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

  /** Waits for the last write, then lets go of what it holds in memory; a later call reads the file anew. */
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
      // The file may have been mended by the next call.
      if (generation === this.#generation) this.#forget();
      throw this.#failure('read', error);
    }
  }

  #forget(): void {
    this.#generation += 1;
    this.#loading = undefined;
  }

  /** Changes the content in memory; resolves once that is on disk. Whatever is refused has changed nothing. */
  async #change<T>(change: (content: Loaded) => { changed: boolean; result: T }): Promise<T> {
    const loaded = await this.#loaded();
    // From here to the await nothing can come between.
    const { changed, result } = change(loaded);
    if (changed) this.#waiting ??= newRound();
    // Also where nothing has changed: what the answer rests on may still be on its way.
    const round = this.#waiting ?? this.#writing;
    if (changed) this.#writer ??= this.#write(loaded);
    await round?.done;
    return result;
  }

  /** Writes until nothing waits. Never rejects: each round tells its own callers. */
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

  /** The disk says what is so; what came meanwhile builds on what has failed. */
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
        `${this.#path} has been changed by somebody else, so that nothing was written. Let one process use it, and repeat the change.`,
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

import { resolve } from 'node:path';
import type { SnapshotInfo } from '../backup.ts';
import { connect, RemoteContextCache } from '../client.ts';
import { isDataDirectory } from '../engine/restore.ts';
import {
  AgentContextCache,
  type CacheHealth,
  ContextCacheError,
  type ContextCommand,
  type OpenOptions,
  systemClock,
} from '../index.ts';
import {
  type DiffRange,
  type DumpRange,
  diffChunks,
  dumpChunks,
  historyChunks,
  type LogRange,
  logChunks,
  type OrderedRange,
  orderedChunks,
} from '../serve/json-lines.ts';
import type { FailureSource } from '../types.ts';
import { readServeFile, type ServeFile } from '../wire/serve-file.ts';
import { listSnapshots } from './snapshots.ts';
import { shownCount } from './terminal/format.ts';
import type { Output } from './terminal/output.ts';

/** The cache that a command uses: served by another process, or opened by this one. */
export interface Target extends AsyncDisposable {
  /** Set if another process serves the directory. */
  readonly isServed: boolean;
  ask(command: ContextCommand): Promise<unknown>;
  dump(range: DumpRange): AsyncIterable<string>;
  entries(range: OrderedRange): AsyncIterable<string>;
  history(key: string, namespace: string): AsyncIterable<string>;
  diff(range: DiffRange): AsyncIterable<string>;
  log(range: LogRange): AsyncIterable<string>;
  snapshots(): Promise<SnapshotInfo[]>;
}

/** Options of {@link openTarget}. */
export interface OpenRequest {
  readonly dataDir: string;
  readonly output: Output;
  /** Create the directory if it does not exist. Default false. */
  readonly create?: boolean;
  readonly cache?: Omit<OpenOptions, 'dataDir' | 'onError'>;
}

/** How long a command waits for another one that has the directory open, milliseconds. */
const LOCK_WAIT_MS = 5_000;
/** Time between two attempts, milliseconds. */
const LOCK_RETRY_MS = 50;
/** How long a request waits for a server whose connection was lost, milliseconds. */
const SERVER_WAIT_MS = 2_000;
/** How long closing a cache may take at the end of a command, milliseconds. */
export const CLOSE_MS = 5_000;

/**
 * Returns the cache of a directory: through the process that serves it, otherwise opened here.
 *
 * @throws {ContextCacheError} `NOT_FOUND`, `DIRECTORY_LOCKED`, and the errors of `AgentContextCache.open`.
 */
export async function openTarget(request: OpenRequest): Promise<Target> {
  return new OpenTarget(await openOrConnect(request), request.dataDir);
}

/** Returns a client of the process that serves the directory, otherwise the cache, opened here. Waits for a lock. */
export async function openOrConnect(request: OpenRequest): Promise<RemoteContextCache | AgentContextCache> {
  const { dataDir, create = false } = request;
  return whenUnlocked(request.output, async () => {
    const client = await connectServed(dataDir);
    if (client !== undefined) return client;
    if (!create) await mustExist(dataDir);
    return openCache(request);
  });
}

/**
 * Tries again while another process has the directory open, for {@link LOCK_WAIT_MS}; says at once that it waits.
 *
 * @throws {ContextCacheError} `DIRECTORY_LOCKED` after that time.
 */
export async function whenUnlocked<Result>(output: Output, open: () => Promise<Result>): Promise<Result> {
  const deadline = systemClock.now() + LOCK_WAIT_MS;
  for (let isFirst = true; ; isFirst = false) {
    try {
      return await open();
    } catch (error) {
      const isLocked = error instanceof ContextCacheError && error.code === 'DIRECTORY_LOCKED';
      if (!isLocked || systemClock.now() >= deadline) throw error;
      const [holder = error.message] = /^.* is in use by (process \d+|another process)/.exec(error.message) ?? [];
      if (isFirst) output.message(`${holder}. Waiting up to ${LOCK_WAIT_MS / 1_000} s for it …`);
    }
    await new Promise<void>((resolve) => systemClock.setTimeout(resolve, LOCK_RETRY_MS));
  }
}

/** Returns the positions that the log holds. */
export async function keptRange(target: Pick<Target, 'ask'>): Promise<{ first: number; head: number }> {
  return ((await target.ask({ type: 'cache.health' })) as CacheHealth).log;
}

/** Says that there is no more of the past than this. */
export function keptFrom(first: number): string {
  return `The log is kept from position ${shownCount(first)} on; earlier updates have been discarded.`;
}

/**
 * Returns a client of the process that serves the directory; `undefined` if no process does. `onLost` is called when the
 * connection is lost, which usually means that the process has ended.
 */
export async function connectServed(
  dataDir: string,
  onLost: () => void = () => {},
): Promise<RemoteContextCache | undefined> {
  const file = await readServeFile(dataDir);
  if (file === undefined) return undefined;
  try {
    const onError = (_: Error, { source }: FailureSource) => void (source === 'connection' && onLost());
    return await connect(dataDir, { timeoutMs: SERVER_WAIT_MS, onError });
  } catch (error) {
    if (!(error instanceof ContextCacheError)) throw error;
    if (error.code === 'FORMAT_UNSUPPORTED' || error.code === 'OVERLOADED') throw error;
    // The file may be left from a process that was killed, and its port may belong to another program.
    if (error.code !== 'UNREACHABLE' || error.cause !== undefined) return undefined;
    // It is opening or closing the directory, or another process that shares it will end it and take over.
    if (file.shared !== undefined) throw inUse(dataDir, file.pid);
    const message = `Process ${file.pid} serves the directory but does not answer. If it is paused, resume it; otherwise end it.`;
    throw new ContextCacheError('UNREACHABLE', message, { cause: error });
  }
}

function inUse(dataDir: string, pid: number): ContextCacheError {
  const message = `${dataDir} is in use by process ${pid}. It does not serve the directory now; try again.`;
  return new ContextCacheError('DIRECTORY_LOCKED', message);
}

/** Returns the address of the process that serves the directory; `undefined` if no process answers there. */
export async function servedBy(dataDir: string): Promise<ServeFile | undefined> {
  const client = await connectServed(dataDir);
  await client?.shutdown();
  return client === undefined ? undefined : readServeFile(dataDir);
}

/** @throws {ContextCacheError} `NOT_FOUND` if there is no data directory. */
export async function mustExist(dataDir: string): Promise<void> {
  if (await isDataDirectory(dataDir)) return;
  const remedy = 'Name another with --data-dir, or create it with context-cache serve, set or apply.';
  throw new ContextCacheError('NOT_FOUND', `There is no data directory at ${resolve(dataDir)}. ${remedy}`);
}

const keyFiles = new WeakMap<Output, string>();

/** Sets the file of subjects' keys for the commands of a run. */
export function useSubjectKeys(output: Output, path: string): void {
  keyFiles.set(output, path);
}

/** Returns the option `subjects` for the caches that a run opens; `undefined` without `--subject-keys`. */
export function subjectsFor(output: Output): OpenOptions['subjects'] {
  const path = keyFiles.get(output);
  return path === undefined ? undefined : { keys: path };
}

function openCache({ dataDir, output, cache = {} }: OpenRequest): Promise<AgentContextCache> {
  return AgentContextCache.open({
    subjects: subjectsFor(output),
    // Broadcasts and snapshots are left to the next process that serves the directory.
    natsUrl: null,
    backup: { enabled: false },
    passivateAfterMs: 0,
    ...cache,
    dataDir,
    // A logger takes the failures as lines.
    onError: cache.logger === undefined ? (error, { source }) => output.warning(sourced(source, error)) : undefined,
  });
}

function sourced(source: string, error: Error): Error {
  const message = `${source}: ${error.message}`;
  return error instanceof ContextCacheError ? new ContextCacheError(error.code, message) : new Error(message);
}

class OpenTarget implements Target {
  readonly isServed: boolean;
  readonly #cache: AgentContextCache | RemoteContextCache;
  readonly #dataDir: string;

  constructor(cache: AgentContextCache | RemoteContextCache, dataDir: string) {
    this.isServed = cache instanceof RemoteContextCache;
    this.#cache = cache;
    this.#dataDir = dataDir;
  }

  async ask(command: ContextCommand): Promise<unknown> {
    return this.#cache.ask(command);
  }

  dump(range: DumpRange): AsyncIterable<string> {
    return dumpChunks(this.#cache, range);
  }

  entries(range: OrderedRange): AsyncIterable<string> {
    return orderedChunks(this.#cache, range);
  }

  history(key: string, namespace: string): AsyncIterable<string> {
    return historyChunks(this.#cache, key, namespace);
  }

  diff(range: DiffRange): AsyncIterable<string> {
    return diffChunks(this.#cache, range);
  }

  log(range: LogRange): AsyncIterable<string> {
    return logChunks(this.#cache, range);
  }

  async snapshots(): Promise<SnapshotInfo[]> {
    if (this.#cache instanceof RemoteContextCache) return this.#cache.listSnapshots();
    return listSnapshots({ dataDir: this.#dataDir });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cache.shutdown({ timeoutMs: CLOSE_MS });
  }
}

import { resolve } from 'node:path';
import type { SnapshotInfo } from '../backup.ts';
import { isDataDirectory } from '../engine/restore.ts';
import {
  AgentContextCache,
  type CacheHealth,
  ContextCacheError,
  type ContextCommand,
  type OpenOptions,
  systemClock,
} from '../index.ts';
import { HttpClient } from '../serve/http-client.ts';
import {
  type DiffRange,
  type DumpRange,
  diffChunks,
  dumpChunks,
  historyChunks,
  type LogRange,
  logChunks,
} from '../serve/json-lines.ts';
import { readServeFile } from '../wire/serve-file.ts';
import { listSnapshots } from './snapshots.ts';
import { shownCount } from './terminal/format.ts';
import type { Output } from './terminal/output.ts';

/** The cache that a command uses: served by another process, or opened by this one. */
export interface Target extends AsyncDisposable {
  /** Set if another process serves the directory. */
  readonly isServed: boolean;
  ask(command: ContextCommand): Promise<unknown>;
  dump(range: DumpRange): AsyncIterable<string | Uint8Array>;
  history(key: string, namespace: string): AsyncIterable<string | Uint8Array>;
  diff(range: DiffRange): AsyncIterable<string | Uint8Array>;
  log(range: LogRange): AsyncIterable<string | Uint8Array>;
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
/** How long closing a cache may take at the end of a command, milliseconds. */
export const CLOSE_MS = 5_000;

/**
 * Returns the cache of a directory: through the process that serves it, otherwise opened here.
 *
 * @throws {ContextCacheError} `NOT_FOUND`, `DIRECTORY_LOCKED`, and the errors of `AgentContextCache.open`.
 */
export async function openTarget(request: OpenRequest): Promise<Target> {
  const opened = await openOrConnect(request);
  return opened instanceof HttpClient ? new ServedTarget(opened) : new OwnTarget(opened, request.dataDir);
}

/** Returns a client of the process that serves the directory, otherwise the cache, opened here. Waits for a lock. */
export async function openOrConnect(request: OpenRequest): Promise<HttpClient | AgentContextCache> {
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

/** Returns a client of the process that serves the directory; `undefined` if no process does. */
export async function connectServed(dataDir: string): Promise<HttpClient | undefined> {
  const file = await readServeFile(dataDir);
  if (file === undefined) return undefined;
  const client = new HttpClient(file);
  try {
    if (await client.answers()) return client;
  } catch (error) {
    client.close();
    throw error;
  }
  client.close();
  return undefined;
}

/** @throws {ContextCacheError} `NOT_FOUND` if there is no data directory. */
export async function mustExist(dataDir: string): Promise<void> {
  if (await isDataDirectory(dataDir)) return;
  const remedy = 'Name another with --data-dir, or create it with context-cache serve, set or apply.';
  throw new ContextCacheError('NOT_FOUND', `There is no data directory at ${resolve(dataDir)}. ${remedy}`);
}

function openCache({ dataDir, output, cache = {} }: OpenRequest): Promise<AgentContextCache> {
  return AgentContextCache.open({
    // Broadcasts and snapshots are left to the next process that serves the directory.
    natsUrl: null,
    backup: { enabled: false },
    passivateAfterMs: 0,
    ...cache,
    dataDir,
    onError: (error, { source }) => output.warning(sourced(source, error)),
  });
}

function sourced(source: string, error: Error): Error {
  const message = `${source}: ${error.message}`;
  return error instanceof ContextCacheError ? new ContextCacheError(error.code, message) : new Error(message);
}

class ServedTarget implements Target {
  readonly isServed = true;
  readonly #client: HttpClient;

  constructor(client: HttpClient) {
    this.#client = client;
  }

  ask(command: ContextCommand): Promise<unknown> {
    return this.#client.ask(command);
  }

  dump(range: DumpRange): AsyncIterable<Uint8Array> {
    return this.#client.dump(range);
  }

  history(key: string, namespace: string): AsyncIterable<Uint8Array> {
    return this.#client.history(key, namespace);
  }

  diff(range: DiffRange): AsyncIterable<Uint8Array> {
    return this.#client.diff(range);
  }

  log(range: LogRange): AsyncIterable<Uint8Array> {
    return this.#client.log(range);
  }

  snapshots(): Promise<SnapshotInfo[]> {
    return this.#client.snapshots();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
  }
}

class OwnTarget implements Target {
  readonly isServed = false;
  readonly #cache: AgentContextCache;
  readonly #dataDir: string;

  constructor(cache: AgentContextCache, dataDir: string) {
    this.#cache = cache;
    this.#dataDir = dataDir;
  }

  async ask(command: ContextCommand): Promise<unknown> {
    return this.#cache.ask(command);
  }

  dump(range: DumpRange): AsyncIterable<string> {
    return dumpChunks(this.#cache, range);
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

  snapshots(): Promise<SnapshotInfo[]> {
    return listSnapshots({ dataDir: this.#dataDir });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cache.shutdown({ timeoutMs: CLOSE_MS });
  }
}

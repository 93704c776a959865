import { access } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { SnapshotInfo } from '../backup.ts';
import { AgentContextCache, ContextCacheError, type ContextCommand, type OpenOptions, systemClock } from '../index.ts';
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
import { readServeFile } from '../serve/serve-file.ts';
import { listSnapshots } from './snapshots.ts';
import type { Output } from './terminal/output.ts';

/** The cache that a command is about: one that another process serves, or one that this process has opened. */
export interface Target extends AsyncDisposable {
  ask(command: ContextCommand): Promise<unknown>;
  dump(range: DumpRange): AsyncIterable<string | Uint8Array>;
  history(key: string, namespace: string): AsyncIterable<string | Uint8Array>;
  diff(range: DiffRange): AsyncIterable<string | Uint8Array>;
  log(range: LogRange): AsyncIterable<string | Uint8Array>;
  snapshots(): Promise<SnapshotInfo[]>;
}

/** How a directory is opened. */
export interface OpenRequest {
  readonly dataDir: string;
  readonly output: Output;
  /** Make the directory where it is not there. Default false. */
  readonly create?: boolean;
  readonly cache?: Omit<OpenOptions, 'dataDir' | 'onError'>;
}

/** How long another command that has the directory open for a moment is waited for. */
const LOCK_WAIT_MS = 5_000;
const LOCK_LOOK_MS = 50;
/** How long a command may take to leave the directory as it should be. */
export const CLOSE_MS = 5_000;

/**
 * The cache of a directory, through the process that serves it, or else opened here.
 *
 * @throws {ContextCacheError} `NOT_FOUND`, `DIRECTORY_LOCKED`, and what opening a cache throws.
 */
export async function openTarget(request: OpenRequest): Promise<Target> {
  const opened = await openOrConnect(request);
  return opened instanceof HttpClient ? new ServedTarget(opened) : new OwnTarget(opened, request.dataDir);
}

/** The process that serves the directory, or else the cache opened here. A short lock of another's is waited for. */
export async function openOrConnect(request: OpenRequest): Promise<HttpClient | AgentContextCache> {
  const { dataDir, create = false } = request;
  const deadline = systemClock.now() + LOCK_WAIT_MS;
  for (;;) {
    const client = await connectServed(dataDir);
    if (client !== undefined) return client;
    if (!create) await mustExist(dataDir);
    try {
      return await openCache(request);
    } catch (error) {
      const locked = error instanceof ContextCacheError && error.code === 'DIRECTORY_LOCKED';
      if (!locked || systemClock.now() >= deadline) throw error;
    }
    await new Promise<void>((resolve) => systemClock.setTimeout(resolve, LOCK_LOOK_MS));
  }
}

/** The process that serves the directory; `undefined` where none does. */
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

/** @throws {ContextCacheError} `NOT_FOUND` where there is no data directory. */
export async function mustExist(dataDir: string): Promise<void> {
  try {
    await access(join(dataDir, 'db', 'CURRENT'));
  } catch (cause) {
    const remedy = 'Name another with --data-dir, or make it: context-cache serve, set or apply.';
    throw new ContextCacheError('NOT_FOUND', `There is no data directory at ${resolve(dataDir)}. ${remedy}`, { cause });
  }
}

function openCache({ dataDir, output, cache = {} }: OpenRequest): Promise<AgentContextCache> {
  return AgentContextCache.open({
    // What this process does not do, the next one that serves the directory does.
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

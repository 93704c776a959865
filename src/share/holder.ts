import { join } from 'node:path';
import type { ContextStore } from '../cache/context-store.ts';
import type { Clock } from '../core/clock.ts';
import { pause } from '../core/deadline.ts';
import { ContextCacheError } from '../core/errors.ts';
import { LazyMcp } from '../serve/lazy-mcp.ts';
import { Listening } from '../serve/listening.ts';
import type { McpAnswers } from '../serve/mcp-route.ts';
import type { ServedCache } from '../serve/served-cache.ts';
import type { ServerOptions } from '../serve/server-options.ts';
import { lockDirectory } from '../storage/disk/lock.ts';
import { readServeFile, type SharedHolder } from '../wire/serve-file.ts';

/** The parts of a {@link Holder}. */
export interface HolderOptions {
  readonly dataDir: string;
  /** Opens the cache on the directory. */
  readonly open: () => Promise<ServedCache>;
  readonly server: ServerOptions;
  /** Creates the answers at `/mcp`. */
  readonly mcp: ((cache: ContextStore) => Promise<McpAnswers>) | undefined;
  readonly shared: SharedHolder;
  readonly clock: Clock;
  /** Longest wait for a process that has the directory open and does not serve it, milliseconds. */
  readonly waitMs: number;
  readonly signal: AbortSignal;
}

/** Time between two attempts to open a directory that another process has open, milliseconds. */
const OPEN_RETRY_MS = 25;
/** Longest wait for the followers if other processes wait for the directory, milliseconds. The next holder continues them. */
const HAND_OVER_MS = 1_000;

/** Returns the folder in a data directory whose lock its holder keeps from before it opens the cache until it is closed. */
export function shareLock(dataDir: string): string {
  return join(dataDir, 'share');
}

/** A process's hold on a shared directory: the open cache, served to all processes that share it. */
export class Holder {
  readonly #cache: ServedCache;
  readonly #listening: Listening;
  readonly #mcp: LazyMcp | undefined;
  readonly #unlock: () => Promise<void>;

  private constructor(cache: ServedCache, listening: Listening, mcp: LazyMcp | undefined, unlock: () => Promise<void>) {
    this.#cache = cache;
    this.#listening = listening;
    this.#mcp = mcp;
    this.#unlock = unlock;
  }

  /** The token in its `serve.json`. */
  get token(): string {
    return this.#listening.token;
  }

  /**
   * Takes the directory: listens and says so in `serve.json`, opens the cache, serves it.
   *
   * @throws {ContextCacheError} `DIRECTORY_LOCKED` if another process holds it; the errors of `open` and `startServer`.
   */
  static async take(options: HolderOptions): Promise<Holder> {
    const { dataDir, server, shared, mcp: createMcp } = options;
    const unlock = await lockDirectory(shareLock(dataDir), dataDir);
    let listening: Listening | undefined;
    try {
      listening = await Listening.open(dataDir, server, shared);
      await listening.announce();
      const cache = await open(options, listening.token);
      const mcp = createMcp && new LazyMcp(() => createMcp(cache));
      listening.serve(cache, mcp);
      return new Holder(cache, listening, mcp, unlock);
    } catch (error) {
      await listening?.close().catch(() => {});
      await unlock();
      throw error;
    }
  }

  /** Hands the directory over. Until it is closed, `serve.json` names this process, which answers that it is closing. */
  async close(timeoutMs: number): Promise<void> {
    const isAlone = this.#listening.sockets?.size === 0;
    const mcp = this.#mcp?.close();
    mcp?.catch(() => {});
    try {
      await this.#listening.leave();
      await this.#cache.shutdown({ timeoutMs: isAlone ? timeoutMs : Math.min(timeoutMs, HAND_OVER_MS) });
    } finally {
      await this.#listening.close().catch(() => {});
      await this.#unlock();
    }
    // Throws what the caller's own answers throw, once the directory is handed over.
    await mcp;
  }
}

/** Opens the cache. Waits for a process that has the directory open, such as a command, unless it begins to serve it. */
async function open(options: HolderOptions, token: string): Promise<ServedCache> {
  const { dataDir, clock, waitMs, signal } = options;
  const due = clock.now() + waitMs;
  for (;;) {
    try {
      return await options.open();
    } catch (error) {
      const isLocked = error instanceof ContextCacheError && error.code === 'DIRECTORY_LOCKED';
      if (!isLocked || signal.aborted || clock.now() >= due) throw error;
      if ((await readServeFile(dataDir))?.token !== token) throw error;
    }
    await pause(clock, OPEN_RETRY_MS, signal);
  }
}

import { resolve } from 'node:path';
import { RemoteContextCache } from '../client.ts';
import { isDataDirectory } from '../engine/restore.ts';
import { type AgentContextCache, ContextCacheError, type OpenOptions, type ShutdownReport } from '../index.ts';
import type { McpOptions } from '../mcp.ts';
import { type CacheServer, startServer } from '../serve/cache-server.ts';
import { answerNatsCommands, type NatsCommands } from '../serve/nats-commands.ts';
import { HttpListener } from '../wire/http-listener.ts';
import { readServeFile } from '../wire/serve-file.ts';
import { openOrConnect } from './target.ts';
import type { Output } from './terminal/output.ts';

/** Options of {@link Serving.start}. */
export interface ServingOptions {
  readonly dataDir: string;
  readonly output: Output;
  readonly port?: number | undefined;
  readonly cache: Omit<OpenOptions, 'dataDir' | 'onError'>;
  /** Options of the MCP server at `/mcp`. */
  readonly mcp?: McpOptions | undefined;
  /** NATS server and subject to take commands from. */
  readonly commands?:
    | { readonly url: string; readonly subject: string; readonly agent?: string | undefined }
    | undefined;
}

/** A data directory that this process has open and serves to other processes. */
export class Serving {
  readonly cache: AgentContextCache;
  readonly port: number;
  readonly #server: CacheServer;
  readonly #commands: NatsCommands | undefined;

  private constructor(cache: AgentContextCache, server: CacheServer, commands: NatsCommands | undefined) {
    this.cache = cache;
    this.port = server.port;
    this.#server = server;
    this.#commands = commands;
  }

  /**
   * Opens the directory and serves it.
   *
   * @throws {ContextCacheError} `DIRECTORY_LOCKED` if another process has it open; `INVALID_OPTION` if the port is taken;
   *   the errors of `AgentContextCache.open`.
   */
  static async start(options: ServingOptions): Promise<Serving> {
    const { dataDir, output, port, mcp, commands } = options;
    if (port !== undefined && !(await isDataDirectory(dataDir))) await mustBeFree(port);
    const cache = await openOrConnect({ dataDir, output, create: true, cache: options.cache });
    if (cache instanceof RemoteContextCache) {
      await cache.shutdown();
      throw await alreadyServed(dataDir);
    }
    let taken: NatsCommands | undefined;
    try {
      if (commands !== undefined) {
        taken = answerNatsCommands({ cache, ...commands, onError: (error) => output.warning(error) });
      }
      return new Serving(cache, await startServer(cache, { port, mcp }), taken);
    } catch (error) {
      await taken?.close();
      await cache.shutdown();
      throw error;
    }
  }

  /** Takes no more requests, ends the running ones, and gives the followers `timeoutMs` to deliver. */
  async close(timeoutMs: number): Promise<ShutdownReport> {
    // In parallel, so that a stalled NATS does not delay the rest.
    const closing = Promise.all([this.#server.close(), this.#commands?.close()]);
    const report = await this.cache.shutdown({ timeoutMs });
    await closing;
    return report;
  }
}

/** @throws {ContextCacheError} `INVALID_OPTION` if the port is taken, before a directory is created for it. */
async function mustBeFree(port: number): Promise<void> {
  const listener = await HttpListener.listen({ port, answer: async () => {} });
  await listener.close();
}

async function alreadyServed(dataDir: string): Promise<ContextCacheError> {
  const pid = (await readServeFile(dataDir))?.pid;
  const who = pid === undefined ? 'Another process' : `Process ${pid}`;
  const remedy = 'The other commands reach it as it is. To serve anew, stop it, or choose another --data-dir.';
  return new ContextCacheError('DIRECTORY_LOCKED', `${who} already serves ${resolve(dataDir)}. ${remedy}`);
}

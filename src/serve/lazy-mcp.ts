import type { IncomingMessage, ServerResponse } from 'node:http';
import type { McpAnswers, McpRoute } from './mcp-route.ts';

/** Answers MCP requests. Loads what that needs with the first one, and again after a failure. */
export class LazyMcp implements McpRoute {
  readonly #load: () => Promise<McpAnswers>;
  #loading: Promise<McpAnswers> | undefined;
  #loaded: McpAnswers | undefined;
  #isClosed = false;

  constructor(load: () => Promise<McpAnswers>) {
    this.#load = load;
  }

  async answer(request: IncomingMessage, response: ServerResponse, agent: string | null): Promise<void> {
    this.#loading ??= this.#open();
    await (await this.#loading).answer(request, response, agent);
  }

  /** Does not wait for answers that are still being loaded; they are closed when they are there. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#loaded?.close();
  }

  async #open(): Promise<McpAnswers> {
    try {
      this.#loaded = await this.#load();
    } catch (error) {
      this.#loading = undefined;
      throw error;
    }
    if (this.#isClosed) await this.#loaded.close();
    return this.#loaded;
  }
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { McpAnswers, McpRoute } from './mcp-route.ts';

/** Answers MCP requests. Loads what that needs with the first one. */
export class LazyMcp implements McpRoute {
  readonly #load: () => Promise<McpAnswers>;
  #answers: Promise<McpAnswers> | undefined;

  constructor(load: () => Promise<McpAnswers>) {
    this.#load = load;
  }

  async answer(request: IncomingMessage, response: ServerResponse, agent: string | null): Promise<void> {
    this.#answers ??= this.#load();
    await (await this.#answers).answer(request, response, agent);
  }

  async close(): Promise<void> {
    const answers = await this.#answers?.catch(() => undefined);
    await answers?.close();
  }
}

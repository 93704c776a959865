import type { IncomingMessage, ServerResponse } from 'node:http';

/** Answers requests of the Model Context Protocol. */
export interface McpRoute {
  answer(request: IncomingMessage, response: ServerResponse, agent: string | null): Promise<void>;
}

/** Answers to MCP requests, as `createMcpHttp` creates them. */
export interface McpAnswers extends McpRoute {
  /** Ends all sessions and streams. */
  close(): Promise<void>;
}

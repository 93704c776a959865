export { createMcpServer } from './integrations/mcp.ts';
export { createMcpHttp, type McpHttp } from './integrations/mcp-http.ts';
export type { McpOptions } from './integrations/mcp-options.ts';
export { type McpConnection, serveMcp } from './integrations/mcp-stdio.ts';

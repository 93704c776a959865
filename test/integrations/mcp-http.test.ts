import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { afterEach, describe, expect, test } from 'vitest';
import { AgentContextCache } from '../../src/index.ts';
import { type CacheServer, type StartServerOptions, startServer } from '../../src/server.ts';
import { waitFor } from '../support/cli.ts';
import { freePort } from '../support/server-process.ts';
import { tempDir } from '../support/temp-dir.ts';
import { addFixtures } from './mcp-fixtures.ts';

const conformance = createRequire(import.meta.url).resolve('@modelcontextprotocol/conformance/dist/index.js');
const closing: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function serve(options: StartServerOptions = {}): Promise<{ cache: AgentContextCache; server: CacheServer }> {
  const cache = new AgentContextCache({ natsUrl: null });
  closing.push(() => cache.shutdown({ timeoutMs: 0 }));
  return { cache, server: await startServer(cache, options) };
}

async function client(server: CacheServer, mode: 'legacy' | 'auto', token = server.token): Promise<Client> {
  const mcp = new Client({ name: 'planner', version: '1' }, { versionNegotiation: { mode } });
  const requestInit = { headers: { authorization: `Bearer ${token}` } };
  await mcp.connect(new StreamableHTTPClientTransport(new URL(`${server.url}/mcp`), { requestInit }));
  closing.push(() => mcp.close());
  return mcp;
}

/** The version that a session of the suite's own client has agreed on. */
const AGREED = '2025-11-25';

/**
 * Listens for the suite, which cannot send a token: adds it, and passes everything else on as it is, except one header. Two
 * scenarios write their requests by hand and name version 2025-03-26 in a session that has agreed on {@link AGREED}. Streams of
 * that version have no priming event, so `server-sse-polling` would check nothing.
 */
async function withToken(token: string, target: number): Promise<number> {
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const given = request.headers['mcp-protocol-version'];
    const version = given !== undefined && { 'mcp-protocol-version': given === '2025-03-26' ? AGREED : given };
    const headers = { ...request.headers, ...version, authorization: `Bearer ${token}` };
    const { method, url } = request;
    const passed = httpRequest({ host: '127.0.0.1', port: target, method, path: url, headers }, (answered) => {
      response.writeHead(answered.statusCode ?? 500, answered.headers);
      response.flushHeaders();
      answered.pipe(response);
    });
    passed.on('error', () => response.destroy());
    response.on('close', () => passed.destroy());
    request.pipe(passed);
  };
  const proxy = createServer(answer);
  const port = await freePort();
  await new Promise<void>((resolve) => proxy.listen(port, '127.0.0.1', resolve));
  closing.push(async () => {
    proxy.closeAllConnections();
    proxy.close();
  });
  return (proxy.address() as AddressInfo).port;
}

describe('MCP by HTTP', () => {
  test.each(['legacy', 'auto'] as const)('serves tools and subscriptions (%s)', async (mode) => {
    const { cache, server } = await serve();
    const mcp = await client(server, mode);
    expect(mcp.getNegotiatedProtocolVersion()).toBe(mode === 'auto' ? '2026-07-28' : '2025-11-25');
    await mcp.callTool({ name: 'set', arguments: { key: 'plan', value: 1, namespace: 'trip' } });
    expect(cache.entry('plan', 'trip')).toMatchObject({ value: 1, agent: 'planner' });
    const changed: string[] = [];
    mcp.setNotificationHandler('notifications/resources/updated', ({ params }) => void changed.push(params.uri));
    const uri = 'context://trip/plan';
    if (mode === 'auto') await mcp.listen({ resourceSubscriptions: [uri] });
    else await mcp.subscribeResource({ uri });
    await waitFor(async () => {
      await cache.set('plan', Math.random(), 'trip');
      expect(changed.length).toBeGreaterThan(0);
    });
    expect(new Set(changed)).toEqual(new Set([uri]));
  });

  test.each(['legacy', 'auto'] as const)('writes as the agent of the token (%s)', async (mode) => {
    const agentTokens = { scribe: 'the-token-of-scribe', other: 'the-token-of-other' };
    const { cache, server } = await serve({ agentTokens });
    const mcp = await client(server, mode, agentTokens.scribe);
    await mcp.callTool({ name: 'set', arguments: { key: 'plan', value: 1 } });
    expect(cache.entry('plan')).toMatchObject({ agent: 'scribe' });
  });

  test('refuses options that are wrong before anything starts', async () => {
    const dataDir = await tempDir('mcp-options');
    await using cache = await AgentContextCache.open({ dataDir, natsUrl: null });
    for (const [mcp, message] of [
      [{ agnet: 'a' }, 'mcp has no option agnet. Did you mean agent?'],
      [{ maxBytes: 1 }, 'maxBytes must be an integer from 1,024 up.'],
      ['planner', 'mcp takes its options as an object, not as a string.'],
    ] as const)
      await expect(startServer(cache, { mcp: mcp as never })).rejects.toMatchObject({
        code: 'INVALID_OPTION',
        message: expect.stringContaining(message),
      });
    expect(existsSync(join(dataDir, 'serve.json'))).toBe(false);
  });

  test('refuses a session with the token of another agent, and a stranger', async () => {
    const agentTokens = { scribe: 'the-token-of-scribe', other: 'the-token-of-other' };
    const { server } = await serve({ agentTokens });
    const post = (token: string, body: object | string, headers: Record<string, string> = {}) =>
      fetch(`${server.url}/mcp`, {
        method: 'POST',
        headers: {
          ...{ authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          ...{ accept: 'application/json, text/event-stream', ...headers },
        },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      });
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'c', version: '1' } };
    const begun = await post(agentTokens.scribe, { jsonrpc: '2.0', id: 1, method: 'initialize', params });
    const id = begun.headers.get('mcp-session-id') ?? '';
    await begun.text();
    expect(begun.status).toBe(200);
    const ping = { jsonrpc: '2.0', id: 2, method: 'ping' };
    expect((await post(agentTokens.scribe, ping, { 'mcp-session-id': id })).status).toBe(200);
    expect((await post(agentTokens.other, ping, { 'mcp-session-id': id })).status).toBe(404);
    expect((await post(agentTokens.scribe, ping, { 'mcp-session-id': 'none' })).status).toBe(404);
    expect((await post('no-token-of-this-server', ping)).status).toBe(401);
    expect((await post(server.token, ping, { origin: 'http://evil.example' })).status).toBe(403);
    expect((await post(server.token, '{')).status).toBe(400);
    expect((await post(server.token, `"${'x'.repeat(5_000_000)}"`)).status).toBe(413);
    expect((await post(server.token, ping, { 'content-type': 'text/plain' })).status).toBe(415);
  });

  test('ends its streams when the server closes', async () => {
    const { server } = await serve();
    const mcp = await client(server, 'auto');
    const { closed } = await mcp.listen({ resourceSubscriptions: ['context://trip'] });
    await server.close();
    await closed;
  });

  test('passes the official conformance suite', async () => {
    const port = await freePort();
    const { server } = await serve({ mcp: { extend: addFixtures }, port });
    const front = await withToken(server.token, port);
    await server.close();
    const names = [`localhost:${front}`, `127.0.0.1:${front}`];
    const { server: named } = await serve({
      mcp: { extend: addFixtures },
      port,
      hostNames: names,
      token: server.token,
    });
    const args = [conformance, 'server', '--url', `http://localhost:${front}/mcp`, '--suite', 'all'];
    const cwd = await tempDir('conformance');
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd }).catch(
      (error) => error as { stdout: string },
    );
    const summary = stdout.slice(stdout.indexOf('=== SUMMARY ==='));
    if (process.env.SHOW_CONFORMANCE) console.log(summary);
    expect(summary).toMatch(/Total: \d+ passed, 0 failed/);
    expect(summary).toContain('dns-rebinding-protection: 2 passed, 0 failed');
    expect(summary).toContain('server-sse-polling: 3 passed, 0 failed');
    await named.close();
  });
});

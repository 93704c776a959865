import { once } from 'node:events';
import { connect as connectSocket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { decode, encode } from '../../src/core/encoding/codec.ts';
import { AgentContextCache } from '../../src/index.ts';
import { startServer } from '../../src/server.ts';
import { createAgentToken, revokeAgentToken } from '../../src/wire/agent-tokens.ts';
import { HttpListener } from '../../src/wire/http-listener.ts';
import { ASK, PING_MS } from '../../src/wire/socket-protocol.ts';
import { simulatedClock } from '../support/cache.ts';
import { waitFor } from '../support/cli.ts';
import { tempDir } from '../support/temp-dir.ts';

describe('a stranger', () => {
  test('does not hold a connection by sending no headers', async () => {
    const listener = await HttpListener.listen({ answer: async () => {} });
    // Node gives headers no limit if requests have none.
    expect(listener.server.headersTimeout).toBe(10_000);
    expect(listener.server.requestTimeout).toBe(0);
    await listener.close();
  });

  test('does not hold a connection whose upgrade was refused', async () => {
    await using cache = new AgentContextCache({ natsUrl: null });
    const server = await startServer(cache);
    const socket = connectSocket({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
    let answer = '';
    socket.on('data', (piece) => {
      answer += piece;
    });
    socket.on('error', () => {});
    const upgrade = `Connection: Upgrade\r\nUpgrade: websocket\r\nHost: 127.0.0.1:${server.port}`;
    socket.write(`GET /v1/connect HTTP/1.1\r\n${upgrade}\r\n\r\n`);
    await once(socket, 'end');
    expect(answer).toMatch(/^HTTP\/1.1 401 /);
    // Bytes to a connection that the server has given up are answered by a reset.
    const lost = new Promise((resolve) => socket.once('close', resolve));
    const writing = setInterval(() => socket.write('x'), 10);
    await lost;
    clearInterval(writing);
  });

  test('does not hold a connection by sending the body of a refused request slowly', async () => {
    await using cache = new AgentContextCache({ natsUrl: null });
    const clock = simulatedClock();
    const server = await startServer(cache, { clock });
    const socket = connectSocket(server.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(`POST /v1/command HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\nContent-Length: 1000000\r\n\r\n`);
    const [answer] = await once(socket, 'data');
    expect(String(answer)).toMatch(/^HTTP\/1.1 401 /);
    const lost = new Promise((resolve) => socket.once('close', resolve));
    const writing = setInterval(() => socket.write('x'), 10);
    await new Promise((resolve) => setTimeout(resolve, 50));
    clock.increment(10_000);
    await lost;
    clearInterval(writing);
  });
});

test('a client whose token was revoked executes nothing more, even if it does not close', async () => {
  const dataDir = await tempDir('tokens');
  await using cache = await AgentContextCache.open({ dataDir, natsUrl: null, backup: { enabled: false } });
  const clock = simulatedClock();
  const server = await startServer(cache, { clock });
  const headers = { authorization: `Bearer ${await createAgentToken(dataDir, 'planner', 1)}` };
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/v1/connect`, { headers });
  const frames: unknown[][] = [];
  socket.on('message', (data) => frames.push(decode(data as Buffer) as unknown[]));
  await waitFor(() => expect(frames).toHaveLength(1));
  // It does not hear that the server is closing.
  const { _receiver, _socket } = socket as unknown as {
    _receiver: { removeAllListeners(name: string): void };
    _socket: NodeJS.WritableStream;
  };
  _receiver.removeAllListeners('conclude');
  await revokeAgentToken(dataDir, 'planner');
  clock.increment(PING_MS);
  const content = encode([1, ASK, { type: 'context.set', key: 'late', value: 1 }]);
  // A masked binary frame; a mask of zeros changes nothing.
  _socket.write(Buffer.concat([Buffer.from([0x82, 0x80 | content.length, 0, 0, 0, 0]), content]));
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(cache.has('late')).toBe(false);
  socket.terminate();
});

import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { request } from 'node:http';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { connect } from '../../src/client.ts';
import { encode } from '../../src/core/encoding/codec.ts';
import { AgentContextCache } from '../../src/index.ts';
import { startServer } from '../../src/server.ts';
import { createAgentToken, revokeAgentToken } from '../../src/wire/agent-tokens.ts';
import { ASK, BATCH, CONSUMED, END, PING_MS } from '../../src/wire/socket-protocol.ts';
import { simulatedClock } from '../support/cache.ts';
import { waitFor } from '../support/cli.ts';
import { sendCommand } from '../support/http.ts';
import { RawClient } from '../support/raw-client.ts';
import { serveThroughProxy } from '../support/served.ts';
import { tempDir } from '../support/temp-dir.ts';

const PLANNER = 'planner-planner-planner';

/** Returns the bytes of all buffers in use. */
function kept(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().arrayBuffers;
}

describe('a server', () => {
  test('keeps little for a client that reads none of its streams', async () => {
    const cache = new AgentContextCache({ natsUrl: null });
    await using server = await startServer(cache);
    const text = 'x'.repeat(60_000);
    for (let i = 0; i < 8; i += 1) await cache.set(`key ${i}`, text, 'space');
    const client = await RawClient.open(server);
    client.socket.pause();
    const before = kept();
    const read = (index: number) => [index + 1, ASK, { type: 'read.entries', namespace: 'space' }];
    client.send(...Array.from({ length: 200 }, (_, index) => read(index)));
    await new Promise((resolve) => setTimeout(resolve, 300));
    // All streams together have 96 MB.
    expect(kept() - before).toBeLessThan(20_000_000);
    await using other = await connect(server.url, { token: server.token });
    expect(await other.entries('space')).toHaveLength(8);
    client.socket.resume();
    let confirmed = 1;
    await waitFor(() => {
      for (; confirmed < client.frames.length; confirmed += 1) {
        const [id, kind] = client.frames[confirmed] as [number, number];
        if (kind === BATCH) client.send([id, CONSUMED]);
      }
      expect(client.frames.filter(([, kind]) => kind === END)).toHaveLength(200);
    });
    client.socket.terminate();
    await cache.shutdown();
  });

  test('does not let a message of empty maps multiply in memory', async () => {
    const cache = new AgentContextCache({ natsUrl: null });
    await using server = await startServer(cache);
    const client = await RawClient.open(server);
    const count = 20_000_000;
    const message = Buffer.alloc(count + 64, 0x80);
    const head = encode([1, ASK, { type: 'context.set', key: 'k', value: 0 }]);
    // The value, the last byte, becomes a list of that many maps.
    head.copy(message);
    message[head.length - 1] = 0xdd;
    message.writeUInt32BE(count, head.length);
    client.socket.send(message.subarray(0, head.length + 4 + count));
    let heap = 0;
    const looking = setInterval(() => {
      heap = Math.max(heap, process.memoryUsage().heapUsed);
    }, 1);
    await waitFor(() => expect(client.closed).toBe(1008));
    clearInterval(looking);
    // All of them take 1.3 GB.
    expect(heap).toBeLessThan(700_000_000);
    await cache.shutdown();
  });

  test('answers a request that asks for a protocol it does not speak', async () => {
    await using cache = new AgentContextCache({ natsUrl: null });
    await using server = await startServer(cache);
    const answer = await new Promise<string>((resolve, reject) => {
      const headers = {
        ...{ authorization: `Bearer ${server.token}`, 'content-type': 'application/json' },
        ...{ connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABkAAQCAAAAAAIAAAAA' },
      };
      const options = { port: server.port, host: '127.0.0.1', path: '/v1/command', method: 'POST', headers };
      const sent = request(options, async (response) => {
        let body = `${response.statusCode} `;
        for await (const piece of response.setEncoding('utf8')) body += piece;
        resolve(body);
      });
      sent.on('error', reject);
      sent.end(JSON.stringify({ type: 'context.set', key: 'h2c', value: 'x'.repeat(200_000) }));
    });
    expect(answer).toMatch(/^200 {"ok":/);
    expect(cache.get('h2c')).toHaveLength(200_000);
  });

  test('ends a running watch over HTTP whose token is revoked', async () => {
    const dataDir = await tempDir('tokens');
    await using cache = await AgentContextCache.open({ dataDir, natsUrl: null, backup: { enabled: false } });
    const clock = simulatedClock();
    const server = await startServer(cache, { clock });
    const token = await createAgentToken(dataDir, 'planner', 1);
    const socket = connectSocket(server.port, '127.0.0.1');
    let answer = '';
    socket.on('data', (piece) => {
      answer += piece;
    });
    socket.write(`GET /v1/watch HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\nAuthorization: Bearer ${token}\r\n\r\n`);
    await waitFor(() => expect(answer).toContain('200 OK'));
    clock.increment(PING_MS);
    await cache.set('seen', 1);
    await waitFor(() => expect(answer).toContain('"seen"'));
    await revokeAgentToken(dataDir, 'planner');
    clock.increment(PING_MS);
    await waitFor(() => expect(answer).toContain('UNAUTHORIZED'));
    await cache.set('secret', 1);
    socket.destroy();
    await once(socket, 'close');
    expect(answer).not.toContain('secret');
  });

  test('is not started for a cache that is shut down', async () => {
    const dataDir = await tempDir('closed');
    const cache = await AgentContextCache.open({ dataDir, natsUrl: null, backup: { enabled: false } });
    await cache.shutdown();
    await expect(startServer(cache)).rejects.toMatchObject({ code: 'CLOSED' });
    expect(existsSync(join(dataDir, 'serve.json'))).toBe(false);
  });

  test('ends if its cache is shut down while it starts', async () => {
    const cache = new AgentContextCache({ natsUrl: null });
    const starting = startServer(cache);
    await cache.shutdown();
    const server = await starting;
    await expect(connect(server.url, { token: server.token })).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });

  test('refuses a watch of keys that are none, as the cache does', async () => {
    await using served = await serveThroughProxy();
    const { cache, server } = served;
    expect(() => cache.watch({ keys: [7] as never })).toThrow(expect.objectContaining({ code: 'INVALID_NAME' }));
    expect(() => cache.watch({ keys: 'k' as never })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    expect(() => cache.watch({ namespace: { a: 1 } as never })).toThrow(
      expect.objectContaining({ code: 'INVALID_NAME' }),
    );
    const client = await RawClient.open(server);
    client.send([1, ASK, { type: 'watch', keys: [7] }], [2, ASK, { type: 'watch', keys: { a: 1 } }]);
    expect(await client.answer(1)).toMatchObject([1, 1, { code: 'INVALID_NAME' }]);
    expect(await client.answer(2)).toMatchObject([2, 1, { code: 'INVALID_OPTION' }]);
    client.socket.terminate();
  });

  test('compares with nothing that an agent names', async () => {
    await using cache = new AgentContextCache({ natsUrl: null });
    const server = await startServer(cache, { agentTokens: { planner: PLANNER } });
    const command = { type: 'cache.verify', against: { dataDir: '/' } } as never;
    await using planner = await connect(server.url, { token: PLANNER });
    await expect(planner.ask(command)).rejects.toMatchObject({ code: 'FORBIDDEN' });
    const answer = await sendCommand({ port: server.port, token: PLANNER }, command);
    expect(answer).toEqual({ status: 403, body: expect.stringContaining('FORBIDDEN') });
    expect(await planner.ask({ type: 'cache.verify' } as never)).toMatchObject({ ok: true });
  });

  test('does not open again a view that was disposed of while a read was on its way', async () => {
    await using served = await serveThroughProxy();
    const { cache, remote, server } = served;
    await cache.set('key', 1);
    await cache.set('key', 2);
    const client = await RawClient.open(server);
    const views = Array.from({ length: 100 }, (_, index) => [
      [3 * index + 1, ASK, { type: 'view.open', at: 1 }],
      [3 * index + 2, ASK, { type: 'view.close', at: 1 }],
      [3 * index + 3, ASK, { type: 'read.entry', key: 'key', namespace: 'default', at: 1 + (index % 2) }],
    ]).flat();
    client.send(...views);
    expect(await client.answer(300)).toMatchObject([300, 0, { value: 2 }]);
    // Positions that no client holds open do not count as open views.
    for (let i = 0; i < 70; i += 1) await cache.set('key', i);
    for (let i = 1; i <= 70; i += 1) {
      client.send([1_000 + i, ASK, { type: 'read.entry', key: 'key', namespace: 'default', at: i }]);
    }
    await client.answer(1_070);
    expect(client.frames.filter(([id, kind]) => Number(id) > 1_000 && kind === 0)).toHaveLength(70);
    await using view = await remote.at(1);
    expect(await view.get('key')).toBe(1);
    client.socket.terminate();
  });
});

describe('a client', () => {
  test('fails a request that cannot be encoded, and no other', async () => {
    await using served = await serveThroughProxy();
    const cyclic: Record<string, unknown> = {};
    cyclic.itself = cyclic;
    const before = served.remote.set('before', 1);
    const failed = served.remote.readLog({ namespace: cyclic as never }).next();
    const after = served.remote.set('after', 1);
    await expect(failed).rejects.toMatchObject({ code: 'INVALID_COMMAND' });
    await Promise.all([before, after]);
    expect(served.cache.listKeys()).toEqual(['before', 'after']);
  });
});

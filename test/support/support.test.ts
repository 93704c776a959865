import { existsSync } from 'node:fs';
import { type AddressInfo, createConnection, createServer } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { AIRLINE_UPDATES, airlineLines, foldCommands } from './airline.ts';
import { subscribeRaw } from './nats-wire.ts';
import { fcOptions } from './property.ts';
import { startNats, startRedis } from './servers.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

function ask(port: number, text: string, bytes: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let reply = '';
    const socket = createConnection({ port, host: '127.0.0.1' });
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      reply += chunk.toString();
      if (reply.length < bytes) return;
      socket.destroy();
      resolve(reply);
    });
    socket.write(text);
  });
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('startRedis', () => {
  test('answers at once, is killed and comes back empty on the same port', async () => {
    await using redis = await startRedis();
    expect(await ask(redis.port, 'SET a 1\r\nGET a\r\n', 12)).toBe('+OK\r\n$1\r\n1\r\n');
    const first = redis.pid;
    await redis.kill();
    expect(alive(first)).toBe(false);
    await redis.restart();
    expect(redis.pid).not.toBe(first);
    expect(await ask(redis.port, 'GET a\r\n', 5)).toBe('$-1\r\n');
  });

  test('stops while it is paused, and its directory goes with it', async () => {
    const redis = await startRedis();
    redis.pause();
    await redis.stop();
    expect(alive(redis.pid)).toBe(false);
    await redis[Symbol.asyncDispose]();
    expect(existsSync(redis.dir)).toBe(false);
  });

  test('rejects with the output of a server that does not start', async () => {
    await expect(startRedis({ args: ['--no-such-setting', 'x'] })).rejects.toThrow(/no-such-setting/);
  });

  test('rejects a port that another server holds', async () => {
    await using first = await startRedis();
    await expect(startRedis({ port: first.port })).rejects.toThrow(/did not come up/);
  });
});

describe('startNats and subscribeRaw', () => {
  test('delivers messages whole and in order, including line ends and other bytes', async () => {
    await using nats = await startNats();
    const client = await subscribeRaw(nats.url, ['a.>', 'b']);
    const payloads = ['', '\r\n', 'MSG a 1 3\r\nxyz\r\n', 'ä😀', 'x'.repeat(300_000)];
    for (const payload of payloads) client.publish('a.b', payload, '_INBOX.1');
    client.publish('c', 'not for us');
    client.publish('b', 'last');
    await client.flush();
    expect(client.messages.map((message) => message.payload)).toEqual([...payloads, 'last']);
    expect(client.messages[0]).toEqual({ subject: 'a.b', headers: undefined, payload: '', reply: '_INBOX.1' });
    expect(client.messages.at(-1)).toEqual({ subject: 'b', headers: undefined, payload: 'last' });
    client.close();
  });

  test('separates headers and payload wherever the bytes are split', async () => {
    // Each part is sent on the client's request, because the client ignores a PONG that comes before its PING.
    const parts = [
      'INFO {}\r\nPONG\r\n',
      'HMSG s 1 18 23\r\nNATS/1.0\r\nA: 1\r\n\r\nä\r\nx\r\nMSG s 1 r 2\r\nok\r\nPONG\r\n',
    ];
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.setNoDelay(true);
      let heard = '';
      socket.on('data', async (chunk) => {
        heard += chunk.toString();
        while (heard.includes('PING\r\n')) {
          heard = heard.replace('PING\r\n', '');
          for (const byte of Buffer.from(parts.shift() ?? '')) {
            socket.write(Buffer.from([byte]));
            await new Promise((resolve) => setImmediate(resolve));
          }
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const client = await subscribeRaw(`nats://127.0.0.1:${port}`, ['s']);
    await client.flush();
    expect(client.messages).toEqual([
      { subject: 's', headers: 'NATS/1.0\r\nA: 1\r\n\r\n', payload: 'ä\r\nx' },
      { subject: 's', headers: undefined, payload: 'ok', reply: 'r' },
    ]);
    client.close();
    server.close();
  });

  test('rejects flush after an error of the server and after a lost connection', async () => {
    await using nats = await startNats({ jetstream: false, config: 'max_payload: 64' });
    const client = await subscribeRaw(nats.url, ['a']);
    client.publish('a', 'x'.repeat(65));
    await expect(client.flush()).rejects.toThrow(/Maximum Payload|closed|reset/i);
    const other = await subscribeRaw(nats.url, ['a']);
    const gone = other.flush().then(() => other.flush());
    await gone;
    await nats.stop();
    await expect(other.flush()).rejects.toThrow();
  });
});

describe('foldCommands', () => {
  test('finds the number of updates that the file is known to make', () => {
    const folded = foldCommands(airlineLines());
    expect(folded.updates).toBe(AIRLINE_UPDATES);
    // The file names 400 namespaces; 18 of them are only ever cleared while empty.
    expect(folded.entries.size).toBe(382);
  });
});

describe('fcOptions', () => {
  test('fit a property of any type; the environment repeats and multiplies runs', () => {
    vi.stubEnv('FC_SEED', '7');
    vi.stubEnv('FC_RUNS', '0.5');
    expect(fcOptions(10)).toEqual({ numRuns: 5, seed: 7 });
    let runs = 0;
    const counted = fc.property(fc.string(), () => {
      runs += 1;
    });
    fc.assert(counted, fcOptions(10));
    expect(runs).toBe(5);
    vi.stubEnv('FC_SEED', 'x');
    expect(() => fcOptions()).toThrow('FC_SEED must be a number');
  });
});

import { describe, expect, test } from 'vitest';
import { connect } from '../../src/client.ts';
import { AgentContextCache } from '../../src/index.ts';
import { startServer } from '../../src/server.ts';
import { waitFor } from '../support/cli.ts';
import { serveThroughProxy } from '../support/served.ts';

const TOKEN = 'token-of-this-test-and-no-other';

describe('a client', () => {
  test('loses no write, and knows of each whether it was done, when a server closes in its own time', async () => {
    await using cache = new AgentContextCache({ natsUrl: null });
    let server = await startServer(cache, { token: TOKEN });
    const { port } = server;
    await using remote = await connect(server.url, { token: TOKEN, onError: () => {} });
    let isStopped = false;
    let done = 0;
    const write = async () => {
      for (; !isStopped; done += 1) await remote.set('key', done);
    };
    const writers = Array.from({ length: 64 }, write);
    const written = Promise.all(writers);
    written.catch(() => {});
    for (let round = 0; round < 3; round += 1) {
      await new Promise((resolve) => setTimeout(resolve, 30));
      await server.close();
      server = await startServer(cache, { token: TOKEN, port });
      await waitFor(() => expect(remote.connection).toBe('connected'));
    }
    isStopped = true;
    await written;
    expect(cache.entry('key')?.version).toBe(done);
  });

  test('gets an answer of more than 100 MiB', async () => {
    const limits = { maxBytes: 200 * 2 ** 20 };
    await using cache = new AgentContextCache({ natsUrl: null, limits });
    await using server = await startServer(cache);
    await cache.set('large', 'x'.repeat(105 * 2 ** 20));
    await using remote = await connect(server.url, { token: server.token, onError: () => {} });
    expect(await remote.get('large')).toHaveLength(105 * 2 ** 20);
  });

  test('does not repeat for ever what every connection is lost at, and waits between attempts', async () => {
    await using served = await serveThroughProxy({ client: { timeoutMs: 2_500 } });
    const { cache, proxy, remote } = served;
    await cache.set('key', 'x'.repeat(100_000));
    let isStopped = false;
    const cut = async () => {
      // Each connection ends within the answer, behind the hello.
      while (!isStopped) await proxy.cutAfter('toClient', 5_000);
    };
    void cut();
    await expect(remote.get('key')).rejects.toMatchObject({ code: 'UNREACHABLE' });
    isStopped = true;
    expect(proxy.accepted).toBeLessThan(40);
    proxy.heal();
    expect(await remote.get('key')).toHaveLength(100_000);
  });

  test('takes a part of the cache that is closed for an error of the request, not for the end of the server', async () => {
    await using served = await serveThroughProxy();
    const { cache, remote, errors } = served;
    await cache.set('key', 1);
    const view = await remote.at(1);
    const asked = view.getMany(['key']);
    view[Symbol.dispose]();
    await Promise.allSettled([asked]);
    expect(errors).toEqual([]);
  });
});

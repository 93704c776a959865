import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net';
import { inspect } from 'node:util';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { SimulatedClock } from 'xstate';
import { MirrorMismatchError } from '../../../src/backends/mirror-position.ts';
import { RedisContextCache, type RedisContextCacheOptions } from '../../../src/backends/redis/redis-context-cache.ts';
import { failureOf, LATER, never, updateAt } from '../../support/backends.ts';
import { startRedis, type TestServer } from '../../support/servers.ts';
import { eventually, passing } from '../../support/waiting.ts';

let server: TestServer;
const caches: RedisContextCache[] = [];

beforeAll(async () => {
  server = await startRedis();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});
afterEach(() => {
  for (const cache of caches.splice(0)) cache.close();
});

function open(options: Partial<RedisContextCacheOptions> = {}): RedisContextCache {
  const cache = new RedisContextCache({ url: server.url, ...options });
  caches.push(cache);
  return cache;
}

const mark = (after: number, through = after + 1) => ({ log: 'l', after, through });

/** Sockets that this process holds open. */
const sockets = () => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;

describe('a server that hangs', () => {
  it('makes every call reject at its deadline, and is used again once it goes on', async () => {
    const clock = new SimulatedClock();
    const cache = open({ clock });
    await cache.set('key', 'before', 'space');
    server.pause();
    try {
      const calls = [
        () => cache.get('key', 'space'),
        () => cache.set('key', 'x', 'space'),
        () => cache.listKeys('space'),
        () => cache.applyUpdates([], mark(0), never),
        () => cache.appliedPosition('l', never),
        () => cache.connect(),
      ];
      // One after another: each makes a connection that is never greeted.
      for (const call of calls) expect(await passing(clock, failureOf(call))).toMatchObject({ code: 'TIMED_OUT' });
    } finally {
      server.resume();
    }
    await cache.set('key', 'after', 'space');
    expect(await cache.get('key', 'space')).toBe('after');
  });

  it('rejects all that is in flight on the connection that is given up', async () => {
    const clock = new SimulatedClock();
    const cache = open({ clock });
    await cache.connect();
    server.pause();
    try {
      const calls = Promise.all([failureOf(() => cache.get('a', 's')), failureOf(() => cache.get('b', 's'))]);
      const failures = await passing(clock, calls);
      expect(failures.map((failure) => 'code' in failure && failure.code).sort()).toEqual(['TIMED_OUT', 'UNREACHABLE']);
    } finally {
      server.resume();
    }
  });

  it('takes nothing after newer calls that was given up before them', async () => {
    await using network = await SlowNetwork.to(server.port);
    const clock = new SimulatedClock();
    const cache = open({ clock, url: `redis://127.0.0.1:${network.port}` });
    await cache.set('key', 'first', 'space');
    network.hold();
    const givenUp = failureOf(() => cache.set('key', 'given up', 'space'));
    await eventually(() => expect(network.holds).toBe(true));
    expect(await passing(clock, givenUp)).toMatchObject({ code: 'TIMED_OUT' });
    await cache.set('key', 'newer', 'space');
    await network.deliverHeld();
    expect(await cache.get('key', 'space')).toBe('newer');
  });

  it('lets an aborted call go at once, and leaves no socket', async () => {
    const cache = open();
    await cache.connect();
    server.pause();
    try {
      const controller = new AbortController();
      const call = failureOf(() => cache.applyUpdates([updateAt(1, 'set')], mark(0), controller.signal));
      controller.abort(new Error('enough'));
      expect(await call).toMatchObject({ code: 'TIMED_OUT', cause: controller.signal.reason });
      await eventually(() => expect(sockets()).toBe(0));
    } finally {
      server.resume();
    }
  });

  it('lets an aborted connect go at once, and leaves no socket', async () => {
    const cache = open();
    server.pause();
    try {
      const controller = new AbortController();
      const call = failureOf(() => cache.connect(controller.signal));
      await eventually(() => expect(sockets()).toBe(1));
      controller.abort();
      expect(await call).toMatchObject({ code: 'UNREACHABLE' });
      await eventually(() => expect(sockets()).toBe(0));
    } finally {
      server.resume();
    }
  });

  it('is left at once by close', async () => {
    const cache = open();
    await cache.connect();
    server.pause();
    try {
      const call = failureOf(() => cache.get('key', 'space'));
      cache.close();
      expect(await call).toMatchObject({ code: 'CLOSED' });
      await eventually(() => expect(sockets()).toBe(0));
    } finally {
      server.resume();
    }
  });
});

describe('a server that goes away', () => {
  it('is told of while the connection is idle, and found again by the next call', async () => {
    const cache = open();
    const lost: Error[] = [];
    cache.onLost((cause) => lost.push(cause));
    await cache.connect();
    await server.stop();
    await eventually(() => expect(lost).toHaveLength(1));
    expect(await failureOf(() => cache.get('key', 'space'))).toMatchObject({ code: 'UNREACHABLE' });
    await server.restart();
    expect(await cache.get('key', 'space')).toBeUndefined();
    cache.close();
    expect(lost).toHaveLength(1);
  });

  it('and comes back empty refuses the updates that do not begin at the beginning', async () => {
    const cache = open();
    await cache.applyUpdates([updateAt(1, 'set', { value: 1 })], mark(0), never);
    await server.kill();
    await server.restart();
    const failure = await failureOf(async () => {
      await cache.connect();
      await cache.applyUpdates([updateAt(2, 'set', { value: 2 })], mark(1), never);
    });
    expect(failure).toBeInstanceOf(MirrorMismatchError);
    expect(failure).toMatchObject({ stored: undefined });
    expect(await cache.listNamespaces()).toEqual([]);
  });

  it('between sending and answering leaves a batch that can come again', async () => {
    const clock = new SimulatedClock();
    const cache = open({ clock });
    await cache.applyUpdates([updateAt(1, 'set', { value: 1 })], mark(0), never);
    server.pause();
    const second = [updateAt(2, 'set', { value: 2 })];
    const failure = await passing(
      clock,
      failureOf(() => cache.applyUpdates(second, mark(1), never)),
    );
    server.resume();
    expect(failure).toMatchObject({ code: 'TIMED_OUT' });
    await cache.applyUpdates(second, mark(1), never);
    await cache.applyUpdates([updateAt(3, 'set', { value: 3 })], mark(2), never);
    expect(await cache.get('key', 'space')).toBe(3);
    expect(await cache.appliedPosition('l', never)).toBe(3);
  });

  it('leaves no socket behind after close, however often it is called', async () => {
    const cache = open();
    await cache.set('key', 1, 'space');
    cache.close();
    cache.close();
    const late = open();
    const connecting = failureOf(() => late.connect());
    late.close();
    expect(await connecting).toMatchObject({ code: 'CLOSED' });
    await eventually(() => expect(sockets()).toBe(0));
  });
});

describe('a server that refuses', () => {
  const value = 'value-of-somebody';

  async function refusal(
    args: readonly string[],
    url: (port: number) => string,
    act?: (cache: RedisContextCache) => unknown,
  ) {
    await using strict = await startRedis({ args });
    const cache = open({ url: url(strict.port) });
    const failure = await failureOf(() => (act ? act(cache) : cache.set('key-of-somebody', value, 'space')));
    expect(inspect(failure, { depth: 10, showHidden: true })).not.toMatch(/hush-hush|of-somebody/);
    return failure;
  }

  it('says so: a password is missing', async () => {
    const failure = await refusal(['--requirepass', 'other'], (port) => `redis://127.0.0.1:${port}`);
    expect(failure).toMatchObject({ code: 'BACKEND_FAILED', message: expect.stringMatching(/NOAUTH.*password/) });
  });

  it('says so: the password is wrong', async () => {
    const failure = await refusal(['--requirepass', 'other'], (port) => `redis://:hush-hush@127.0.0.1:${port}`);
    expect(failure).toMatchObject({ code: 'BACKEND_FAILED', message: expect.stringMatching(/WRONGPASS.*Correct/) });
  });

  it('takes a password that it does not ask for', async () => {
    await open({ url: `redis://:hush-hush@127.0.0.1:${server.port}` }).set('key', 1, 'space');
  });

  it('takes the right password', async () => {
    await using strict = await startRedis({ args: ['--requirepass', 'hush:hush/1'] });
    const cache = open({ url: `redis://:hush%3Ahush%2F1@127.0.0.1:${strict.port}` });
    await cache.set('key', 1, 'space');
    expect(cache.description).toBe(`redis://127.0.0.1:${strict.port}`);
  });

  it('says so: it is a replica', async () => {
    const failure = await refusal(['--replicaof', '127.0.0.1 1'], (port) => `redis://127.0.0.1:${port}`);
    expect(failure).toMatchObject({ message: expect.stringMatching(/READONLY|MASTERDOWN/) });
  });

  it('says so: its memory is used up, and the position stays', async () => {
    await using small = await startRedis({ args: ['--maxmemory', '3mb', '--maxmemory-policy', 'noeviction'] });
    const cache = open({ url: small.url });
    const large = 'x'.repeat(400_000);
    const failure = await failureOf(async () => {
      for (let i = 0; i < 50; i += 1)
        await cache.applyUpdates([updateAt(i + 1, 'set', { key: `${i}`, value: large })], mark(i), never);
    });
    expect(failure).toMatchObject({ code: 'BACKEND_FAILED', message: expect.stringMatching(/OOM.*maxmemory/) });
    const stored = (await cache.appliedPosition('l', never)) ?? -1;
    expect(await cache.listKeys('space')).toHaveLength(stored);
    await using admin = new AdminClient(small.url);
    await admin.redis.config('SET', 'maxmemory', '0');
    await cache.applyUpdates([updateAt(stored + 1, 'set', { key: 'more', value: large })], mark(stored), never);
    expect(await cache.listKeys('space')).toHaveLength(stored + 1);
  });

  it('says so: the keys are of another kind', async () => {
    await using admin = new AdminClient(server.url);
    await admin.redis.set(':namespaces', 'theirs');
    expect(await failureOf(() => open().set('key', value, 'space'))).toMatchObject({
      code: 'BACKEND_FAILED',
      message: expect.stringMatching(/WRONGTYPE.*prefix/),
    });
    await admin.redis.del(':namespaces');
  });

  it('is not there at all', async () => {
    const failure = await failureOf(() => open({ url: 'redis://:hush-hush@127.0.0.1:1/2' }).get('key', 'space'));
    expect(failure).toMatchObject({ code: 'UNREACHABLE', message: expect.stringContaining('redis://127.0.0.1:1/2') });
    expect(inspect(failure, { depth: 10 })).not.toContain('hush-hush');
    const unnamed = await failureOf(() => open({ url: 'redis://localhost:1' }).get('key', 'space'));
    expect(unnamed).toMatchObject({ code: 'UNREACHABLE', message: expect.stringContaining('ECONNREFUSED') });
  });
});

describe('a server that evicts', () => {
  it('may lack an entry that is touched', async () => {
    await using small = await startRedis({ args: ['--maxmemory', '3mb', '--maxmemory-policy', 'allkeys-random'] });
    await using admin = new AdminClient(small.url);
    const cache = open({ url: small.url });
    const large = 'x'.repeat(100_000);
    await eventually(async () => {
      for (let i = 0; i < 20; i += 1) await admin.redis.set(`filler ${i}`, large);
      expect(await admin.redis.info('stats')).toMatch(/evicted_keys:[1-9]/);
    });
    await admin.redis.config('SET', 'maxmemory', '0');
    await cache.applyUpdates([updateAt(1, 'touch', { expiresAt: LATER })], mark(0), never);
    expect(await cache.appliedPosition('l', never)).toBe(1);
  });
});

/** Carries bytes to a port; those of the connections there are can be held back, and delivered late. */
class SlowNetwork implements AsyncDisposable {
  readonly #server: Server;
  readonly #upstreams: Socket[] = [];
  #held: { upstream: Socket; bytes: Buffer[] } | undefined;

  static async to(port: number): Promise<SlowNetwork> {
    const network = new SlowNetwork(port);
    await once(network.#server.listen(0, '127.0.0.1'), 'listening');
    return network;
  }

  private constructor(port: number) {
    this.#server = createServer((client) => {
      const upstream = createConnection(port, '127.0.0.1');
      this.#upstreams.push(upstream);
      upstream.on('error', () => {});
      client.on('error', () => {});
      upstream.on('data', (bytes) => client.write(bytes));
      client.on('data', (bytes) => {
        if (this.#held?.upstream === upstream) this.#held.bytes.push(bytes);
        else upstream.write(bytes);
      });
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  hold(): void {
    const upstream = this.#upstreams[0];
    if (upstream !== undefined) this.#held = { upstream, bytes: [] };
  }

  /** `true` while data is held back. */
  get holds(): boolean {
    return (this.#held?.bytes.length ?? 0) > 0;
  }

  /** Until the server has answered, or has closed the connection. */
  async deliverHeld(): Promise<void> {
    const { upstream, bytes } = this.#held ?? { upstream: undefined, bytes: [] };
    if (upstream === undefined || bytes.length === 0) throw new Error('Nothing was held.');
    if (upstream.destroyed) return;
    const settled = Promise.race([once(upstream, 'data'), once(upstream, 'close')]);
    upstream.write(Buffer.concat(bytes));
    await settled;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const upstream of this.#upstreams) upstream.destroy();
    this.#server.close();
  }
}

class AdminClient implements AsyncDisposable {
  readonly redis: Redis;
  constructor(url: string) {
    this.redis = new Redis(url);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.redis.quit();
  }
}

import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { decodeValue } from '../../../src/core/encoding/codec.ts';
import { AgentContextCache } from '../../../src/index.ts';
import { closing } from '../../support/cache.ts';
import { startRedis, type TestServer } from '../../support/servers.ts';
import { eventually } from '../../support/waiting.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startRedis();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});
beforeEach(async () => {
  const client = new Redis(server.url);
  await client.flushall();
  client.disconnect();
});

/** Reads two keys of different namespaces again and again, at one instant each time. */
class PairReader implements AsyncDisposable {
  readonly #client = new Redis(server.url);
  #ended = false;
  #reading: Promise<void> | undefined;
  /** Different pairs that were read, as texts. */
  readonly seen = new Set<string>();

  constructor(...keys: readonly [string, string]) {
    this.#reading = this.#read(keys);
  }

  async #read(keys: readonly [string, string]): Promise<void> {
    while (!this.#ended) {
      const replies = await this.#client.multi().getBuffer(keys[0]).getBuffer(keys[1]).exec();
      const [a, b] = (replies ?? []).map(([, value]) => (value === null ? null : decodeValue(value as Buffer)));
      this.seen.add(JSON.stringify([a, b]));
    }
  }

  /** The pairs whose values differ. */
  get halves(): string[] {
    return [...this.seen].filter((pair) => {
      const [a, b] = JSON.parse(pair);
      return a !== b;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    await this.#reading;
    this.#client.disconnect();
  }
}

describe('the mirror in Redis of a transaction', () => {
  it('is never seen in part by a reader that reads both keys at once', async () => {
    const cache = closing(new AgentContextCache({ redisUrl: server.url, natsUrl: null }));
    await cache.synced();
    await using reader = new PairReader('left:n', 'right:n');
    let n = 0;
    // One at a time and many at a time: then the steps of the mirror end within thousands of updates.
    for (const burst of [1, 1, 1, 2_500, 1, 4_001, 1, 1]) {
      for (let i = 0; i < burst; i += 1) {
        n += 1;
        if (n % 2 === 0) void cache.set('odd', n, 'between');
        void cache.transaction([
          { operation: 'set', namespace: 'left', key: 'n', value: n },
          { operation: 'set', namespace: 'right', key: `other:${n % 7}`, value: n },
          { operation: 'set', namespace: 'right', key: 'n', value: n },
        ]);
      }
      await cache.synced();
    }
    await eventually(() => expect(reader.seen).toContain(JSON.stringify([n, n])));
    expect(reader.halves).toEqual([]);
    expect(reader.seen.size).toBeGreaterThan(3);
  });

  it('is written in one piece up to 8,192 updates, whatever is written with it and however large its values are', async () => {
    const cache = closing(new AgentContextCache({ redisUrl: server.url, natsUrl: null }));
    await using reader = new PairReader('left:n', 'right:n');
    for (let n = 1; n <= 6; n += 1) {
      const value = n % 2 === 0 ? 'x'.repeat(2_000) : n;
      const between = Array.from({ length: n % 2 === 0 ? 1_500 : 8_190 }, (_, i) => {
        return { operation: 'set', namespace: 'between', key: `k${i}`, value } as const;
      });
      for (let i = 0; i < 100 * n; i += 1) void cache.set('before', i, 'between');
      await cache.transaction([
        { operation: 'set', namespace: 'left', key: 'n', value: n },
        ...between,
        { operation: 'set', namespace: 'right', key: 'n', value: n },
      ]);
      await cache.synced();
    }
    await eventually(() => expect(reader.seen).toContain('[6,6]'));
    expect(reader.halves).toEqual([]);
  });
});

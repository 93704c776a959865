import { describe, expect, test, vi } from 'vitest';
import { joinCluster } from '../../src/cluster/open/join-cluster.ts';
import { ContextCacheError } from '../../src/core/errors.ts';
import { INTERNALS } from '../../src/engine/internals.ts';
import { AgentContextCache } from '../../src/index.ts';
import { clusterOf, openNode } from '../support/cluster.ts';

describe('a node that is behind', () => {
  test('gives up joining if the stream delivers nothing of what it has', async () => {
    const cluster = await clusterOf(3);
    await cluster.nodes[0]?.set('plan', 1);
    const silent = cluster.stream.connect();
    silent.follow = () => ({ stop: () => {} });
    const join = openNode(silent, { writeTimeoutMs: 300 });
    await expect(join).rejects.toMatchObject({
      code: 'LOG_UNAVAILABLE',
      message: expect.stringMatching(/message 0 of \d.*The stream delivers no more\./),
    });
  });

  test('gives up joining with the reason for which it applies nothing', async () => {
    const cluster = await clusterOf(3);
    await cluster.nodes[0]?.set('plan', 1);
    const stream = cluster.stream.connect();
    const join = joinCluster(
      { natsUrl: null, onError: () => {} },
      { stream, version: '0.0.0', writeTimeoutMs: 300, maxQueued: 9 },
      async (options, storage) => {
        const cache = await AgentContextCache.over(options, storage);
        const { parts } = cache[INTERNALS];
        parts.supervisor.dispatch = (request) =>
          request.fail(new ContextCacheError('LOG_UNAVAILABLE', 'The disk is full.'));
        return { cache, parts };
      },
    );
    await expect(join).rejects.toMatchObject({
      code: 'LOG_UNAVAILABLE',
      message: expect.stringMatching(/message \d of \d and has not joined\. The reason: The disk is full\. Mend that/),
    });
  });

  test('waits for its storage instead of refusing what the others do, and says why it is behind', async () => {
    const cluster = await clusterOf(3, { writeTimeoutMs: 1_000 });
    const [a, b] = cluster.nodes as [AgentContextCache, AgentContextCache];
    const { log } = b[INTERNALS].parts;
    const append = log.append.bind(log);
    log.append = () => {
      throw new ContextCacheError('LOG_UNAVAILABLE', 'The disk is full.');
    };
    await a.batch([
      { operation: 'set', key: 'k', value: 1 },
      { operation: 'set', key: 'l', value: 2 },
    ]);
    await vi.waitFor(() => expect(b.health().cluster?.status).toBe('stalled'));
    expect(b.health()).toMatchObject({ status: 'degraded', cluster: { failure: { code: 'LOG_UNAVAILABLE' } } });
    await a.set('m', 3);
    await expect(b.barrier()).rejects.toMatchObject({
      code: 'OUTCOME_UNKNOWN',
      message: expect.stringContaining('The reason: The disk is full.'),
    });
    expect(() => b.get('k', 'default', { maxStalenessMs: 1 })).toThrow(
      'Read from another node until this is mended: The disk',
    );
    log.append = append;
    await cluster.settle();
    expect(await b.digest()).toBe(await a.digest());
    expect(b.health().status).toBe('ok');
  });
});

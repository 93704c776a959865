import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { AgentContextCache } from '../../src/index.ts';
import { closing, turns } from '../support/cache.ts';
import { tempDir } from '../support/temp-dir.ts';

/** Numbers of namespaces that are created and dropped before the heap is measured, and while it is measured. */
const WARM_UP = 3_000;
const MEASURED = 5_000;
/** A data directory is compacted after this number of namespaces. */
const COMPACTED = 1_000;
/** Bytes that a dropped namespace may leave. Measured: 7 to 70 without a leak, 440 to 530 with the smallest leak found. */
const MOST_BYTES = 150;
const DAY = 86_400_000;

const common = { natsUrl: null, onError: () => {} };
const bounded = { capacityUpdates: 500, keepUpdates: 500 };

/** Performs runs that each use and drop their own namespace, as agents do. */
async function work(cache: AgentContextCache, from: number, count: number): Promise<void> {
  for (let n = from; n < from + count; n += 1) {
    const namespace = `run-${n}`;
    cache.set('first', { n }, namespace);
    cache.set('second', n, namespace, { ttl: DAY });
    cache.set('third', n, namespace, { ttl: 2 * DAY });
    cache.dropNamespace(namespace);
    if (n % 200 === 0) await cache.flush();
    if (n % COMPACTED === COMPACTED - 1 && cache.health().log.durable) await cache.compact();
  }
  await cache.flush();
}

async function heapNow(): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let i = 0; i < 3; i += 1) {
    await turns(2);
    collect();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

it.each<[string, () => Promise<AgentContextCache>]>([
  ['in memory', async () => new AgentContextCache({ ...common, log: { capacityUpdates: 500 } })],
  ['in memory with a bounded past', async () => new AgentContextCache({ ...common, log: bounded })],
  [
    'in a branch',
    async () => {
      const parent = closing(new AgentContextCache(common));
      await parent.set('a', 1);
      return parent.fork({ log: bounded });
    },
  ],
  [
    'in a data directory',
    async () =>
      AgentContextCache.open({
        ...common,
        dataDir: await tempDir('dropped'),
        sync: false,
        log: bounded,
        internals: { checkpointMs: 20 },
      }),
  ],
])('a dropped namespace leaves nothing behind %s', async (_where, open) => {
  const cache = closing(await open());
  await work(cache, 0, WARM_UP);
  const before = await heapNow();
  await work(cache, WARM_UP, MEASURED);
  const left = (await heapNow()) - before;
  expect(left / MEASURED).toBeLessThan(MOST_BYTES);
  expect(cache.health().namespaces.total).toBeLessThan(3);
});

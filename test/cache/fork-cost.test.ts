import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it, vi } from 'vitest';
import { NamespaceState } from '../../src/core/namespace-state.ts';
import type { AgentContextCache } from '../../src/index.ts';
import { PastReader } from '../../src/storage/disk/index/past/past-reader.ts';
import { PastTable } from '../../src/storage/disk/index/past/past-table.ts';
import { StateTable } from '../../src/storage/disk/index/state/state-table.ts';
import { DiskLog } from '../../src/storage/disk/log/disk-log.ts';
import { Segments } from '../../src/storage/disk/log/segments.ts';
import { MemoryLog } from '../../src/storage/memory/memory-log.ts';
import { FoldedView, PresentView } from '../../src/storage/memory/views.ts';
import { NamespaceRegistry } from '../../src/storage/namespace-registry.ts';
import { UpdateRing } from '../../src/storage/update-ring.ts';
import { turns } from '../support/cache.ts';
import { open } from '../support/durable.ts';
import { tempDir } from '../support/temp-dir.ts';

/** All methods that read namespaces, entries or updates. */
const LOOKS: readonly (readonly [object: object, methods: readonly string[]])[] = [
  [
    NamespaceRegistry.prototype,
    ['entries', 'names', 'records', 'find', 'has', 'record', 'value', 'summary', 'stateOnDisk'],
  ],
  [NamespaceState.prototype, ['put', 'set', 'capture']],
  [PresentView.prototype, ['names', 'has', 'state', 'finder', 'lastChange']],
  [FoldedView.prototype, ['names', 'has', 'state', 'finder', 'lastChange', 'hold']],
  [UpdateRing.prototype, ['slice']],
  [MemoryLog.prototype, ['recent', 'read']],
  [DiskLog.prototype, ['recent', 'read']],
  [Segments.prototype, ['read', 'updateAt']],
  [StateTable.prototype, ['names', 'has', 'get', 'summary', 'hydrate']],
  [PastTable.prototype, ['summaries', 'summary']],
  [PastReader.prototype, ['countAt', 'updateAt', 'frameAt']],
];

/** Counts the reads while `act` runs, by method. */
async function looksOf(act: () => unknown): Promise<Record<string, number>> {
  const spies = LOOKS.flatMap(([object, methods]) =>
    methods.map((method) => [method, vi.spyOn(object as Record<string, () => unknown>, method)] as const),
  );
  try {
    await act();
    const counts: Record<string, number> = {};
    for (const [method, { mock }] of spies) if (mock.calls.length > 0) counts[method] = mock.calls.length;
    return counts;
  } finally {
    for (const [, spy] of spies) spy.mockRestore();
  }
}

const kinds = [
  { kind: 'in memory', dataDir: async () => undefined },
  { kind: 'in a directory', dataDir: () => tempDir('cost') },
];

async function filled(cache: AgentContextCache): Promise<void> {
  for (let i = 0; i < 200; i += 1) void cache.set(`k${i}`, i, `n${i % 20}`);
  await cache.synced();
}

describe.each(kinds)('forking a cache $kind', ({ dataDir }) => {
  it('reads nothing at the present or in the past, and neither does forking a fork', async () => {
    const { cache } = await open({ dataDir: await dataDir() });
    await filled(cache);
    const branches: AgentContextCache[] = [];
    const looks = await looksOf(async () => {
      branches.push(await cache.fork());
      branches.push(await cache.fork({ at: 100 }));
      branches.push(await cache.fork({ at: cache.position }));
    });
    expect(looks).toEqual({});
    const again = await looksOf(async () => branches.push(await (branches[0] as AgentContextCache).fork()));
    expect(again).toEqual({});
    // Proves that the counters count.
    expect(Object.keys(await looksOf(() => branches[1]?.get('k0', 'n0')))).not.toEqual([]);
    expect(branches.map((branch) => branch.get('k3', 'n3'))).toEqual([3, 3, 3, 3]);
  });

  it('then reads one key of an unchanged namespace without reading the namespace', async () => {
    const { cache } = await open({ dataDir: await dataDir() });
    await filled(cache);
    const branch = await cache.fork();
    const looks = await looksOf(() => {
      for (let i = 0; i < 10; i += 1) expect(branch.get('k0', 'n0')).toBe(0);
    });
    expect(looks).not.toHaveProperty('state');
    expect(looks).not.toHaveProperty('hydrate');
    expect(looks).not.toHaveProperty('put');
  });

  it('then reads a namespace that the parent has changed only once', async () => {
    const { cache } = await open({ dataDir: await dataDir() });
    await filled(cache);
    const branch = await cache.fork({ at: 200 });
    await cache.set('k0', 'later', 'n0');
    await cache.synced();
    expect(branch.get('k0', 'n0')).toBe(0);
    const looks = await looksOf(() => {
      for (let i = 0; i < 10; i += 1) expect(branch.get('k20', 'n0')).toBe(20);
    });
    expect(looks).not.toHaveProperty('state');
    expect(looks).not.toHaveProperty('put');
    expect(looks).not.toHaveProperty('updateAt');
  });
});

describe('the parent state that a branch holds', () => {
  it('is released when the branch is shut down, and later changes of the parent are not kept for it', async () => {
    const { cache } = await open();
    await filled(cache);
    const branch = await cache.fork();
    await branch.set('k1', 'b', 'n1');
    await cache.merge(branch);
    await cache.set('k1', 'x', 'n1');
    expect(await looksOf(() => cache.set('k1', 'y', 'n2'))).toMatchObject({ capture: 2 });
    await branch.shutdown();
    expect(await looksOf(() => cache.set('k1', 'z', 'n3'))).not.toHaveProperty('capture');
    const own = await cache.fork({ dataDir: await tempDir('own'), sync: false });
    expect(own.get('k1', 'n1')).toBe('x');
    const failing = cache.fork({ topics: ['not a * subject'] });
    await expect(failing).rejects.toThrow();
    expect(await looksOf(() => cache.set('k1', 'z', 'n4'))).not.toHaveProperty('capture');
  });

  it('is released when the branch is garbage-collected', async () => {
    const { cache } = await open({ log: { capacityUpdates: 10 } });
    await filled(cache);
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    await (async () => expect(cache.at(cache.position).get('k0', 'n0')).toBe(0))();
    expect(await looksOf(() => cache.set('k1', 'x', 'n1'))).toHaveProperty('capture');
    await vi.waitFor(
      async () => {
        collect();
        await turns();
        expect(await looksOf(() => cache.set('k2', 'x', `n${cache.position}`))).not.toHaveProperty('capture');
      },
      { timeout: 30_000 },
    );
  });

  it('grows by what the parent changes in a large namespace, not by its size', async () => {
    const { cache } = await open();
    await cache.setMany(
      Array.from({ length: 5_000 }, (_, i) => [`k${i}`, i] as const),
      'large',
    );
    const branch = await cache.fork();
    const looks = await looksOf(() => cache.set('k0', 'changed', 'large'));
    expect([looks.set, looks.put]).toEqual([1, undefined]);
    expect([branch.get('k0', 'large'), branch.get('k1', 'large'), branch.listKeys('large').length]).toEqual([
      0, 1, 5_000,
    ]);
  });
});

import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { MemorySnapshotStore } from '../../src/backup.ts';
import { AgentContextCache, InMemoryContextCache, replay, verifyDirectory } from '../../src/index.ts';
import { closing, codeOf, LateCache, logOf, makeCache } from '../support/cache.ts';
import { clusterOf, openNode } from '../support/cluster.ts';
import { exported, linesOf } from '../support/replay.ts';
import { serveThroughProxy } from '../support/served.ts';
import { tempDir } from '../support/temp-dir.ts';

const NAMES = ['a', 'b', 'default'];
const KEYS = ['k', 'l'];

/** Pasts that are tried in each way to go on; opening a directory takes time. */
const RUNS = { memory: 20, disk: 4 };

const step = fc.record({
  kind: fc.constantFrom('set', 'set', 'set', 'delete', 'batch', 'append', 'clear', 'drop', 'drop', 'absent', 'renew'),
  namespace: fc.constantFrom(...NAMES),
  key: fc.constantFrom(...KEYS),
});
type Step = typeof step extends fc.Arbitrary<infer Each> ? Each : never;
const one = (kind: Step['kind']): Step => ({ kind, namespace: 'a', key: 'k' });
/** The case itself, with the drop in the last life, and in the one before. */
const EXAMPLES = [
  [one('set'), one('set'), one('drop'), one('renew'), one('set'), one('set')],
  [one('set'), one('set'), one('drop'), one('renew'), one('renew'), one('set'), one('set')],
];

/** Watches what versions name. */
class Witness {
  /** The position that a version of a namespace was given at. */
  readonly #positions = new Map<string, number>();
  /** Entries of namespaces that were dropped since. */
  readonly #gone: { namespace: string; key: string; version: number }[] = [];
  #written = 0;

  async run(cache: AgentContextCache, { kind, namespace, key }: Step): Promise<void> {
    this.#written += 1;
    const value = this.#written;
    if (kind === 'drop') {
      for (const { key: each, version } of cache.entries(namespace)) this.#gone.push({ namespace, key: each, version });
      this.#note(namespace, await cache.dropNamespace(namespace));
      await this.check(cache);
    }
    if (kind === 'set') this.#note(namespace, await cache.set(key, value, namespace));
    if (kind === 'delete') this.#note(namespace, await cache.delete(key, namespace));
    if (kind === 'append') this.#note(namespace, await cache.append(value, namespace));
    if (kind === 'clear') this.#note(namespace, await cache.clearNamespace(namespace));
    if (kind === 'batch') {
      const steps = KEYS.map((each) => ({ operation: 'set' as const, key: each, value }));
      this.#note(namespace, await cache.batch([...steps, { operation: 'delete', key }], namespace));
    }
    if (kind === 'absent') {
      const isThere = cache.entries(namespace).some((entry) => entry.key === key);
      const code = await codeOf(cache.set(key, value, namespace, { ifVersion: 0 }));
      expect(code).toBe(isThere ? 'VERSION_CONFLICT' : undefined);
    }
  }

  /** Tries the versions of dropped entries as conditions. */
  async check(cache: AgentContextCache): Promise<void> {
    for (const { namespace, key, version } of this.#gone.slice(-30)) {
      const code = await codeOf(cache.set(key, 'from before', namespace, { ifVersion: version }));
      expect([namespace, key, version, code]).toEqual([namespace, key, version, 'VERSION_CONFLICT']);
    }
  }

  #note(namespace: string, ack: { version: number; position: number; changed: boolean }): void {
    if (!ack.changed) return;
    const name = `${namespace} ${ack.version}`;
    expect([name, this.#positions.get(name) ?? ack.position]).toEqual([name, ack.position]);
    this.#positions.set(name, ack.position);
  }
}

const IN_MEMORY = { natsUrl: null, onError: () => {} };
const common = { ...IN_MEMORY, sync: false };

/** Opens a cache, or one that goes on from another. */
type Next = (before: AgentContextCache | undefined) => Promise<AgentContextCache>;

/** Ways to go on. Each call is a life of its own. */
const LIVES: readonly [string, () => Next][] = [
  ['in memory', () => async (before) => before ?? new AgentContextCache(IN_MEMORY)],
  ['in branches in memory', () => async (before) => before?.fork() ?? new AgentContextCache(IN_MEMORY)],
  [
    'in branches in directories',
    () => async (before) => {
      if (before === undefined) return new AgentContextCache(IN_MEMORY);
      return before.fork({ dataDir: await tempDir('versions'), sync: false });
    },
  ],
  ['in a directory that is reopened', () => directory(false)],
  ['in a directory that is compacted and reopened', () => directory(true)],
  [
    'in copies of compacted directories that are replayed',
    () => {
      let dataDir = '';
      return async (before) => {
        const source = dataDir;
        dataDir = await tempDir('versions');
        const options = { ...common, dataDir, log: { keepUpdates: 1 } };
        if (before === undefined) return AgentContextCache.open(options);
        await before.compact();
        await before.shutdown();
        return (await replay(source, options)).cache;
      };
    },
  ],
  [
    'in replays of the exported log',
    () => async (before) => {
      if (before === undefined) return new AgentContextCache(IN_MEMORY);
      return (await replay(linesOf(await exported(before)), IN_MEMORY)).cache;
    },
  ],
  ['in snapshots that are restored in memory', () => restored(false)],
  ['in snapshots that are restored in directories', () => restored(true)],
];

function directory(compacts: boolean): Next {
  let dataDir: string | undefined;
  return async (before) => {
    dataDir ??= await tempDir('versions');
    if (compacts) await before?.compact();
    await before?.shutdown();
    return AgentContextCache.open({ ...common, dataDir, log: compacts ? { keepUpdates: 1 } : {} });
  };
}

function restored(isOnDisk: boolean): Next {
  let restoreFrom: MemorySnapshotStore | undefined;
  return async (before) => {
    await before?.backup();
    const store = new MemorySnapshotStore();
    const dataDir = isOnDisk ? await tempDir('versions') : undefined;
    const cache = await AgentContextCache.open({ ...common, dataDir, restoreFrom, backup: { store, enabled: false } });
    restoreFrom = store;
    return cache;
  };
}

describe('no version of a namespace comes back after it was dropped', () => {
  it.each(LIVES)(
    '%s',
    async (name, live) => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
          const next = live();
          const opened = new Set<AgentContextCache>();
          const renew = async (before?: AgentContextCache) => {
            const cache = await next(before);
            opened.add(cache);
            return cache;
          };
          let cache = await renew();
          const witness = new Witness();
          for (const each of [...steps, one('renew')]) {
            if (each.kind === 'renew') cache = await renew(cache);
            else await witness.run(cache, each);
          }
          await witness.check(cache);
          // A branch reads from its parent.
          for (const each of [...opened].reverse()) await each.shutdown({ timeoutMs: 0 });
        }),
        { numRuns: /director/.test(name) ? RUNS.disk : RUNS.memory, examples: EXAMPLES.map((each) => [each]) },
      );
    },
    120_000,
  );

  it('through a client', async () => {
    await using served = await serveThroughProxy();
    const { remote } = served;
    const { version } = await remote.set('k', 1, 'n');
    await remote.dropNamespace('n');
    const again = await remote.set('k', 2, 'n');
    expect(again.version).toBeGreaterThan(version);
    expect(await codeOf(remote.set('k', 3, 'n', { ifVersion: version }))).toBe('VERSION_CONFLICT');
    expect((await remote.set('l', 3, 'n', { ifVersion: 0 })).changed).toBe(true);
  });

  it('in a cluster, whose nodes agree on it, also those that join from a snapshot or a directory', async () => {
    const store = new MemorySnapshotStore();
    // The node that leaves must not close the store of the others.
    vi.spyOn(store, 'close').mockResolvedValue();
    const options = { sharesSnapshots: true, backup: { store, enabled: false } };
    const cluster = await clusterOf(2, options);
    const [a, b] = cluster.nodes as [AgentContextCache, AgentContextCache];
    const own = { node: 'd', dataDir: await tempDir('versions'), ...options };
    const first = await openNode(cluster.stream.connect(), own);
    const { version } = await a.set('k', 1, 'n');
    await b.set('l', 1, 'n');
    await b.dropNamespace('n');
    await first.barrier();
    await first.shutdown();
    const before = cluster.stream.last;
    await a.barrier();
    await a.backup();
    cluster.stream.purge(before);
    expect(await codeOf(a.set('k', 2, 'n', { ifVersion: version }))).toBe('VERSION_CONFLICT');
    const joined = [
      await openNode(cluster.stream.connect(), { node: 'c', ...options }),
      await openNode(cluster.stream.connect(), own),
    ];
    const begun = await b.set('k', 3, 'n');
    expect(begun.version).toBe(4);
    expect(await codeOf(a.set('k', 4, 'n', { ifVersion: version }))).toBe('VERSION_CONFLICT');
    await a.dropNamespace('n');
    await Promise.all(['n', 'm'].map((name) => a.set('k', 5, name)));
    for (const node of [a, b, ...joined]) {
      await node.barrier();
      expect([node.entry('k', 'n')?.version, node.entry('k', 'm')?.version]).toEqual([6, 6]);
      expect(await node.digest()).toBe(await a.digest());
    }
    await Promise.all(joined.map((node) => node.shutdown()));
  });

  it('for entries that a primary of the user keeps', async () => {
    const primaryCache = new InMemoryContextCache();
    const cache = closing(new AgentContextCache({ ...IN_MEMORY, primaryCache }));
    await cache.set('k', 1, 'n');
    await cache.dropNamespace('n');
    primaryCache.set('k', 'of the primary', 'n');
    expect(await codeOf(cache.set('k', 2, 'n', { ifVersion: 1 }))).toBe('VERSION_CONFLICT');
    expect(cache.entry('k', 'n')).toMatchObject({ version: 3 });
  });

  it.each<[string, (cache: AgentContextCache) => Promise<unknown>, (string | number | boolean | undefined)[][]]>([
    ['set', (cache) => cache.set('k', 1, 'n'), [['k', 4, 0, true]]],
    ['append', (cache) => cache.append('first', 'n'), [['a1', 4, 0, true]]],
    [
      'batch',
      (cache) =>
        cache.batch(
          [
            { operation: 'set', key: 'k', value: 1 },
            { operation: 'set', key: 'k', value: 2 },
            { operation: 'delete', key: 'k' },
          ],
          'n',
        ),
      [
        ['k', 4, 0, true],
        ['k', 5, 4, undefined],
        ['k', 6, 5, undefined],
      ],
    ],
  ])(
    'while an asynchronous primary holds a write that begins one, and another is dropped: %s',
    async (_, write, expected) => {
      const primary = new LateCache();
      const dataDir = await tempDir('versions');
      const options = { ...common, dataDir, primaryCache: primary };
      const cache = closing(await AgentContextCache.open(options)) as unknown as AgentContextCache;
      for (const key of KEYS) await cache.set(key, 1, 'gone');
      let dropped: Promise<{ version: number }> | undefined;
      primary.before = async (call) => {
        if (!call.includes(' n ')) return;
        dropped ??= cache.dropNamespace('gone');
        await dropped;
      };
      expect(await write(cache)).toMatchObject({ version: expected.at(-1)?.[1] });
      expect(await dropped).toMatchObject({ version: 3 });
      const updates = (await logOf(cache)).filter(({ namespace }) => namespace === 'n');
      expect(updates.map(({ key, version, replaced, begins }) => [key, version, replaced, begins])).toEqual(expected);
      const next = 1 + Number(expected.at(-1)?.[1]);
      expect(await cache.set('l', 2, 'n')).toMatchObject({ version: next });
      const log = await exported(cache);
      await cache.shutdown();
      expect(await verifyDirectory(dataDir)).toMatchObject({ ok: true, problems: [] });
      const { cache: replayed } = await replay(linesOf(log), IN_MEMORY);
      expect(closing(replayed).entry('l', 'n')).toMatchObject({ value: 2, version: next });
      const again = closing(await AgentContextCache.open(options));
      expect(await again.entry('l', 'n')).toMatchObject({ value: 2, version: next });
    },
  );

  it('for the keys of append', async () => {
    const { cache } = makeCache();
    const { key } = await cache.append('first', 'n');
    await cache.dropNamespace('n');
    expect((await cache.append('second', 'n')).key).not.toBe(key);
  });

  it('and a cache that never dropped one begins each at version 1', async () => {
    const { cache } = makeCache();
    for (const name of NAMES) await cache.set('k', 1, name);
    await cache.clearNamespace('a');
    expect((await cache.set('k', 1, 'c')).version).toBe(1);
    expect((await logOf(cache)).some(({ begins }) => begins !== undefined)).toBe(false);
  });
});

import { afterEach, describe, expect, it } from 'vitest';
import { MemorySnapshotStore } from '../../src/backup.ts';
import {
  AgentContextCache,
  type CacheView,
  type ContextCommand,
  InMemoryContextCache,
  type OpenOptions,
} from '../../src/index.ts';
import { airlineLines, foldCommands } from '../support/airline.ts';
import { openIndex } from '../support/index.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { foldTo, logOf } from '../support/past.ts';
import { tempDir } from '../support/temp-dir.ts';

const opened: AgentContextCache[] = [];

async function open(options: OpenOptions = {}): Promise<AgentContextCache> {
  const cache = await AgentContextCache.open({ sync: false, durability: 'memory', ...options });
  opened.push(cache);
  return cache;
}

afterEach(async () => {
  for (const cache of opened.splice(0)) await cache.shutdown({ timeoutMs: 5_000 });
});

const anError = (code: string) => expect.objectContaining({ code });
const text = (view: CacheView, namespace: string) =>
  JSON.stringify([...view.entries(namespace)].sort((a, b) => (a.key < b.key ? -1 : 1)));

function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('a view', () => {
  it('reads frames and chunks of large, small, dropped and cleared namespaces', async () => {
    const dataDir = await tempDir('frames');
    let cache = await open({ dataDir, log: { capacityUpdates: 50 } });
    const random = numbers(7);
    for (let round = 0; round < 30; round += 1) {
      for (let i = 0; i < 300; i += 1) {
        const large = random(3) === 0;
        const namespace = large ? 'large' : `small ${random(2)}`;
        const key = `k${random(large ? 500 : 5)}`;
        if (!large && random(400) === 0) void cache.dropNamespace(namespace);
        else if (random(900) === 0) void cache.clearNamespace(namespace);
        else if (random(5) === 0) void cache.delete(key, namespace);
        else void cache.set(key, { round, i }, namespace, { agent: `agent ${random(9)}` });
      }
      await cache.synced();
    }
    const log = await logOf(cache);
    const look = () => {
      for (let i = 0; i < 60; i += 1) {
        const position = random(cache.position + 1);
        const folded = foldTo(log, position);
        const view = cache.at(position);
        expect(view.listNamespaces()).toEqual(folded.names());
        for (const name of ['large', 'small 0', 'small 1']) {
          expect(text(view, name)).toBe(JSON.stringify(folded.entries(name)));
        }
      }
    };
    look();
    await cache.shutdown();
    // Makes sure that the test reads frames.
    const { table, close } = await openIndex(dataDir);
    for (const name of ['large', 'small 0']) expect(table.past.summary(name)?.frames).toBeGreaterThan(0);
    await close();
    cache = await open({ dataDir });
    look();
  });

  it('shows whether a namespace existed, however often it was dropped', async () => {
    const cache = await open({ dataDir: await tempDir('lives') });
    const was: boolean[] = [false];
    for (let i = 0; i < 150; i += 1) {
      void cache.set('k', i, 'now and then');
      void cache.dropNamespace('now and then');
      was.push(true, false);
      if (i % 20 === 0) await cache.synced();
    }
    await cache.synced();
    const seen = was.map((_, position) => cache.at(position).listNamespaces().includes('now and then'));
    expect(seen).toEqual(was);
  });

  it('shows the present of a cache in memory whose log has released its start, and stays readable', async () => {
    const cache = await open({ log: { capacityUpdates: 8 } });
    for (let i = 0; i < 20; i += 1) void cache.set(`k${i}`, i, `n${i % 3}`);
    await cache.flush();
    expect(() => cache.at(5)).toThrow(anError('POSITION_UNAVAILABLE'));
    expect(() => cache.at(5)).toThrow(/dataDir/);
    const view = cache.at(cache.position);
    const before = ['n0', 'n1', 'n2'].map((name) => text(view, name));
    const names = view.listNamespaces();
    const second = cache.at(cache.position);
    void cache.set('k0', 'other', 'n0');
    void cache.dropNamespace('n1');
    void cache.set('new', 1, 'n1');
    void cache.set('new', 1, 'n3');
    await cache.flush();
    for (const each of [view, second]) {
      expect(['n0', 'n1', 'n2'].map((name) => text(each, name))).toEqual(before);
      expect(each.listNamespaces()).toEqual(names);
      expect(each.has('new', 'n3')).toBe(false);
    }
    const difference = await cache.diff(view, cache.position);
    expect(difference.changed.map(({ after }) => after.value)).toEqual(['other']);
    expect(difference.added.map(({ namespace }) => namespace)).toEqual(['n1', 'n3']);
    expect(difference.removed.every(({ namespace }) => namespace === 'n1')).toBe(true);
  });

  it('shows writes that are not on disk yet', async () => {
    const cache = await open({ dataDir: await tempDir('pending') });
    void cache.set('a', 1);
    void cache.set('a', 2);
    expect([0, 1, 2].map((position) => cache.at(position).get('a'))).toEqual([undefined, 1, 2]);
    expect((await cache.bisect((view) => view.get('a') !== 2))?.update).toMatchObject({ position: 2, value: 2 });
  });

  it('stays unchanged while writers continue, whenever it is read', async () => {
    const cache = await open({ dataDir: await tempDir('meanwhile'), log: { capacityUpdates: 100 } });
    const random = numbers(3);
    const views: { readonly view: CacheView; readonly at: number }[] = [];
    const read: (readonly [CacheView, string, string])[] = [];
    for (let round = 0; round < 60; round += 1) {
      for (let i = 0; i < 100; i += 1) {
        const namespace = `n${random(4)}`;
        if (random(50) === 0) void cache.dropNamespace(namespace);
        else void cache.set(`k${random(20)}`, { round, i }, namespace);
      }
      const at = cache.position - random(Math.min(cache.position, 300));
      const view = cache.at(at);
      views.push({ view, at });
      if (round % 2 === 0) read.push([view, `n${round % 4}`, text(view, `n${round % 4}`)]);
      if (round % 7 === 0) await cache.synced();
      else await cache.flush();
    }
    const log = await logOf(cache);
    for (const [view, namespace, before] of read) expect(text(view, namespace)).toBe(before);
    for (const { view, at } of views) {
      const folded = foldTo(log, at);
      expect(view.listNamespaces()).toEqual(folded.names());
      for (const name of ['n0', 'n1', 'n2', 'n3']) {
        expect(text(view, name)).toBe(JSON.stringify(folded.entries(name)));
      }
    }
  });

  it("shows the values that the user's own primary keeps", async () => {
    const dataDir = await tempDir('primary');
    const primaryCache = new InMemoryContextCache();
    let cache = await open({ dataDir, primaryCache });
    for (let i = 1; i <= 2_500; i += 1) void cache.set(`k${i % 5}`, i, 'n');
    await cache.synced();
    for (let i = 1; i <= 20; i += 1) void cache.set('k1', -i, 'n');
    const look = () => {
      for (const position of [1, 777, 1_501, 2_500]) {
        const view = cache.at(position);
        expect(view.get(`k${position % 5}`, 'n')).toBe(position);
        expect(view.listKeys('n')).toHaveLength(Math.min(5, position));
      }
      expect(cache.at(2_520).get('k1', 'n')).toBe(-20);
    };
    look();
    await cache.shutdown();
    cache = await open({ dataDir, primaryCache });
    look();
  });

  it('shows everything before the first update later than an instant', async () => {
    for (const dataDir of [undefined, await tempDir('instants')]) {
      const clock = new ManualClock();
      const start = clock.now();
      const cache = await open({ dataDir, clock });
      for (let i = 1; i <= 2_500; i += 1) {
        clock.advance(10);
        void cache.set('k', i, `n${i % 7}`);
        if (i === 1_500) await cache.flush();
        // The index has these; the others are only in the log.
        if (i !== 2_000) continue;
        await cache.synced();
        if (dataDir !== undefined) expect(cache.health().followers[0]?.checkpoint).toBe(2_000);
      }
      for (const i of [0, 1, 2, 777, 1_024, 1_025, 1_999, 2_048, 2_499, 2_500]) {
        expect(cache.at(new Date(start + i * 10)).position).toBe(i);
        expect(cache.at(new Date(start + i * 10 + 9)).position).toBe(i);
      }
      expect(cache.at(new Date(0)).position).toBe(0);
      // The clock was set back: the updates after that belong to the later instant.
      const back = cache.position;
      clock.advance(-5_000);
      void cache.set('k', 'back');
      clock.advance(6_000);
      void cache.set('k', 'on');
      expect(cache.at(new Date(start + 24_990)).position).toBe(2_499);
      expect(cache.at(new Date(start + 25_000)).position).toBe(back + 1);
      await cache.shutdown();
    }
  });

  it('refuses future and invalid positions, and reads after it was closed', async () => {
    for (const dataDir of [undefined, await tempDir('refusals')]) {
      const cache = await open({ dataDir });
      await cache.set('a', 1);
      expect(() => cache.at(2)).toThrow(anError('POSITION_UNAVAILABLE'));
      for (const moment of [-1, 0.5, Number.NaN, new Date(Number.NaN), '1' as unknown as number]) {
        expect(() => cache.at(moment)).toThrow(anError('INVALID_OPTION'));
      }
      await expect(cache.diff(0, 9)).rejects.toThrow(anError('POSITION_UNAVAILABLE'));
      await expect(cache.bisect(() => true, { from: 1, to: 0 })).rejects.toThrow(anError('INVALID_OPTION'));
      await expect(cache.bisect(() => Promise.reject(new Error('mine')))).rejects.toThrow('mine');
      const view = cache.at(1);
      expect(() => view.get('\uD800', 'default')).toThrow(anError('INVALID_NAME'));
      expect(() => view.get('a', '')).toThrow(anError('INVALID_NAME'));
      expect(Object.isFrozen(view.entry('a'))).toBe(true);
      view[Symbol.dispose]();
      expect(() => view.get('a')).toThrow(anError('CLOSED'));
      expect(() => view.listNamespaces()).toThrow(anError('CLOSED'));
      await cache.shutdown();
      expect(() => cache.at(1)).toThrow(anError('CLOSED'));
    }
  });
});

describe('a view of typed namespaces', () => {
  it('has the types, like a history', async () => {
    const cache = new AgentContextCache<{ auth: { token: string }; n: { count: number } }>();
    await cache.set('token', 't-1', 'auth');
    await cache.set('count', 2, 'n');
    const view = cache.at(1);
    const token: string | undefined = view.get('token', 'auth');
    const counts: (number | undefined)[] = view.getMany(['count'], 'n');
    expect([token, counts, view.listNamespaces()]).toEqual(['t-1', [undefined], ['auth', 'default']]);
    for await (const { value } of cache.namespace('n').history('count')) expect(value?.toFixed(1)).toBe('2.0');
    const { added } = await cache.diff(view, cache.at(2), { namespace: 'n' });
    expect(added.map(({ value }) => value)).toEqual([2]);
    expect(await cache.bisect(async (each) => !each.has('count', 'n'))).toMatchObject({ position: 2 });
    await cache.shutdown();
  });
});

describe('the past of a restored cache', () => {
  it('starts with the snapshot', async () => {
    const store = new MemorySnapshotStore();
    const first = await open({ backup: { store } });
    for (let i = 0; i < 40; i += 1) await first.set(`k${i % 10}`, i, `n${i % 4}`, { ttl: '1h' });
    await first.dropNamespace('n3');
    await first.backup();
    const begin = first.position;
    for (const dataDir of [undefined, await tempDir('restored')]) {
      let cache = await open({ dataDir, restoreFrom: store });
      const original = ['n0', 'n1', 'n2'].map((name) => text(cache.at(begin), name));
      expect(original).toEqual(['n0', 'n1', 'n2'].map((name) => text(first.at(begin), name)));
      await cache.touch('k0', 'n0', { ttl: '2h', agent: 'toucher' });
      await cache.clearNamespace('n0', { agent: 'clearer' });
      await cache.dropNamespace('n1');
      await cache.synced();
      await cache.set('k1', 'again', 'n1');
      if (dataDir !== undefined) {
        await cache.shutdown();
        cache = await open({ dataDir });
      }
      const view = cache.at(begin);
      expect(['n0', 'n1', 'n2'].map((name) => text(view, name))).toEqual(original);
      expect(view.listNamespaces()).toEqual(['default', 'n0', 'n1', 'n2']);
      expect(cache.at(begin + 3).listNamespaces()).toEqual(['default', 'n0', 'n2']);
      expect(cache.at(cache.position).listKeys('n1')).toEqual(['k1']);
      expect(() => cache.at(begin - 1)).toThrow(anError('POSITION_UNAVAILABLE'));
      const versions = [];
      for await (const { operation, value, agent } of cache.history('k0', 'n0'))
        versions.push([operation, value, agent]);
      expect(versions).toEqual([
        ['clear_namespace', undefined, 'clearer'],
        ['touch', view.get('k0', 'n0'), 'toucher'],
      ]);
      expect((await cache.diff(begin, begin + 3)).removed.every(({ namespace }) => namespace < 'n2')).toBe(true);
      expect((await cache.bisect((each) => each.has('k0', 'n0')))?.update).toMatchObject({ agent: 'clearer' });
    }
  });
});

describe('the airline file', () => {
  it('can be viewed at any position', async () => {
    const cache = await open({ dataDir: await tempDir('airline') });
    const lines = airlineLines();
    /** Number of lines taken at each position. */
    const taken = new Map<number, number>([[0, 0]]);
    for (const [index, line] of lines.entries()) {
      cache.supervisor.send(JSON.parse(line) as ContextCommand);
      taken.set(cache.position, index + 1);
    }
    await cache.synced();
    const random = numbers(11);
    for (let i = 0; i < 50; i += 1) {
      const position = random(cache.position + 1);
      const { entries } = foldCommands(lines.slice(0, taken.get(position)));
      const view = cache.at(position);
      expect(view.listNamespaces()).toEqual([...new Set(['default', ...entries.keys()])].sort());
      for (const [name, own] of entries) {
        expect(new Map(view.entries(name).map(({ key, value, version }) => [key, { value, version }]))).toEqual(own);
      }
    }
  });
});

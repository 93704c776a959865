import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { MemorySnapshotStore } from '../../src/backup.ts';
import { apply } from '../../src/core/apply.ts';
import { type AgentContextCache, diff, InMemoryContextCache, type OpenOptions, replay } from '../../src/index.ts';
import { codeOf, logOf, turns } from '../support/cache.ts';
import { open } from '../support/durable.ts';
import { durableKinds } from '../support/fork.ts';
import { exported, linesOf } from '../support/replay.ts';
import { tempDir } from '../support/temp-dir.ts';

const anError = (code: string) => expect.objectContaining({ code });

async function filled(options: OpenOptions = {}) {
  const made = await open(options);
  const { cache } = made;
  await cache.set('a', 1, 'n', { agent: 'x' });
  await cache.set('b', 2, 'n');
  await cache.set('c', 3, 'm');
  return made;
}

describe.each(durableKinds)('a branch of a cache $kind', ({ dataDir }) => {
  const parent = async () => filled({ dataDir: await dataDir() });

  it('starts from the present, continues on its own and does not change its parent', async () => {
    const { cache } = await parent();
    const branch = await cache.fork();
    expect([branch.position, branch.get('a', 'n'), branch.listNamespaces()]).toEqual([3, 1, ['default', 'm', 'n']]);
    expect(branch.entry('a', 'n')).toEqual(cache.entry('a', 'n'));
    const before = cache.at(3).entries('n');
    await branch.set('a', 'other', 'n');
    await branch.delete('b', 'n');
    await branch.set('new', 1, 'only here');
    await branch.dropNamespace('m');
    await cache.set('c', 'later', 'm');
    await cache.set('d', 'later', 'n');
    expect([branch.get('a', 'n'), branch.has('b', 'n'), branch.has('d', 'n')]).toEqual(['other', false, false]);
    expect(branch.listNamespaces()).toEqual(['default', 'n', 'only here']);
    expect(branch.listKeys('m')).toEqual([]);
    expect(cache.at(3).entries('n')).toEqual(before);
    expect([cache.get('a', 'n'), cache.get('b', 'n'), cache.get('c', 'm')]).toEqual([1, 2, 'later']);
    expect(cache.position).toBe(5);
    const own = (await logOf(branch)).map(({ position, key }) => [position, key]);
    expect(own).toEqual([
      [4, 'a'],
      [5, 'b'],
      [6, 'new'],
      [7, null],
    ]);
    expect(branch.health().log).toMatchObject({ first: 4, head: 7, durable: false });
    expect(branch.health().log.id).not.toBe(cache.health().log.id);
    expect(branch.health().namespaces).toMatchObject({ total: 2, failed: [] });
  });

  it('at position 0 begins namespaces at version 1, whatever its parent has dropped, so that its log can be replayed', async () => {
    const { cache } = await parent();
    await cache.dropNamespace('n');
    for (const own of [{}, { dataDir: await tempDir('branch'), sync: false }]) {
      const branch = await cache.fork({ at: 0, ...own });
      expect(await branch.set('a', 1, 'n')).toMatchObject({ position: 1, version: 1 });
      const { cache: replayed } = await replay(linesOf(await exported(branch)), { natsUrl: null });
      expect(replayed.entry('a', 'n')).toMatchObject({ value: 1, version: 1 });
      await replayed.shutdown();
      await branch.shutdown();
    }
  });

  it('starts from any past position', async () => {
    const { cache, clock } = await parent();
    const [second, then] = [await cache.fork({ at: 1 }), clock.now()];
    clock.increment(10);
    await cache.set('a', 'late', 'n');
    const third = await cache.fork({ at: new Date(then) });
    const empty = await cache.fork({ at: 0 });
    expect([second.position, third.position, empty.position]).toEqual([1, 3, 0]);
    expect([second.get('a', 'n'), second.has('b', 'n'), second.listNamespaces()]).toEqual([1, false, ['default', 'n']]);
    expect([third.get('a', 'n'), third.get('c', 'm')]).toEqual([1, 3]);
    expect([empty.has('a', 'n'), empty.listNamespaces()]).toEqual([false, ['default']]);
    expect(await codeOf(cache.fork({ at: 5 }))).toBe('POSITION_UNAVAILABLE');
    expect(await codeOf(cache.fork({ at: -1 }))).toBe('INVALID_OPTION');
    expect(await codeOf(cache.fork({ at: 'now' as never }))).toBe('INVALID_OPTION');
    for (const each of [{ primaryCache: new InMemoryContextCache() }, { restoreFrom: 'x' }]) {
      expect(await codeOf(cache.fork(each as never))).toBe('INVALID_OPTION');
    }
  });

  it('drops a namespace of its parent and begins it again above the versions that it had', async () => {
    const { cache } = await parent();
    const branch = await cache.fork();
    await branch.dropNamespace('n');
    expect([branch.get('a', 'n'), branch.entries('n'), branch.listNamespaces()]).toEqual([
      undefined,
      [],
      ['default', 'm'],
    ]);
    await branch.delete('a', 'n');
    expect(await branch.set('a', 'new', 'n')).toMatchObject({ version: 4 });
    await turns();
    expect([branch.listKeys('n'), branch.listNamespaces()]).toEqual([['a'], ['default', 'm', 'n']]);
    expect(await branch.ask({ type: 'namespace.passivate', namespace: 'n' })).toBe(false);
    // A namespace that was touched and not changed may leave memory again.
    await branch.delete('no such key', 'm');
    expect(branch.health().namespaces).toMatchObject({ total: 2, resident: 2 });
    expect(await branch.ask({ type: 'namespace.passivate', namespace: 'm' })).toBe(true);
    expect(branch.health().namespaces).toMatchObject({ total: 2, resident: 1 });
    expect(branch.get('c', 'm')).toBe(3);
    await branch.dropNamespace('n');
    expect(branch.listNamespaces()).toEqual(['default', 'm']);
  });

  it('hides expired entries, and removes them from a namespace that it has touched', async () => {
    const { cache, clock } = await parent();
    await cache.set('short', 1, 'n', { ttl: 100 });
    await cache.set('short', 1, 'm', { ttl: 100 });
    const branch = await cache.fork();
    await branch.set('d', 4, 'n');
    clock.increment(100);
    expect([branch.has('short', 'n'), branch.has('short', 'm')]).toEqual([false, false]);
    expect([branch.listKeys('m'), branch.entries('m').length]).toEqual([['c'], 1]);
    await turns();
    expect((await logOf(branch)).map(({ operation, namespace }) => `${operation} ${namespace}`)).toEqual([
      'set n',
      'expire n',
    ]);
    await branch.set('e', 5, 'm');
    expect((await logOf(branch)).slice(2).map(({ operation, key }) => `${operation} ${key}`)).toEqual([
      'expire short',
      'set e',
    ]);
  });

  it('shows its own past and, before that, its parent’s', async () => {
    const { cache, clock } = await parent();
    const made = clock.now();
    clock.increment(10);
    const branch = await cache.fork({ at: 2 });
    await cache.set('a', 'in the parent', 'n');
    clock.increment(10);
    await branch.set('a', 'in the branch', 'n', { agent: 'y' });
    await branch.set('z', 1, 'n');
    expect([0, 1, 2, 3].map((at) => branch.at(at).get('a', 'n'))).toEqual([undefined, 1, 1, 'in the branch']);
    expect(branch.at(new Date(made)).position).toBe(2);
    expect(branch.at(new Date(made - 1)).position).toBe(0);
    const versions = [];
    for await (const { position, value, agent } of branch.history('a', 'n')) versions.push([position, value, agent]);
    expect(versions).toEqual([
      [3, 'in the branch', 'y'],
      [1, 1, 'x'],
    ]);
    const { added, changed } = await branch.diff(1, branch.position);
    expect([added.map(({ key }) => key).sort(), changed.length]).toEqual([['b', 'z'], 1]);
    const before = await branch.bisect((view) => !view.has('a', 'n'));
    expect(before?.update).toMatchObject({ position: 1, agent: 'x' });
    const after = await branch.bisect((view) => view.get('a', 'n') !== 'in the branch');
    expect(after?.update).toMatchObject({ position: 3, agent: 'y' });
  });

  it('cannot read untouched namespaces after its parent is shut down', async () => {
    const { cache } = await parent();
    const branch = await cache.fork();
    await branch.set('a', 'own', 'n');
    await cache.shutdown();
    expect(branch.get('a', 'n')).toBe('own');
    expect(await branch.set('b', 'own', 'n')).toMatchObject({ changed: true });
    expect(() => branch.get('c', 'm')).toThrow(anError('CLOSED'));
    expect(() => branch.get('c', 'm')).toThrow(/dataDir/);
    expect(() => branch.listNamespaces()).toThrow(anError('CLOSED'));
    expect(() => branch.at(2).get('c', 'm')).toThrow(anError('CLOSED'));
    expect(await codeOf(branch.set('c', 1, 'm'))).toBe('CLOSED');
    expect(branch.health().namespaces.total).toBe(1);
    expect(await codeOf(cache.fork())).toBe('CLOSED');
    await branch.shutdown();
    expect(() => branch.get('c', 'm')).toThrow(anError('CLOSED'));
  });

  it('can be forked itself', async () => {
    const { cache } = await parent();
    const middle = await cache.fork();
    await middle.set('a', 'middle', 'n');
    const [last, early, same] = [await middle.fork(), await middle.fork({ at: 1 }), await middle.fork({ at: 3 })];
    await middle.set('a', 'later', 'n');
    await middle.dropNamespace('m');
    await cache.dropNamespace('n');
    expect([last.get('a', 'n'), last.get('c', 'm'), last.position]).toEqual(['middle', 3, 4]);
    expect([early.get('a', 'n'), early.has('b', 'n'), early.position]).toEqual([1, false, 1]);
    expect([same.get('a', 'n'), same.get('c', 'm'), same.position]).toEqual([1, 3, 3]);
    expect(last.at(1).get('a', 'n')).toBe(1);
    await last.set('x', 1, 'm');
    expect(last.listNamespaces()).toEqual(['default', 'm', 'n']);
    expect((await last.diff(middle, last)).added.map(({ key }) => key).sort()).toEqual(['c', 'x']);
  });

  it('is compared by content, because equal positions of two logs are unrelated', async () => {
    const { cache } = await parent();
    const branch = await cache.fork();
    await branch.set('d', 'there', 'm');
    await cache.set('d', 'here', 'm');
    expect(cache.position).toBe(branch.position);
    const found = await cache.diff(cache, branch);
    expect(found.changed.map(({ before, after }) => [before.value, after.value])).toEqual([['here', 'there']]);
    expect(await diff(branch.at(4), cache, { namespace: 'm' })).toMatchObject({
      changed: [{ after: { value: 'here' } }],
    });
    expect(await diff(cache, cache)).toEqual({ added: [], changed: [], removed: [] });
    expect((await diff(cache.at(3), branch.at(3))).changed).toEqual([]);
    const { cache: stranger } = await filled();
    expect((await diff(cache, stranger)).removed.map(({ key }) => key)).toEqual(['d']);
    expect(await codeOf(diff(cache, 4 as never))).toBe('INVALID_OPTION');
    await stranger.shutdown();
    expect(await codeOf(diff(cache, stranger))).toBe('CLOSED');
  });

  it('takes snapshots of its whole state, inherited entries included', async () => {
    const { cache } = await parent();
    const [store, branch] = [new MemorySnapshotStore(), await cache.fork()];
    const withBackup = await branch.fork({ backup: { store } });
    await withBackup.set('a', 'own', 'n');
    await withBackup.set('gone', 1, 'gone');
    await withBackup.dropNamespace('gone');
    expect(await withBackup.backup()).toMatchObject({ position: 6 });
    const { cache: restored } = await open({ restoreFrom: store });
    expect(restored.listNamespaces()).toEqual(['default', 'm', 'n']);
    expect([restored.get('a', 'n'), restored.get('b', 'n'), restored.get('c', 'm')]).toEqual(['own', 2, 3]);
  });
});

describe('a branch', () => {
  it('inherits clock, schemas, limits and onError unless others are given', async () => {
    const schemas = { n: z.number() };
    const { cache, clock, failures } = await open({ schemas, limits: { maxBytes: 100 } });
    const branch = await cache.fork();
    expect(await codeOf(branch.set('a', 'text', 'n'))).toBe('SCHEMA_MISMATCH');
    expect(await codeOf(branch.set('a', 'x'.repeat(200), 'm'))).toBe('INVALID_VALUE');
    void branch.set('a', 'text', 'n');
    await turns();
    expect(failures.length).toBe(1);
    await branch.set('a', 1, 'n', { ttl: 10 });
    expect(branch.entry('a', 'n')?.expiresAt).toBe(clock.now() + 10);
    const free = await cache.fork({ schemas: {}, clock: undefined });
    expect(await free.set('a', 'text', 'n')).toMatchObject({ changed: true });
    expect(free.entry('a', 'n')?.createdAt).toBe(clock.now());
  });

  it('inherits no mirror, broadcast or backup that would publish its changes', async () => {
    const secondaryCache = new InMemoryContextCache();
    const store = new MemorySnapshotStore();
    const { cache } = await open({ secondaryCache, natsUrl: null, topics: ['t'], backup: { store, enabled: true } });
    await cache.set('a', 1, 'n');
    await cache.synced();
    const branch: AgentContextCache = await cache.fork();
    await branch.set('a', 'tried', 'n');
    await branch.synced();
    expect(secondaryCache.get('a', 'n')).toBe(1);
    expect(branch.getTopicsList()).toEqual([]);
    expect(branch.health()).toMatchObject({ followers: [], backup: undefined });
    const own = new InMemoryContextCache();
    const mirrored = await cache.fork({ secondaryCache: own });
    await mirrored.set('b', 2, 'n');
    await mirrored.synced();
    expect([own.get('a', 'n'), own.get('b', 'n'), secondaryCache.get('b', 'n')]).toEqual([1, 2, undefined]);
  });

  it('takes the values from the log if a primary of its parent keeps them', async () => {
    const { cache } = await open({ primaryCache: new InMemoryContextCache() });
    await cache.set('a', 1, 'n');
    const branch = await cache.fork();
    await branch.set('b', 2, 'n');
    expect([branch.get('a', 'n'), branch.get('b', 'n'), cache.get('b', 'n')]).toEqual([1, 2, undefined]);
    expect(await codeOf(cache.merge(branch))).toBe('INVALID_OPTION');
  });

  it('starts from the present of a cache in memory that has released its oldest updates', async () => {
    const { cache } = await open({ log: { capacityUpdates: 4 } });
    const older = await cache.fork();
    for (let i = 0; i < 3; i += 1) await cache.set(`k${i}`, i, 'n');
    const second = await cache.fork({ at: 2 });
    for (let i = 3; i < 12; i += 1) await cache.set(`k${i}`, i, 'n');
    expect(await codeOf(cache.fork({ at: 3 }))).toBe('POSITION_UNAVAILABLE');
    const branch = await cache.fork();
    for (let i = 0; i < 9; i += 1) await cache.set('k0', 'over', 'n');
    for (let i = 0; i < 9; i += 1) await branch.set('b', i, 'm');
    expect([branch.get('k0', 'n'), branch.listKeys('n').length, branch.at(branch.position).get('b', 'm')]).toEqual([
      0, 12, 8,
    ]);
    expect([second.listKeys('n'), older.listKeys('n')]).toEqual([['k0', 'k1'], []]);
    expect(() => branch.at(13)).toThrow(anError('POSITION_UNAVAILABLE'));
    expect(branch.at(12).get('k0', 'n')).toBe(0);
    expect((await cache.diff(cache, branch)).removed.length).toBe(0);
  });

  it('restarts a crashed namespace from its own state, not from its parent’s', async () => {
    const { cache, clock } = await filled();
    const crash: NonNullable<OpenOptions['internals']>['apply'] = (state, update) => {
      if (update.value === 'crash') throw new Error('broken');
      apply(state, update);
    };
    const branch = await cache.fork({ internals: { apply: crash }, log: { capacityUpdates: 3 } });
    for (let i = 0; i < 9; i += 1) await branch.set(`k${i}`, i, 'n');
    const crashed = branch.set('k9', 'crash', 'n').catch(() => {});
    await turns();
    clock.increment(1_000);
    await turns();
    await crashed;
    await branch.set('k10', 10, 'n');
    expect([branch.listKeys('n').length, branch.get('k0', 'n'), branch.get('a', 'n')]).toEqual([13, 0, 1]);
    expect(branch.health().namespaces).toMatchObject({ restarts: 1, failed: [] });
  });

  it('shares nothing with its parent if it has its own directory', async () => {
    const { cache } = await filled({ dataDir: await tempDir('p') });
    const branch = await cache.fork({ dataDir: await tempDir('b'), sync: false });
    await cache.shutdown();
    expect([branch.get('a', 'n'), branch.get('c', 'm'), branch.health().log.durable]).toEqual([1, 3, true]);
  });
});

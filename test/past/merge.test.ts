import { describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { MergeConflictError, type MergeOptions } from '../../src/index.ts';
import { SegmentWriter } from '../../src/storage/disk/log/segment-writer.ts';
import { MemoryLog } from '../../src/storage/memory/memory-log.ts';
import { codeOf, logOf, makeCacheOn, turns } from '../support/cache.ts';
import { open } from '../support/durable.ts';
import { durableKinds } from '../support/fork.ts';
import { tempDir } from '../support/temp-dir.ts';

describe.each(durableKinds)('merging into a cache $kind', ({ dataDir }) => {
  const parent = async () => {
    const made = await open({ dataDir: await dataDir() });
    await made.cache.setMany({ a: 1, b: 2, c: 3 }, 'n', { agent: 'x' });
    await made.cache.set('k', 1, 'm');
    return made;
  };

  it('applies the sets, touches, deletes and drops of the branch, as updates of its agents', async () => {
    const { cache, clock } = await parent();
    const branch = await cache.fork();
    await branch.set('a', 'new', 'n', { agent: 'thrifty' });
    await branch.touch('b', 'n', { ttl: 500, agent: 'timer' });
    await branch.delete('c', 'n', { agent: 'cleaner' });
    await branch.set('first', 1, 'born');
    await branch.set('short', 1, 'born', { ttl: 50, agent: 'quick' });
    await branch.dropNamespace('m');
    await branch.set('gone', 1, 'n');
    await branch.delete('gone', 'n');
    clock.increment(20);
    const before = cache.position;
    const report = await cache.merge(branch, { agent: 'merger' });
    expect(report).toEqual({ updates: 6, namespaces: ['born', 'm', 'n'], position: before + 6, conflicts: [] });
    const made = (await logOf(cache)).slice(before);
    const told = made.map(({ namespace, operation, key, agent }) => `${namespace} ${operation} ${key} ${agent}`).sort();
    expect(told).toEqual([
      'born set first merger',
      'born set short quick',
      'm clear_namespace null merger',
      'n delete c merger',
      'n set a thrifty',
      'n touch b timer',
    ]);
    expect([cache.get('a', 'n'), cache.has('c', 'n'), cache.listNamespaces()]).toEqual([
      'new',
      false,
      ['born', 'default', 'n'],
    ]);
    expect(cache.entry('b', 'n')).toMatchObject({ value: 2, expiresAt: clock.now() + 480 });
    expect(cache.entry('short', 'born')?.expiresAt).toBe(clock.now() + 30);
    expect([cache.entry('a', 'n')?.updatedAt, branch.get('a', 'n')]).toEqual([clock.now(), 'new']);
  });

  it('takes over notes of retractions about what both sides have, and no note about a position of the branch', async () => {
    const { cache } = await parent();
    await cache.set('a', 5, 'n');
    const shared = await cache.set('a', 6, 'n', { meta: { by: 'both' } });
    const { position, version } = await cache.set('x', 6, 'n');
    await cache.set('c', 7, 'n', { basis: [{ namespace: 'n', key: 'x', version }] });
    await cache.retract(position, { cascade: 'mark' });
    const branch = await cache.fork();
    await branch.touch('c', 'n', { ttl: 500 });
    await branch.retract(shared.position);
    await branch.set('b', 3, 'n', { meta: { task: 1 } });
    const own = await branch.set('b', 4, 'n');
    const basis = [{ namespace: 'n', key: 'b', version: own.version }];
    await branch.set('d', 8, 'n', { basis, meta: { task: 2 } });
    await branch.retract(own.position, { cascade: 'mark' });
    expect([branch.entry('b', 'n')?.retraction, branch.entry('d', 'n')?.stale]).toMatchObject([
      { position: own.position },
      { because: own.position },
    ]);
    await cache.merge(branch);
    const notes = cache.entries('n').map(({ key, value, meta, retraction, stale }) => {
      return [key, value, meta, retraction?.position, stale?.because];
    });
    expect(notes).toEqual([
      ['a', 5, undefined, shared.position, undefined],
      ['b', 3, { task: 1 }, undefined, undefined],
      ['c', 7, undefined, undefined, position],
      ['d', 8, { task: 2 }, undefined, undefined],
    ]);
  });

  it('reports the base and both entries of every key that both sides changed, and changes nothing', async () => {
    const { cache } = await parent();
    const branch = await cache.fork();
    for (const [each, value] of [
      [cache, 'ours'],
      [branch, 'theirs'],
    ] as const) {
      await each.set('a', value, 'n');
      await each.set('fresh', value, 'z');
      await each.set('same', 'same', 'z');
    }
    await cache.delete('b', 'n');
    await branch.set('b', 'kept', 'n');
    await branch.set('c', 'fine', 'n');
    const [position, base] = [cache.position, cache.at(4)];
    const failure = (await cache.merge(branch).catch((error) => error)) as MergeConflictError;
    expect(failure).toBeInstanceOf(MergeConflictError);
    expect([failure.code, failure.name]).toEqual(['MERGE_CONFLICT', 'MergeConflictError']);
    expect(failure.message).toMatch(/3 keys/);
    const conflicts = [...failure.conflicts].sort((x, y) => (x.key < y.key ? -1 : 1));
    expect(conflicts).toEqual([
      {
        namespace: 'n',
        key: 'a',
        base: base.entry('a', 'n'),
        ours: cache.entry('a', 'n'),
        theirs: branch.entry('a', 'n'),
      },
      { namespace: 'n', key: 'b', base: base.entry('b', 'n'), ours: undefined, theirs: branch.entry('b', 'n') },
      {
        namespace: 'z',
        key: 'fresh',
        base: undefined,
        ours: cache.entry('fresh', 'z'),
        theirs: branch.entry('fresh', 'z'),
      },
    ]);
    expect([cache.position, cache.get('c', 'n')]).toEqual([position, 3]);
    const decide: MergeOptions['onConflict'] = ({ key, ours, theirs }) =>
      key === 'a' ? { value: [ours?.value, theirs?.value] } : key === 'b' ? 'theirs' : 'ours';
    const report = await cache.merge(branch, { onConflict: decide, agent: 'judge' });
    expect(report.conflicts.map(({ key, resolution }) => [key, resolution]).sort()).toEqual([
      ['a', { value: ['ours', 'theirs'] }],
      ['b', 'theirs'],
      ['fresh', 'ours'],
    ]);
    expect(cache.entry('a', 'n')).toMatchObject({ value: ['ours', 'theirs'], agent: 'judge' });
    expect([cache.get('b', 'n'), cache.get('c', 'n'), cache.get('fresh', 'z')]).toEqual(['kept', 'fine', 'ours']);
  });

  it('changes nothing the second time, and then merges only later changes', async () => {
    const { cache } = await parent();
    const branch = await cache.fork();
    await cache.set('n', 1, 'sum');
    await branch.set('n', 10, 'sum');
    const add: MergeOptions['onConflict'] = ({ ours, theirs }) => ({
      value: Number(ours?.value) + Number(theirs?.value),
    });
    await cache.merge(branch, { onConflict: add });
    expect(await cache.merge(branch, { onConflict: add })).toMatchObject({ updates: 0, conflicts: [] });
    expect(cache.get('n', 'sum')).toBe(11);
    await cache.set('n', 12, 'sum');
    expect(await cache.merge(branch)).toMatchObject({ updates: 0, conflicts: [] });
    await branch.set('a', 'once more', 'n');
    expect(await cache.merge(branch)).toMatchObject({ updates: 1, conflicts: [] });
    expect([cache.get('n', 'sum'), cache.get('a', 'n')]).toEqual([12, 'once more']);
    await Promise.all([branch.set('n', 20, 'sum'), cache.set('n', 13, 'sum')]);
    const both = [cache.merge(branch, { onConflict: add }), cache.merge(branch, { onConflict: add })];
    expect((await Promise.all(both)).map(({ updates }) => updates)).toEqual([1, 0]);
    expect(cache.get('n', 'sum')).toBe(33);
  });

  it('keeps the writes that arrive during the merge', async () => {
    const { cache } = await parent();
    const branch = await cache.fork();
    await branch.set('a', 'theirs', 'n');
    await branch.set('b', 'theirs', 'n');
    let asked = 0;
    await cache.set('a', 'ours', 'n');
    const merging = cache.merge(branch, {
      onConflict: ({ key }) => {
        asked += 1;
        // In the middle of the merge, after its plan for this namespace was started.
        if (asked === 1) void cache.set('b', 'in between', 'n');
        return key === 'a' ? 'theirs' : 'ours';
      },
    });
    expect((await merging).conflicts.map(({ key }) => key).sort()).toEqual(['a', 'b']);
    expect([cache.get('a', 'n'), cache.get('b', 'n')]).toEqual(['theirs', 'in between']);
    // A merge that never ends is refused.
    await branch.set('a', 'again', 'n');
    await cache.set('a', 'too', 'n');
    const restless = () => {
      void cache.set('a', asked++, 'n');
      return 'ours' as const;
    };
    expect(await codeOf(cache.merge(branch, { onConflict: restless }))).toBe('INVALID_OPTION');
  });

  it('does not count an expiry as a change', async () => {
    const { cache, clock } = await parent();
    for (const key of ['p', 'q', 'r']) await cache.set(key, 1, 'n', { ttl: 50 });
    const branch = await cache.fork();
    await branch.touch('p', 'n', { ttl: 1_000 });
    await branch.set('passing', 1, 'n', { ttl: 10 });
    clock.increment(60);
    await turns();
    await cache.set('q', 'again', 'n');
    await cache.set('passing', 'ours', 'n');
    const report = await cache.merge(branch);
    expect([report.updates, report.conflicts]).toEqual([1, []]);
    expect(cache.listKeys('n').sort()).toEqual(['a', 'b', 'c', 'p', 'passing', 'q']);
    expect(cache.entry('p', 'n')).toMatchObject({ value: 1, expiresAt: clock.now() + 940 });
  });

  it('merges into a namespace that was dropped and written again', async () => {
    const { cache } = await parent();
    const branch = await cache.fork();
    await branch.dropNamespace('m');
    await branch.set('k', 'new', 'm');
    await cache.set('more', 1, 'm');
    expect(await cache.merge(branch)).toMatchObject({ updates: 1 });
    expect([cache.get('k', 'm'), cache.get('more', 'm')]).toEqual(['new', 1]);
    // The namespace changed here, so its entries stay unless the branch deleted them.
    await branch.dropNamespace('m');
    await cache.set('k', 'ours', 'm');
    expect(await codeOf(cache.merge(branch))).toBe('MERGE_CONFLICT');
    expect(await cache.merge(branch, { onConflict: 'theirs' })).toMatchObject({ updates: 1 });
    expect([cache.listKeys('m'), cache.listNamespaces()]).toEqual([['more'], ['default', 'm', 'n']]);
  });

  it('merges into an intermediate branch, a sister branch, and the branch itself', async () => {
    const { cache } = await parent();
    const middle = await cache.fork();
    await middle.set('a', 'middle', 'n');
    const [last, sister] = [await middle.fork(), await cache.fork({ at: 1 })];
    await last.set('b', 'last', 'n');
    await middle.set('a', 'middle, later', 'n');
    expect(await middle.merge(last)).toMatchObject({ updates: 1, conflicts: [] });
    expect([middle.get('b', 'n'), cache.get('b', 'n')]).toEqual(['last', 2]);
    expect(await cache.merge(middle)).toMatchObject({ updates: 2, conflicts: [] });
    await cache.set('d', 4, 'n');
    expect(await codeOf(last.merge(cache))).toBe('MERGE_CONFLICT');
    await last.merge(cache, { onConflict: 'theirs' });
    expect([last.get('d', 'n'), last.get('a', 'n')]).toEqual([4, 'middle, later']);
    await sister.set('s', 's', 'n');
    expect(await last.merge(sister)).toMatchObject({ updates: 1 });
    expect(last.get('s', 'n')).toBe('s');
    // An entry that neither side started with causes no conflict: the sister was forked before it.
    expect(await sister.merge(last)).toMatchObject({ conflicts: [] });
    expect(
      sister
        .entries('n')
        .map(({ key }) => key)
        .sort(),
    ).toEqual(
      last
        .entries('n')
        .map(({ key }) => key)
        .sort(),
    );
  });

  it('refuses a cache that is not a branch, a closed branch, and invalid options', async () => {
    const { cache } = await parent();
    const { cache: stranger } = await open();
    const branch = await cache.fork();
    await branch.set('a', 'theirs', 'n');
    await cache.set('a', 'ours', 'n');
    for (const wrong of [cache, stranger, {}, undefined]) {
      expect(await codeOf(cache.merge(wrong as never))).toBe('INVALID_OPTION');
    }
    expect(await codeOf(cache.merge(branch, { onConflict: 'mine' as never }))).toBe('INVALID_OPTION');
    expect(await codeOf(cache.merge(branch, { onConflict: () => undefined as never }))).toBe('INVALID_OPTION');
    expect(await codeOf(cache.merge(branch, { agent: '' }))).toBe('INVALID_COMMAND');
    const tooMuch = () => ({ value: () => 1 });
    expect(await codeOf(cache.merge(branch, { onConflict: tooMuch }))).toBe('INVALID_VALUE');
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(cache.merge(branch, { signal })).rejects.toThrow('enough');
    expect(cache.get('a', 'n')).toBe('ours');
    await branch.shutdown();
    expect(await codeOf(cache.merge(branch))).toBe('CLOSED');
  });

  it('checks the values of a branch without schemas against the schemas of the cache', async () => {
    const { cache } = await open({ dataDir: await dataDir(), schemas: { n: z.number().transform((n) => n + 1) } });
    await cache.set('a', 1, 'n');
    const [same, free] = [await cache.fork(), await cache.fork({ schemas: {} })];
    await same.set('b', 1, 'n');
    await cache.merge(same);
    expect([cache.get('a', 'n'), cache.get('b', 'n')]).toEqual([2, 2]);
    await free.set('c', 'text', 'n');
    await free.set('d', 1, 'm');
    expect(await codeOf(cache.merge(free))).toBe('SCHEMA_MISMATCH');
    expect(cache.has('d', 'm')).toBe(false);
  });

  it('accepts a branch with its own directory, also after it was reopened', async () => {
    const { cache } = await parent();
    const place = await tempDir('branch');
    const branch = await cache.fork({ dataDir: place, sync: false });
    await branch.set('a', 'theirs', 'n');
    expect(await cache.merge(branch)).toMatchObject({ updates: 1 });
    await branch.set('b', 'later', 'n');
    await branch.shutdown();
    await cache.set('c', 'ours', 'n');
    const { cache: again } = await open({ dataDir: place });
    expect(await cache.merge(again)).toMatchObject({ updates: 1, conflicts: [] });
    expect(
      cache
        .entries('n')
        .map(({ value }) => value)
        .sort(),
    ).toEqual(['later', 'ours', 'theirs']);
    expect(
      again
        .entries('n')
        .map(({ value }) => value)
        .sort(),
    ).toEqual([3, 'later', 'theirs']);
  });
});

describe('a merge', () => {
  it('changes nothing if the log refuses updates or a namespace has crashed', async () => {
    const log = new MemoryLog();
    const broken = new Error('broken');
    const apply: NonNullable<NonNullable<Parameters<typeof makeCacheOn>[1]>['internals']>['apply'] = (
      state,
      update,
    ) => {
      if (update.value === 'crash') throw broken;
      state.put(update.key as string, { ...(update as never as object), createdAt: 1, updatedAt: 1 } as never);
      state.version = update.version;
      state.position = update.position;
    };
    const { cache } = makeCacheOn(log, { internals: { apply }, restart: { intensity: 0 } });
    await cache.set('a', 1, 'n');
    await cache.set('a', 1, 'm');
    const branch = await cache.fork({ internals: {} });
    await branch.set('b', 1, 'm');
    await branch.set('b', 1, 'n');
    await cache.set('c', 'crash', 'n').catch(() => {});
    await turns();
    const before = cache.position;
    expect(await codeOf(cache.merge(branch))).toBe('NAMESPACE_UNAVAILABLE');
    expect([cache.position, cache.has('b', 'm')]).toEqual([before, false]);
  });

  it('is written in one batch of the log', async () => {
    const { cache } = await open({ dataDir: await tempDir('group') });
    await cache.set('k', 1, 'n');
    const branch = await cache.fork();
    for (let i = 0; i < 50; i += 1) await branch.set('k', i, `n${i}`);
    const write = vi.spyOn(SegmentWriter.prototype, 'write');
    await cache.merge(branch);
    const batches = write.mock.calls.length;
    write.mockRestore();
    expect([cache.position, batches]).toEqual([51, 1]);
  });
});

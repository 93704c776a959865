import { describe, expect, it } from 'vitest';
import { type AgentContextCache, ContextCacheError, VersionConflictError } from '../../src/index.ts';
import { codeOf, historyOf, logOf, makeCache, START } from '../support/cache.ts';

describe('set, get and their kin', () => {
  it('take positional arguments and use the namespace default', async () => {
    const { cache } = makeCache();
    expect(await cache.set('a', 1)).toEqual({ version: 1, position: 1, changed: true });
    expect(cache.get('a')).toBe(1);
    expect(cache.get('a', 'default')).toBe(1);
    expect(await cache.set('a', 2, 'n', { agent: 'x' })).toEqual({ version: 1, position: 2, changed: true });
    expect(await cache.set('b', 3, 'n')).toEqual({ version: 2, position: 3, changed: true });
    expect(cache.get('a', 'n')).toBe(2);
    expect(cache.getMany(['b', 'none', 'a'], 'n')).toEqual([3, undefined, 2]);
    expect(cache.has('b', 'n')).toBe(true);
    expect(cache.has('b')).toBe(false);
    expect(cache.listKeys('n').sort()).toEqual(['a', 'b']);
    expect(cache.listKeys()).toEqual(['a']);
    expect(cache.position).toBe(3);
    expect(await cache.delete('a', 'n')).toEqual({ version: 3, position: 4, changed: true });
    expect(await cache.clearNamespace('n')).toEqual({ version: 4, position: 5, changed: true });
    expect(cache.listKeys('n')).toEqual([]);
  });

  it('make a value readable at once, before the promise resolves', () => {
    const { cache } = makeCache();
    void cache.set('a', 1);
    expect(cache.get('a')).toBe(1);
    void cache.delete('a');
    expect(cache.get('a')).toBeUndefined();
  });

  it('distinguish a stored null from a miss', async () => {
    const { cache } = makeCache();
    await cache.set('a', null);
    expect(cache.get('a')).toBeNull();
    expect(cache.has('a')).toBe(true);
    expect(cache.entry('a')).toMatchObject({ value: null });
    expect(cache.getMany(['a', 'b'])).toEqual([null, undefined]);
    expect(cache.get('b')).toBeUndefined();
    expect(cache.entry('b')).toBeUndefined();
    expect(await cache.getOrSet('a', () => 1)).toBeNull();
    expect(await cache.ask({ type: 'context.get', key: 'a' })).toBeNull();
    expect(await cache.ask({ type: 'context.get', key: 'b' })).toBeUndefined();
  });

  it('return frozen entries with value, agent, version and instants', async () => {
    const { cache, clock } = makeCache();
    await cache.set('a', { b: [1] }, 'n', { agent: 'planner', ttl: '10s' });
    clock.increment(5);
    await cache.set('a', { b: [2] }, 'n');
    const entry = cache.entry('a', 'n');
    expect(entry).toEqual({
      namespace: 'n',
      key: 'a',
      value: { b: [2] },
      version: 2,
      createdAt: START,
      updatedAt: START + 5,
      expiresAt: null,
      agent: null,
    });
    expect(Object.isFrozen(entry)).toBe(true);
    expect(cache.entries('n')).toEqual([entry]);
    expect(cache.entries('none')).toEqual([]);
  });

  it('keep a frozen copy, so that only an update can change the cache', async () => {
    const { cache } = makeCache();
    const plan = { steps: ['search'] };
    await cache.set('plan', plan);
    plan.steps.push('book');
    const held = cache.get('plan') as { steps: string[] };
    expect(held).toEqual({ steps: ['search'] });
    expect(() => held.steps.push('x')).toThrow(TypeError);
    const [update] = await logOf(cache);
    expect(update?.value).toBe(held);
  });

  it('accept any well-formed name, with no special ones', async () => {
    const { cache } = makeCache();
    const names = [
      '__proto__',
      'constructor',
      'a:b',
      '*',
      '>',
      ' ',
      'a..b',
      '👩‍👩‍👧',
      'namespace:x',
      'xstate.stop',
      'config',
      'x'.repeat(1024),
    ];
    for (const namespace of names) for (const key of names) void cache.set(key, `${namespace}/${key}`, namespace);
    await cache.flush();
    for (const namespace of names) {
      expect(cache.listKeys(namespace).sort()).toEqual([...names].sort());
      for (const key of names) expect(cache.get(key, namespace)).toBe(`${namespace}/${key}`);
    }
    await cache.dropNamespace('__proto__');
    expect(cache.get('a:b', '__proto__')).toBeUndefined();
    expect(cache.get('__proto__', 'a:b')).toBe('a:b/__proto__');
    expect(({} as Record<string, unknown>)['a:b']).toBeUndefined();
  });

  it.each<[string, (cache: AgentContextCache) => Promise<unknown>, string]>([
    ['a key that is too long', (cache) => cache.set('€'.repeat(2_731), 1), 'INVALID_NAME'],
    ['an ill-formed namespace', (cache) => cache.set('a', 1, '\uD800'), 'INVALID_NAME'],
    ['a key that is no string', (cache) => cache.delete(5 as never), 'INVALID_NAME'],
    ['a Date', (cache) => cache.set('a', new Date() as never), 'INVALID_VALUE'],
    ['undefined', (cache) => cache.set('a', undefined as never), 'INVALID_VALUE'],
    ['NaN deep inside', (cache) => cache.set('a', { b: [Number.NaN] }), 'INVALID_VALUE'],
    ['a bad option', (cache) => cache.set('a', 1, 'default', { ttl: -1 }), 'INVALID_COMMAND'],
    ['an unknown command', (cache) => cache.ask({ type: 'context.steal' } as never), 'INVALID_COMMAND'],
    [
      'an unknown field',
      (cache) => cache.ask({ type: 'context.set', key: 'a', value: 1, force: true } as never),
      'INVALID_COMMAND',
    ],
    [
      'one bad step of a batch',
      (cache) =>
        cache.batch([
          { operation: 'set', key: 'a', value: 1 },
          { operation: 'set', key: 'b', value: 1n as never },
        ]),
      'INVALID_VALUE',
    ],
    ['one bad value of many', (cache) => cache.setMany({ a: 1, b: Symbol('x') as never }), 'INVALID_VALUE'],
  ])('refuse %s as a rejection, before anything has changed', async (_what, ask, code) => {
    const { cache } = makeCache();
    await cache.set('a', 0);
    await cache.set('b', 0);
    const before = cache.entries();
    const promise = ask(cache);
    expect(promise).toBeInstanceOf(Promise);
    const error = await promise.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ContextCacheError);
    expect(error).toMatchObject({ code });
    expect(cache.entries()).toEqual(before);
    expect(cache.position).toBe(2);
  });

  it('refuse a read with a bad name too', () => {
    const { cache } = makeCache();
    for (const read of [
      () => cache.get('\uD800'),
      () => cache.has('a', ''),
      () => cache.entry('\uD800'),
      () => cache.listKeys(''),
      () => cache.getMany(['\uD800']),
      () => cache.entries(''),
    ]) {
      expect(read).toThrow(expect.objectContaining({ code: 'INVALID_NAME' }));
    }
  });
});

describe('updates and versions', () => {
  it('writes an update for every set, even of an equal value', async () => {
    const { cache } = makeCache();
    await cache.set('a', 1);
    expect(await cache.set('a', 1)).toMatchObject({ version: 2, changed: true });
    expect(await historyOf(cache)).toEqual(['default 1 set a', 'default 2 set a']);
  });

  it('writes an update for a delete or a clear only if it changes something', async () => {
    const { cache } = makeCache();
    expect(await cache.delete('a', 'n')).toEqual({ version: 0, position: 0, changed: false });
    expect(await cache.clearNamespace('n')).toMatchObject({ version: 0, changed: false });
    expect(await cache.dropNamespace('n')).toMatchObject({ version: 0, changed: false });
    expect(await cache.touch('a', 'n', { ttl: 5 })).toMatchObject({ version: 0, changed: false });
    expect(cache.position).toBe(0);
    await cache.set('a', 1, 'n');
    await cache.delete('a', 'n');
    expect(await cache.delete('a', 'n')).toEqual({ version: 2, position: 2, changed: false });
    expect(await cache.clearNamespace('n')).toEqual({ version: 2, position: 2, changed: false });
    expect(await cache.batch([], 'n')).toEqual({ version: 2, position: 2, changed: false });
    expect(await cache.setMany({}, 'n')).toEqual({ version: 2, position: 2, changed: false });
    expect(cache.position).toBe(2);
  });

  it('counts the updates of one namespace in its version', async () => {
    const { cache } = makeCache();
    await cache.set('a', 1, 'n');
    await cache.set('a', 1, 'm');
    await cache.batch(
      [
        { operation: 'set', key: 'b', value: 1 },
        { operation: 'touch', key: 'b', ttl: 100 },
        { operation: 'delete', key: 'a' },
      ],
      'n',
    );
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'm 1 set a', 'n 2 set b', 'n 3 touch b', 'n 4 delete a']);
    expect(cache.entry('b', 'n')?.version).toBe(3);
    expect((await logOf(cache)).map(({ position }) => position)).toEqual([1, 2, 3, 4, 5]);
  });

  it('always lists default, lists a cleared namespace until it is dropped, and creates none by a read', async () => {
    const { cache } = makeCache();
    expect(cache.listNamespaces()).toEqual(['default']);
    cache.get('a', 'read');
    cache.listKeys('listed');
    await cache.delete('a', 'deleted');
    await cache.batch([], 'batched');
    await cache.batch([{ operation: 'delete', key: 'a' }], 'batched');
    await codeOf(cache.set('a', 1, 'conflict', { ifVersion: 3 }));
    expect(cache.listNamespaces()).toEqual(['default']);
    await cache.set('a', 1, 'n');
    await cache.clearNamespace('n');
    expect(cache.listNamespaces()).toEqual(['default', 'n']);
    await cache.dropNamespace('n');
    expect(cache.listNamespaces()).toEqual(['default']);
    await cache.set('a', 1);
    await cache.dropNamespace('default');
    expect(cache.listNamespaces()).toEqual(['default']);
    expect(cache.get('a')).toBeUndefined();
  });

  it('keeps no memory for a missing namespace that was read', async () => {
    const { cache } = makeCache();
    await cache.batch([], 'a');
    await cache.batch([{ operation: 'delete', key: 'a' }], 'b');
    await codeOf(cache.set('a', 1, 'c', { ifVersion: 3 }));
    await codeOf(cache.delete('a', 'd', { ifVersion: 3 }));
    expect(cache.health().namespaces).toMatchObject({ total: 0, resident: 0 });
  });

  it('lists namespaces by code point', async () => {
    const { cache } = makeCache();
    for (const name of ['\uFFFF', '\u{1F98A}', 'ä', 'a', 'Z']) await cache.set('a', 1, name);
    expect(cache.listNamespaces()).toEqual(['Z', 'a', 'default', 'ä', '\uFFFF', '\u{1F98A}']);
  });

  it('begins a dropped namespace again above the versions that it had', async () => {
    const { cache } = makeCache();
    await cache.set('a', 1, 'n');
    await cache.set('b', 1, 'n');
    expect(await cache.dropNamespace('n')).toEqual({ version: 3, position: 3, changed: true });
    expect(cache.health().namespaces).toMatchObject({ total: 0, resident: 0 });
    expect(await cache.set('a', 2, 'n', { ifVersion: 0 })).toEqual({ version: 4, position: 4, changed: true });
    expect(cache.entry('a', 'n')).toMatchObject({ version: 4 });
    const drop = (await logOf(cache))[2];
    expect(drop).toMatchObject({ operation: 'clear_namespace', drop: true, key: null, value: null });
  });
});

describe('conditions', () => {
  it('accept the write or refuse it with the current entry', async () => {
    const { cache } = makeCache();
    await cache.set('a', { x: 1 }, 'n', { ifVersion: 0 });
    const error = await cache.set('a', 2, 'n', { ifVersion: 0 }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(VersionConflictError);
    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', namespace: 'n', key: 'a', expected: 0 });
    expect((error as VersionConflictError).current).toEqual(cache.entry('a', 'n'));
    expect(await cache.set('a', 2, 'n', { ifVersion: 1 })).toMatchObject({ version: 2 });
    expect(await codeOf(cache.delete('a', 'n', { ifVersion: 1 }))).toBe('VERSION_CONFLICT');
    expect(await codeOf(cache.touch('a', 'n', { ifVersion: 1, ttl: 5 }))).toBe('VERSION_CONFLICT');
    expect(await cache.delete('a', 'n', { ifVersion: 2 })).toMatchObject({ version: 3, changed: true });
    const absent = await cache.set('a', 3, 'n', { ifVersion: 2 }).catch((thrown: VersionConflictError) => thrown);
    expect(absent).toMatchObject({ code: 'VERSION_CONFLICT', expected: 2, current: undefined });
    expect(await codeOf(cache.set('a', 3, 'new', { ifVersion: 5 }))).toBe('VERSION_CONFLICT');
    expect(await codeOf(cache.delete('a', 'newer', { ifVersion: 5 }))).toBe('VERSION_CONFLICT');
  });

  it('make a batch all or nothing, whichever operation fails', async () => {
    const { cache } = makeCache();
    await cache.set('a', 0);
    const operations = [
      { operation: 'set', key: 'a', value: 1 },
      { operation: 'delete', key: 'b', ifVersion: 9 },
      { operation: 'set', key: 'c', value: 1 },
    ] as const;
    const error = await cache.batch(operations).catch((thrown: VersionConflictError) => thrown);
    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', key: 'b', expected: 9, current: undefined });
    expect(cache.get('a')).toBe(0);
    expect(cache.has('c')).toBe(false);
    expect(cache.position).toBe(1);
  });

  it('apply to setMany, which stores an object or pairs, all or none', async () => {
    const { cache, clock } = makeCache();
    expect(await cache.setMany({ a: 1, b: 2 }, 'n', { ttl: 10, agent: 'x' })).toEqual({
      version: 2,
      position: 2,
      changed: true,
    });
    await cache.setMany(new Map([['c', 3]]), 'n');
    await cache.setMany([['__proto__', 4]] as const, 'n');
    expect(cache.getMany(['a', 'b', 'c', '__proto__'], 'n')).toEqual([1, 2, 3, 4]);
    expect(cache.entry('a', 'n')).toMatchObject({ agent: 'x', expiresAt: START + 10 });
    clock.increment(10);
    expect(cache.listKeys('n').sort()).toEqual(['__proto__', 'c']);
  });
});

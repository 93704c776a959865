import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AgentContextCache, ContextCacheError, type JsonValue, VersionConflictError } from '../../src/index.ts';
import { codeOf, historyOf, logOf, makeCache, outcomeNow, START, turns } from './support.ts';

const unhandled: unknown[] = [];
const note = (reason: unknown) => void unhandled.push(reason);
beforeAll(() => void process.on('unhandledRejection', note));
afterAll(() => {
  process.off('unhandledRejection', note);
  expect(unhandled).toEqual([]);
});

describe('set, get and their kin', () => {
  it('are positional, with the namespace default', async () => {
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

  it('tell a stored null from a miss', async () => {
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

  it('give entries that say who wrote what and when, frozen', async () => {
    const { cache, clock } = makeCache();
    await cache.set('a', { b: [1] }, 'n', { agent: 'planner', ttl: '10s' });
    clock.increment(5);
    await cache.set('a', { b: [2] }, 'n');
    const entry = cache.entry('a', 'n');
    expect(entry).toEqual({ namespace: 'n', key: 'a', value: { b: [2] }, version: 2, createdAt: START, updatedAt: START + 5, expiresAt: null, agent: null });
    expect(Object.isFrozen(entry)).toBe(true);
    expect(cache.entries('n')).toEqual([entry]);
    expect(cache.entries('none')).toEqual([]);
  });

  it('keep a frozen copy: nobody changes the cache without an update', async () => {
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

  it('take any well-formed name: none is special', async () => {
    const { cache } = makeCache();
    const names = ['__proto__', 'constructor', 'a:b', '*', '>', ' ', 'a..b', '👩‍👩‍👧', 'namespace:x', 'xstate.stop', 'config', 'x'.repeat(1024)];
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
    ['an empty key', (cache) => cache.set('', 1), 'INVALID_NAME'],
    ['a key that is too long', (cache) => cache.set('€'.repeat(342), 1), 'INVALID_NAME'],
    ['an ill-formed namespace', (cache) => cache.set('a', 1, '\uD800'), 'INVALID_NAME'],
    ['a key that is no string', (cache) => cache.delete(5 as never), 'INVALID_NAME'],
    ['a Date', (cache) => cache.set('a', new Date() as never), 'INVALID_VALUE'],
    ['undefined', (cache) => cache.set('a', undefined as never), 'INVALID_VALUE'],
    ['NaN deep inside', (cache) => cache.set('a', { b: [Number.NaN] }), 'INVALID_VALUE'],
    ['a bad option', (cache) => cache.set('a', 1, 'default', { ttl: -1 }), 'INVALID_COMMAND'],
    ['an unknown command', (cache) => cache.ask({ type: 'context.steal' } as never), 'INVALID_COMMAND'],
    ['an unknown field', (cache) => cache.ask({ type: 'context.set', key: 'a', value: 1, force: true } as never), 'INVALID_COMMAND'],
    ['one bad step of a batch', (cache) => cache.batch([{ operation: 'set', key: 'a', value: 1 }, { operation: 'set', key: 'b', value: 1n as never }]), 'INVALID_VALUE'],
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

  it('read with a bad name is refused, too', () => {
    const { cache } = makeCache();
    for (const read of [() => cache.get(''), () => cache.has('a', ''), () => cache.entry('\uD800'), () => cache.listKeys(''), () => cache.getMany(['']), () => cache.entries('')]) {
      expect(read).toThrow(expect.objectContaining({ code: 'INVALID_NAME' }));
    }
  });
});

describe('updates and versions', () => {
  it('a set always makes an update, even of an equal value', async () => {
    const { cache } = makeCache();
    await cache.set('a', 1);
    expect(await cache.set('a', 1)).toMatchObject({ version: 2, changed: true });
    expect(await historyOf(cache)).toEqual(['default 1 set a', 'default 2 set a']);
  });

  it('a delete or a clear makes one only where it changes something', async () => {
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

  it('a version counts the updates of its namespace, and no other', async () => {
    const { cache } = makeCache();
    await cache.set('a', 1, 'n');
    await cache.set('a', 1, 'm');
    await cache.batch([{ operation: 'set', key: 'b', value: 1 }, { operation: 'touch', key: 'b', ttl: 100 }, { operation: 'delete', key: 'a' }], 'n');
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'm 1 set a', 'n 2 set b', 'n 3 touch b', 'n 4 delete a']);
    expect(cache.entry('b', 'n')?.version).toBe(3);
    expect((await logOf(cache)).map(({ position }) => position)).toEqual([1, 2, 3, 4, 5]);
  });

  it('default is always listed; a cleared namespace stays until it is dropped; reads make none', async () => {
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

  it('a namespace that was only asked in vain takes no memory', async () => {
    const { cache } = makeCache();
    await cache.batch([], 'a');
    await cache.batch([{ operation: 'delete', key: 'a' }], 'b');
    await codeOf(cache.set('a', 1, 'c', { ifVersion: 3 }));
    await codeOf(cache.delete('a', 'd', { ifVersion: 3 }));
    expect(cache.health().namespaces).toMatchObject({ total: 0, resident: 0 });
  });

  it('namespaces are listed by code point', async () => {
    const { cache } = makeCache();
    for (const name of ['\uFFFF', '\u{1F98A}', 'ä', 'a', 'Z']) await cache.set('a', 1, name);
    expect(cache.listNamespaces()).toEqual(['Z', 'a', 'default', 'ä', '\uFFFF', '\u{1F98A}']);
  });

  it('a dropped namespace begins anew at version 1', async () => {
    const { cache } = makeCache();
    await cache.set('a', 1, 'n');
    await cache.set('b', 1, 'n');
    expect(await cache.dropNamespace('n')).toEqual({ version: 3, position: 3, changed: true });
    expect(cache.health().namespaces).toMatchObject({ total: 0, resident: 0 });
    expect(await cache.set('a', 2, 'n', { ifVersion: 0 })).toEqual({ version: 1, position: 4, changed: true });
    expect(cache.entry('a', 'n')).toMatchObject({ version: 1 });
    const drop = (await logOf(cache))[2];
    expect(drop).toMatchObject({ operation: 'clear_namespace', drop: true, key: null, value: null });
  });
});

describe('conditions', () => {
  it('hold or are refused with the current entry', async () => {
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

  it('of a batch are all or nothing, wherever they fail', async () => {
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

  it('setMany stores an object or pairs, all or none, with the same options', async () => {
    const { cache, clock } = makeCache();
    expect(await cache.setMany({ a: 1, b: 2 }, 'n', { ttl: 10, agent: 'x' })).toEqual({ version: 2, position: 2, changed: true });
    await cache.setMany(new Map([['c', 3]]), 'n');
    await cache.setMany([['__proto__', 4]] as const, 'n');
    expect(cache.getMany(['a', 'b', 'c', '__proto__'], 'n')).toEqual([1, 2, 3, 4]);
    expect(cache.entry('a', 'n')).toMatchObject({ agent: 'x', expiresAt: START + 10 });
    clock.increment(10);
    expect(cache.listKeys('n').sort()).toEqual(['__proto__', 'c']);
  });
});

describe('expiry', () => {
  it.each<[string, object, number | null]>([
    ['ttl in milliseconds', { ttl: 500 }, START + 500],
    ['ttl as text', { ttl: '10s' }, START + 10_000],
    ['expiresAt as an instant', { expiresAt: START + 7 }, START + 7],
    ['expiresAt as a Date', { expiresAt: new Date(START + 8) }, START + 8],
    ['expiresAt null', { expiresAt: null }, null],
  ])('is given by %s', async (_what, options, expiresAt) => {
    const { cache, clock } = makeCache();
    await cache.set('a', 1, 'n', options);
    expect(cache.entry('a', 'n')?.expiresAt).toBe(expiresAt);
    clock.set((expiresAt ?? START + 1e9) - 1);
    expect(cache.get('a', 'n')).toBe(1);
    clock.increment(1);
    expect(cache.has('a', 'n')).toBe(expiresAt === null);
  });

  it('is an update that watch, subscribe and the log see', async () => {
    const { cache, clock } = makeCache();
    const heard: string[] = [];
    cache.subscribe(({ operation, key }) => heard.push(`${operation} ${key}`));
    const watch = cache.watch({ namespace: 'n' });
    await cache.set('a', 1, 'n', { ttl: 10 });
    await cache.set('b', 1, 'n', { ttl: 5 });
    clock.increment(20);
    await cache.flush();
    expect(heard).toEqual(['set a', 'set b', 'expire b', 'expire a']);
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'n 2 set b', 'n 3 expire b', 'n 4 expire a']);
    expect((await logOf(cache))[3]).toMatchObject({ key: 'a', value: null, replaced: 1, agent: null, at: START + 20, expiresAt: null });
    const seen: string[] = [];
    for await (const { operation, key } of watch) {
      seen.push(`${operation} ${key}`);
      if (seen.length === 4) break;
    }
    expect(seen).toEqual(heard);
    expect(cache.listNamespaces()).toEqual(['default', 'n']);
  });

  it('hides an entry at once, also where the sweep has not come yet', async () => {
    const { cache, clock } = makeCache();
    await cache.set('a', 1, 'n', { ttl: 10 });
    await cache.set('b', 2, 'n');
    // Time passes, but no timer has fired.
    vi.spyOn(clock, 'now').mockReturnValue(START + 10);
    expect(cache.get('a', 'n')).toBeUndefined();
    expect(cache.has('a', 'n')).toBe(false);
    expect(cache.entry('a', 'n')).toBeUndefined();
    expect(cache.entries('n').map(({ key }) => key)).toEqual(['b']);
    expect(cache.listKeys('n')).toEqual(['b']);
    expect(cache.getMany(['a', 'b'], 'n')).toEqual([undefined, 2]);
    expect(cache.position).toBe(2);
    const watch = cache.watch({ namespace: 'n', include: 'snapshot' });
    expect((await watch.next()).value).toMatchObject({ key: 'b', snapshot: true });
    expect(await cache.set('a', 3, 'n', { ifVersion: 0 })).toMatchObject({ version: 4 });
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'n 2 set b', 'n 3 expire a', 'n 4 set a']);
  });

  it('is judged by when a command was asked: a delete of what has expired changes nothing itself', async () => {
    const { cache, clock } = makeCache();
    await cache.set('a', 1, 'n', { ttl: 10 });
    vi.spyOn(clock, 'now').mockReturnValue(START + 10);
    expect(await cache.delete('a', 'n')).toMatchObject({ version: 2, changed: false });
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'n 2 expire a']);
  });

  it('can be put off, brought forward and taken back by touch, which leaves the value', async () => {
    const { cache, clock } = makeCache();
    await cache.set('a', { x: 1 }, 'n', { ttl: 10, agent: 'x' });
    clock.increment(9);
    expect(await cache.touch('a', 'n', { ttl: 10, agent: 'y' })).toMatchObject({ version: 2, changed: true });
    clock.increment(9);
    expect(cache.entry('a', 'n')).toMatchObject({ value: { x: 1 }, version: 2, agent: 'y', createdAt: START, expiresAt: START + 19 });
    await cache.touch('a', 'n', { expiresAt: null });
    clock.increment(1_000_000);
    expect(cache.get('a', 'n')).toEqual({ x: 1 });
    await cache.touch('a', 'n', { ttl: 1 });
    clock.increment(1);
    expect(cache.has('a', 'n')).toBe(false);
    expect((await historyOf(cache)).at(-1)).toBe('n 5 expire a');
    expect(await codeOf(cache.touch('a', 'n', {}))).toBe('INVALID_COMMAND');
  });

  it('is taken back by a set without one', async () => {
    const { cache, clock } = makeCache();
    await cache.set('a', 1, 'n', { ttl: 10 });
    await cache.set('a', 2, 'n');
    clock.increment(1_000);
    expect(cache.get('a', 'n')).toBe(2);
    expect(cache.position).toBe(2);
  });

  it('happens at once where the instant has passed', async () => {
    const { cache, clock } = makeCache();
    await cache.set('a', 1, 'n', { expiresAt: START - 1 });
    expect(cache.get('a', 'n')).toBeUndefined();
    clock.increment(0);
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'n 2 expire a']);
  });

  it('waits for far instants without firing early', async () => {
    const { cache, clock } = makeCache();
    await cache.set('a', 1, 'n', { ttl: '400 days' });
    await cache.set('b', 1, 'm', { ttl: '1s' });
    clock.increment(1_000);
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'm 1 set b', 'm 2 expire b']);
    clock.increment(400 * 86_400_000);
    expect(cache.position).toBe(4);
  });

  it('also comes for what a batch has set', async () => {
    const { cache, clock } = makeCache();
    await cache.batch([{ operation: 'set', key: 'a', value: 1, ttl: 5 }, { operation: 'set', key: 'b', value: 1 }, { operation: 'touch', key: 'b', ttl: 6 }], 'n');
    clock.increment(6);
    expect((await historyOf(cache)).slice(3)).toEqual(['n 4 expire a', 'n 5 expire b']);
  });
});

describe('update', () => {
  it('applies a synchronous function at once', async () => {
    const { cache } = makeCache();
    const done = cache.update('count', (count) => ((count as number | undefined) ?? 0) + 1, 'n');
    expect(cache.get('count', 'n')).toBe(1);
    expect(await done).toEqual({ version: 1, position: 1, changed: true });
    await Promise.all(Array.from({ length: 100 }, () => cache.update('count', (count) => (count as number) + 1, 'n')));
    expect(cache.get('count', 'n')).toBe(101);
  });

  it('tries an asynchronous function again where somebody wrote in between', async () => {
    const { cache } = makeCache();
    await Promise.all(
      Array.from({ length: 20 }, () =>
        cache.update(
          'count',
          async (count) => {
            await turns(1);
            return ((count as number | undefined) ?? 0) + 1;
          },
          'n',
        ),
      ),
    );
    expect(cache.get('count', 'n')).toBe(20);
    expect(cache.position).toBe(20);
  });

  it('sees a miss as undefined and null as null, and may leave it at that', async () => {
    const { cache, failures } = makeCache();
    const seen: unknown[] = [];
    const look = (value: JsonValue | undefined) => void seen.push(value);
    await cache.update('a', look, 'n');
    await cache.set('a', null, 'n');
    expect(await cache.update('a', look, 'n')).toMatchObject({ changed: false });
    expect(seen).toEqual([undefined, null]);
    expect(cache.position).toBe(1);
    expect(failures).toEqual([]);
  });

  it('answers with the version of the namespace where it has changed nothing', async () => {
    const { cache } = makeCache();
    await cache.set('a', 1, 'n');
    await cache.set('b', 1, 'n');
    expect(await cache.update('a', () => undefined, 'n')).toEqual({ version: 2, position: 2, changed: false });
  });

  it('rejects with what the function throws, and changes nothing', async () => {
    const { cache, failures } = makeCache();
    const failure = new Error('no');
    await expect(cache.update('a', () => { throw failure; })).rejects.toBe(failure);
    await expect(cache.update('a', async () => { throw failure; })).rejects.toBe(failure);
    expect(cache.position).toBe(0);
    expect(failures.map(({ error }) => error)).toEqual([failure, failure]);
    void cache.update('a', () => { throw failure; });
    await turns();
  });

  it('tells a failure once, however often it had to try', async () => {
    const { cache, failures } = makeCache();
    await cache.set('a', 0);
    let tries = 0;
    const done = cache.update('a', () => {
      tries += 1;
      if (tries === 4) throw new Error('enough');
      void cache.set('a', tries);
      return -1;
    });
    await expect(done).rejects.toThrow('enough');
    expect(failures).toHaveLength(1);
  });

  it('takes options, and keeps to an ifVersion of the caller', async () => {
    const { cache } = makeCache();
    await cache.set('a', 1, 'n');
    await cache.set('a', 2, 'n');
    expect(await cache.update('a', () => 3, 'n', { agent: 'x', ttl: 50, ifVersion: 2 })).toMatchObject({ version: 3 });
    expect(cache.entry('a', 'n')).toMatchObject({ agent: 'x', expiresAt: START + 50 });
    expect(await codeOf(cache.update('a', () => 4, 'n', { ifVersion: 2 }))).toBe('VERSION_CONFLICT');
    expect(cache.get('a', 'n')).toBe(3);
  });

  it('refuses a value that is none', async () => {
    const { cache } = makeCache();
    expect(await codeOf(cache.update('a', () => Number.NaN))).toBe('INVALID_VALUE');
    expect(await codeOf(cache.update('', () => 1))).toBe('INVALID_NAME');
    expect(cache.position).toBe(0);
  });
});

describe('getOrSet', () => {
  it('makes the value once for all who ask at the same time', async () => {
    const { cache } = makeCache();
    let made = 0;
    const make = async () => {
      made += 1;
      await turns(2);
      return { made };
    };
    const values = await Promise.all(Array.from({ length: 10 }, () => cache.getOrSet('a', make, 'n', { ttl: 10, agent: 'x' })));
    expect(made).toBe(1);
    for (const value of values) expect(value).toEqual({ made: 1 });
    expect(cache.entry('a', 'n')).toMatchObject({ agent: 'x', expiresAt: START + 10 });
    await cache.getOrSet('a', make, 'n');
    expect(made).toBe(1);
    await cache.getOrSet('a', make, 'm');
    expect(made).toBe(2);
  });

  it('gives what somebody else has set meanwhile', async () => {
    const { cache } = makeCache();
    const value = cache.getOrSet('a', async () => {
      await cache.set('a', 'theirs');
      return 'mine';
    });
    expect(await value).toBe('theirs');
    expect(cache.position).toBe(1);
  });

  it('asks again after a failure, and after the value has expired', async () => {
    const { cache, clock, failures } = makeCache();
    await expect(cache.getOrSet('a', () => { throw new Error('no'); })).rejects.toThrow('no');
    expect(failures).toHaveLength(1);
    expect(await cache.getOrSet('a', () => 1, 'default', { ttl: 5 })).toBe(1);
    vi.spyOn(clock, 'now').mockReturnValue(START + 5);
    expect(await cache.getOrSet('a', () => 2)).toBe(2);
    expect(await codeOf(cache.getOrSet('b', () => undefined as never))).toBe('INVALID_VALUE');
  });
});

describe('nobody has to await', () => {
  it('a conflict reaches onError and the health, and is no unhandled rejection', async () => {
    const { cache, failures } = makeCache();
    await cache.set('a', 1);
    void cache.set('a', 2, 'default', { ifVersion: 0 });
    void cache.set('', 1);
    void cache.set('a', Symbol('x') as never);
    void cache.delete('a', 'default', { ifVersion: 9 });
    void cache.batch([{ operation: 'set', key: 'a', value: 1, ifVersion: 0 }]);
    void cache.update('a', () => Number.NaN);
    void cache.getOrSet('new', () => Number.NaN);
    void cache.touch('a', 'default', {});
    await turns();
    await sleep(0);
    expect(failures.map(({ error }) => (error as ContextCacheError).code).sort()).toEqual([
      'INVALID_COMMAND',
      'INVALID_NAME',
      'INVALID_VALUE',
      'INVALID_VALUE',
      'INVALID_VALUE',
      'VERSION_CONFLICT',
      'VERSION_CONFLICT',
      'VERSION_CONFLICT',
    ]);
    expect(failures[0]?.source).toEqual({ source: 'command', command: 'context.set', namespace: 'default' });
    expect(cache.health().errors).toMatchObject({ count: 8, last: { code: 'INVALID_VALUE', at: START } });
    expect(cache.health().status).toBe('ok');
    expect(unhandled).toEqual([]);
  });

  it('an onError that throws harms nobody', async () => {
    const warnings: Error[] = [];
    const warn = (warning: Error) => void warnings.push(warning);
    process.on('warning', warn);
    const { cache } = makeCache({ onError: () => { throw new Error('onError'); } });
    expect(await codeOf(cache.set('', 1))).toBe('INVALID_NAME');
    expect(await cache.set('a', 1)).toMatchObject({ version: 1 });
    await turns();
    process.off('warning', warn);
    expect(warnings.some(({ message }) => message.includes('onError itself threw'))).toBe(true);
  });

  it('without onError a failure is a process warning, a conflict none', async () => {
    const warnings: Error[] = [];
    const warn = (warning: Error) => void warnings.push(warning);
    process.on('warning', warn);
    const cache = new AgentContextCache();
    void cache.set('a', 1);
    void cache.set('a', 2, 'default', { ifVersion: 0 });
    void cache.set('', 1);
    await turns();
    await cache.shutdown();
    process.off('warning', warn);
    expect(warnings.map(({ name }) => name)).toEqual(['ContextCacheWarning']);
  });
});

describe('ask', () => {
  it('answers every command that needs no server', async () => {
    const { cache } = makeCache({ natsUrl: null });
    expect(await cache.ask({ type: 'context.set', key: 'a', value: 1, namespace: 'n' })).toEqual({ version: 1, position: 1, changed: true });
    expect(await cache.ask({ type: 'context.get', key: 'a', namespace: 'n' })).toBe(1);
    expect(await cache.ask({ type: 'context.has', key: 'a', namespace: 'n' })).toBe(true);
    expect(await cache.ask({ type: 'context.has', key: 'a' })).toBe(false);
    expect(await cache.ask({ type: 'context.entry', key: 'a', namespace: 'n' })).toEqual(cache.entry('a', 'n'));
    expect(await cache.ask({ type: 'context.keys', namespace: 'n' })).toEqual(['a']);
    expect(await cache.ask({ type: 'context.namespaces' })).toEqual(['default', 'n']);
    expect(await cache.ask({ type: 'context.touch', key: 'a', namespace: 'n', ttl: 5 })).toMatchObject({ version: 2 });
    expect(await cache.ask({ type: 'context.batch', namespace: 'n', operations: [{ operation: 'delete', key: 'a' }] })).toMatchObject({ version: 3 });
    expect(await cache.ask({ type: 'context.delete', key: 'a', namespace: 'n' })).toMatchObject({ changed: false });
    expect(await cache.ask({ type: 'context.clear', namespace: 'n' })).toMatchObject({ changed: false });
    expect(await cache.ask({ type: 'context.drop', namespace: 'n' })).toMatchObject({ changed: true });
    expect(await cache.ask({ type: 'topics.set', topics: ['a.b'] })).toEqual(['a.b']);
    expect(await cache.ask({ type: 'topics.add', topic: 'c' })).toEqual(['a.b', 'c']);
    expect(await cache.ask({ type: 'topics.remove', topic: 'a.b' })).toEqual(['c']);
    expect(await cache.ask({ type: 'topics.list' })).toEqual(['c']);
    expect(await cache.ask({ type: 'cache.flush' })).toBeUndefined();
    expect(await cache.ask({ type: 'cache.health' })).toMatchObject({ status: 'ok', log: { head: 4 } });
    expect(await codeOf(cache.ask({ type: 'context.backup' }))).toBe('INVALID_OPTION');
    expect(await codeOf(cache.ask({ type: 'backup.status' }))).toBe('INVALID_OPTION');
    expect(await codeOf(cache.ask({ type: 'namespace.restart', namespace: 'none' }))).toBe('NOT_FOUND');
    expect(await codeOf(cache.ask({ type: 'namespace.restart', namespace: '' }))).toBe('INVALID_NAME');
    expect(await cache.ask({ type: 'namespace.passivate', namespace: 'none' })).toBe(false);
    await cache.ask({ type: 'context.set', key: 'a', value: 1 });
    expect(await cache.ask({ type: 'namespace.passivate', namespace: 'default' })).toBe(false);
    expect(await cache.ask({ type: 'namespace.restart', namespace: 'default' })).toBeUndefined();
    expect(cache.get('a')).toBe(1);
  });

  it('rejects, and tells nobody else', async () => {
    const { cache, failures } = makeCache();
    expect(await codeOf(cache.ask({ type: 'context.set', key: '', value: 1 }))).toBe('INVALID_NAME');
    expect(await codeOf(cache.ask({ type: 'context.set', key: 'a', value: 1, ifVersion: 4 }))).toBe('VERSION_CONFLICT');
    expect(await codeOf(cache.ask(null as never))).toBe('INVALID_COMMAND');
    expect(await codeOf(cache.ask({ type: 1n } as never))).toBe('INVALID_COMMAND');
    expect(await codeOf(cache.ask({ type: 'xstate.stop' } as never))).toBe('INVALID_COMMAND');
    expect(failures).toEqual([]);
    expect(cache.get('a')).toBeUndefined();
  });

  it('can be given up by its signal', async () => {
    const { cache } = makeCache();
    const reason = new Error('enough');
    await expect(cache.ask({ type: 'context.set', key: 'a', value: 1 }, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(cache.get('a')).toBeUndefined();
    const controller = new AbortController();
    const done = cache.ask({ type: 'cache.flush' }, { signal: controller.signal });
    controller.abort(reason);
    await expect(done).rejects.toBe(reason);
  });
});

describe('a namespace handle', () => {
  it('has all of it, and makes no namespace by itself', async () => {
    const { cache, clock } = makeCache();
    const trip = cache.namespace('trip');
    expect(trip.name).toBe('trip');
    expect(trip.get('a')).toBeUndefined();
    expect(cache.listNamespaces()).toEqual(['default']);
    const heard: (string | null)[] = [];
    const stop = trip.subscribe(({ key }) => heard.push(key));
    const watch = trip.watch({ keys: ['c'] });
    await trip.set('a', 1, { agent: 'x' });
    await trip.setMany({ b: 2, c: 3 });
    await trip.batch([{ operation: 'set', key: 'd', value: 4 }]);
    await trip.update('a', (value) => (value as number) + 1);
    expect(await trip.getOrSet('e', () => 5)).toBe(5);
    await trip.touch('e', { ttl: 5 });
    expect(trip.getMany(['a', 'b'])).toEqual([2, 2]);
    expect(trip.has('e')).toBe(true);
    expect(trip.entry('e')).toMatchObject({ namespace: 'trip', expiresAt: START + 5 });
    clock.increment(5);
    expect(trip.listKeys().sort()).toEqual(['a', 'b', 'c', 'd']);
    await trip.delete('d', { ifVersion: 4 });
    await cache.set('a', 1, 'other');
    await trip.clear({ agent: 'y' });
    await trip.drop();
    stop();
    expect(heard).toEqual(['a', 'b', 'c', 'd', 'a', 'e', 'e', 'e', 'd', null, null]);
    expect((await watch.next()).value).toMatchObject({ namespace: 'trip', key: 'c' });
    expect((await watch.next()).value).toMatchObject({ operation: 'clear_namespace', agent: 'y' });
    await watch.return?.();
  });
});

describe('shutdown', () => {
  it('twice is fine and gives the same; commands after it are refused, reads go on', async () => {
    const { cache, failures } = makeCache();
    await cache.set('a', 1);
    const first = cache.shutdown();
    expect(cache.shutdown()).toBe(first);
    const late = cache.set('a', 2);
    expect(await first).toEqual({ undelivered: [], unfinishedCommands: false, backupError: undefined });
    expect(await codeOf(late)).toBe('CLOSED');
    for (const again of [cache.set('a', 3), cache.delete('a'), cache.batch([]), cache.update('a', () => 1), cache.getOrSet('b', () => 1), cache.ask({ type: 'context.clear' }), cache.dropNamespace('default'), cache.setMany({ a: 1 })])
      expect(await codeOf(again)).toBe('CLOSED');
    expect(cache.get('a')).toBe(1);
    expect(cache.health().status).toBe('closed');
    expect(failures.every(({ error }) => (error as ContextCacheError).code === 'CLOSED')).toBe(true);
    await cache.shutdown();
  });

  it('is what disposing does', async () => {
    const { cache } = makeCache();
    await cache[Symbol.asyncDispose]();
    expect(cache.health().status).toBe('closed');
  });

  it('delivers what is committed to subscribers before it ends', async () => {
    const { cache } = makeCache();
    const heard: (string | null)[] = [];
    cache.subscribe(({ key }) => heard.push(key));
    void cache.set('a', 1);
    await cache.shutdown();
    expect(heard).toEqual(['a']);
  });

  it('leaves no timer and no listener of the process', async () => {
    await turns();
    const before = process.getActiveResourcesInfo().sort();
    const cache = new AgentContextCache({ backup: {} });
    await cache.set('a', 1, 'default', { ttl: '1h' });
    void cache.watch();
    const stop = cache.subscribe(() => {});
    await cache.synced();
    stop();
    await cache.shutdown();
    await turns();
    expect(process.getActiveResourcesInfo().sort()).toEqual(before);
  });

  it('refuses control commands afterwards, so that nothing is started again', async () => {
    const { cache } = makeCache();
    await cache.shutdown();
    expect(await codeOf(cache.setTopicsList(['a']))).toBe('CLOSED');
    expect(await codeOf(cache.addTopic('a'))).toBe('CLOSED');
    expect(await codeOf(cache.ask({ type: 'topics.add', topic: 'a' }))).toBe('CLOSED');
    expect(cache.health().followers.filter(({ name }) => name === 'broadcaster')).toEqual([]);
  });

  it('ends every watch, also one that begins afterwards', async () => {
    const { cache } = makeCache();
    const watch = cache.watch();
    await cache.set('a', 1);
    await cache.shutdown();
    const seen: unknown[] = [];
    for await (const update of watch) seen.push(update.key);
    expect(seen).toEqual(['a']);
    expect(await outcomeNow(cache.watch().next())).toEqual({ value: { done: true, value: undefined } });
  });

  it('settles a command that comes while it lets go of the last things', async () => {
    const { LateCache } = await import('./support.ts');
    const primary = new LateCache();
    const { cache } = makeCache({ primaryCache: primary });
    let late: Promise<unknown> | undefined;
    Object.assign(primary, {
      close: () => {
        late = cache.set('a', 1);
      },
    });
    await cache.shutdown();
    expect(await outcomeNow(late as Promise<unknown>)).toMatchObject({ error: { code: 'CLOSED' } });
  });
});

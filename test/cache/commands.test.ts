import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentContextCache, type ContextCacheError } from '../../src/index.ts';
import { codeOf, makeCache, START, turns } from '../support/cache.ts';

const unhandled: unknown[] = [];
const note = (reason: unknown) => void unhandled.push(reason);
beforeAll(() => void process.on('unhandledRejection', note));
afterAll(() => {
  process.off('unhandledRejection', note);
  expect(unhandled).toEqual([]);
});

describe('a write that is not awaited', () => {
  it('reports a conflict to onError and health(), without an unhandled rejection', async () => {
    const { cache, failures } = makeCache();
    await cache.set('a', 1);
    void cache.set('a', 2, 'default', { ifVersion: 0 });
    void cache.set('\uD800', 1);
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

  it('survives an onError that throws', async () => {
    const warnings: Error[] = [];
    const warn = (warning: Error) => void warnings.push(warning);
    process.on('warning', warn);
    const { cache } = makeCache({
      onError: () => {
        throw new Error('onError');
      },
    });
    void cache.set('\uD800', 1);
    expect(await cache.set('a', 1)).toMatchObject({ version: 1 });
    await turns();
    process.off('warning', warn);
    expect(warnings.some(({ message }) => message.includes('onError itself threw'))).toBe(true);
  });

  it('emits a process warning for a failure without onError, but not for a conflict', async () => {
    const warnings: Error[] = [];
    const warn = (warning: Error) => void warnings.push(warning);
    process.on('warning', warn);
    const cache = new AgentContextCache();
    void cache.set('a', 1);
    void cache.set('a', 2, 'default', { ifVersion: 0 });
    void cache.set('\uD800', 1);
    await turns();
    await cache.shutdown();
    process.off('warning', warn);
    expect(warnings.map(({ name }) => name)).toEqual(['ContextCacheWarning']);
  });
});

describe('ask', () => {
  it('answers every command that needs no server', async () => {
    const { cache } = makeCache({ natsUrl: null });
    expect(await cache.ask({ type: 'context.set', key: 'a', value: 1, namespace: 'n' })).toEqual({
      version: 1,
      position: 1,
      changed: true,
    });
    expect(await cache.ask({ type: 'context.get', key: 'a', namespace: 'n' })).toBe(1);
    expect(await cache.ask({ type: 'context.has', key: 'a', namespace: 'n' })).toBe(true);
    expect(await cache.ask({ type: 'context.has', key: 'a' })).toBe(false);
    expect(await cache.ask({ type: 'context.entry', key: 'a', namespace: 'n' })).toEqual(cache.entry('a', 'n'));
    expect(await cache.ask({ type: 'context.keys', namespace: 'n' })).toEqual(['a']);
    expect(await cache.ask({ type: 'context.namespaces' })).toEqual(['default', 'n']);
    expect(await cache.ask({ type: 'context.touch', key: 'a', namespace: 'n', ttl: 5 })).toMatchObject({ version: 2 });
    expect(
      await cache.ask({ type: 'context.batch', namespace: 'n', operations: [{ operation: 'delete', key: 'a' }] }),
    ).toMatchObject({ version: 3 });
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

  it('rejects without reporting the failure elsewhere', async () => {
    const { cache, failures } = makeCache();
    expect(await codeOf(cache.ask({ type: 'context.set', key: '\uD800', value: 1 }))).toBe('INVALID_NAME');
    expect(await codeOf(cache.ask({ type: 'context.set', key: 'a', value: 1, ifVersion: 4 }))).toBe('VERSION_CONFLICT');
    expect(await codeOf(cache.ask(null as never))).toBe('INVALID_COMMAND');
    expect(await codeOf(cache.ask({ type: 1n } as never))).toBe('INVALID_COMMAND');
    expect(await codeOf(cache.ask({ type: 'xstate.stop' } as never))).toBe('INVALID_COMMAND');
    expect(failures).toEqual([]);
    expect(cache.get('a')).toBeUndefined();
  });

  it('stops waiting when its signal aborts', async () => {
    const { cache } = makeCache();
    const reason = new Error('enough');
    await expect(
      cache.ask({ type: 'context.set', key: 'a', value: 1 }, { signal: AbortSignal.abort(reason) }),
    ).rejects.toBe(reason);
    expect(cache.get('a')).toBeUndefined();
    const controller = new AbortController();
    const done = cache.ask({ type: 'cache.flush' }, { signal: controller.signal });
    controller.abort(reason);
    await expect(done).rejects.toBe(reason);
  });
});

describe('a namespace handle', () => {
  it('has all methods for one namespace and does not create the namespace', async () => {
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

describe('cache.reached as a command', () => {
  it('waits no longer than 30 s, however long the caller asks for', async () => {
    const { cache, clock } = makeCache();
    const asked = codeOf(cache.ask({ type: 'cache.reached', position: 9, timeoutMs: '1h' }));
    await turns();
    clock.increment(30_000);
    expect(await Promise.race([asked, sleep(500)])).toBe('TIMED_OUT');
  });
});

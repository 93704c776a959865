import { afterEach, describe, expect, it, vi } from 'vitest';
import type { ContextCacheError } from '../../src/index.ts';
import { makeCache, outcomeNow, turns } from '../support/cache.ts';

afterEach(() => void vi.restoreAllMocks());

describe('the supervisor', () => {
  it('spawns a namespace for a write, and never for a read or a delete of a missing key', async () => {
    const { cache } = makeCache();
    const resident = () => cache.health().namespaces.resident;
    cache.get('a', 'n');
    cache.entry('a', 'n');
    cache.listKeys('n');
    await cache.delete('a', 'n');
    await cache.clearNamespace('n');
    cache.supervisor.send({ type: 'context.get', namespace: 'n', key: 'a' });
    expect(resident()).toBe(0);
    await cache.set('a', 1, 'n');
    await cache.set('b', 1, 'n');
    expect(resident()).toBe(1);
  });

  it('accepts commands as messages', async () => {
    const { cache, failures } = makeCache({ natsUrl: null });
    cache.supervisor.send({ type: 'context.set', namespace: 'n', key: 'a', value: 1, agent: 'x' });
    expect(cache.entry('a', 'n')).toMatchObject({ value: 1, agent: 'x' });
    cache.supervisor.send({
      type: 'context.batch',
      namespace: 'n',
      operations: [{ operation: 'set', key: 'b', value: 2 }],
    });
    cache.supervisor.send({ type: 'topics.add', topic: 'a' });
    cache.supervisor.send({ type: 'context.drop', namespace: 'n' });
    await turns();
    expect(cache.getTopicsList()).toEqual(['a']);
    expect(cache.listNamespaces()).toEqual(['default']);
    expect(failures).toEqual([]);
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['undefined', undefined],
    ['a string', 'context.clear'],
    ['a number', 5],
    ['nothing', {}],
    ['an array', []],
    ['a type that is no string', { type: 5 }],
    ['a type that is an object', { type: {} }],
    ['an unknown type', { type: 'nonsense' }],
    ['an unknown type of ours', { type: 'context.steal' }],
    ['an unknown field', { type: 'context.clear', force: true }],
    ['a missing field', { type: 'context.set', key: 'a' }],
    ['the end of an actor', { type: 'xstate.stop' }],
    ['the beginning of an actor', { type: 'xstate.init' }],
    ['a feigned crash', { type: 'xstate.error.actor.namespace:n', actorId: 'namespace:n', error: new Error('no') }],
    ['a feigned end', { type: 'xstate.done.actor.namespace:n', actorId: 'namespace:n', output: undefined }],
    ['the end of the supervisor', { type: 'supervisor.stop' }],
    ['the draining of the supervisor', { type: 'supervisor.drain' }],
    ['an event of the namespace', { type: 'namespace.expire', at: 1e15 }],
    ['a wildcard', { type: '*' }],
  ])('refuses %s: onError hears of it, nothing changes, all goes on', async (_what, message) => {
    const { cache, clock, failures } = makeCache();
    await cache.set('a', 1, 'n', { ttl: 100 });
    expect(() => cache.supervisor.send(message as never)).not.toThrow();
    await turns();
    expect(failures.map(({ error }) => (error as ContextCacheError).code)).toEqual(['INVALID_COMMAND']);
    expect(failures[0]?.source.source).toBe('command');
    expect(cache.position).toBe(1);
    expect(cache.get('a', 'n')).toBe(1);
    expect(cache.supervisor.getSnapshot().status).toBe('active');
    expect(cache.health()).toMatchObject({ status: 'ok', namespaces: { resident: 1, restarts: 0 } });
    expect(await outcomeNow(cache.set('b', 2, 'n'))).toMatchObject({ value: { version: 2 } });
    clock.increment(100);
    expect(cache.has('a', 'n')).toBe(false);
  });

  it.each<[string, object, string]>([
    ['a bad key', { type: 'context.set', key: '\uD800', value: 1 }, 'INVALID_NAME'],
    ['a bad value', { type: 'context.set', key: 'a', value: 1n }, 'INVALID_VALUE'],
    ['a bad option', { type: 'context.set', key: 'a', value: 1, ttl: 0 }, 'INVALID_COMMAND'],
    ['a condition that does not hold', { type: 'context.set', key: 'a', value: 1, ifVersion: 7 }, 'VERSION_CONFLICT'],
    ['a bad topic', { type: 'topics.add', topic: 'a.*' }, 'INVALID_NAME'],
    ['a namespace that is not there', { type: 'namespace.restart', namespace: 'none' }, 'NOT_FOUND'],
  ])('tells onError of %s', async (_what, command, code) => {
    const { cache, failures } = makeCache({ natsUrl: null });
    cache.supervisor.send(command as never);
    await turns();
    expect(failures).toHaveLength(1);
    expect(failures[0]).toMatchObject({ source: { source: 'command', command: (command as { type: string }).type } });
    if (code !== 'INVALID_NAME' || !('topic' in command)) expect(failures[0]?.error).toMatchObject({ code });
  });

  it('refuses every command while it shuts down and after', async () => {
    const { cache, failures } = makeCache({ natsUrl: null });
    const done = cache.shutdown();
    cache.supervisor.send({ type: 'context.set', key: 'a', value: 1 });
    cache.supervisor.send({ type: 'topics.add', topic: 'a' });
    cache.supervisor.send({ type: 'cache.flush' });
    await done;
    cache.supervisor.send({ type: 'context.set', key: 'a', value: 1 });
    await turns();
    expect(failures.map(({ error }) => (error as ContextCacheError).code)).toEqual([
      'CLOSED',
      'CLOSED',
      'CLOSED',
      'CLOSED',
    ]);
    expect(cache.get('a')).toBeUndefined();
  });

  it('executes commands sent from onError, also to the namespace that failed', async () => {
    const answers: Promise<unknown>[] = [];
    const { cache } = makeCache({
      onError: () => {
        if (answers.length < 2) answers.push(cache.set('again', 1, 'n'), cache.set('other', 1, 'm'));
      },
    });
    cache.supervisor.send({ type: 'context.set', key: 'a', value: 1, namespace: 'n', ifVersion: 9 });
    expect(await outcomeNow(Promise.all(answers))).toMatchObject({ value: [{ version: 1 }, { version: 1 }] });
    expect(cache.listKeys('n')).toEqual(['again']);
  });

  it('keeps its snapshot and can be observed', async () => {
    const { cache } = makeCache();
    const seen: unknown[] = [];
    const { unsubscribe } = cache.supervisor.subscribe((snapshot) => seen.push(snapshot.value));
    expect(cache.supervisor.getSnapshot().value).toBe('running');
    await cache.shutdown();
    unsubscribe();
    expect(seen).toContain('draining');
  });
});

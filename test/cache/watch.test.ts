import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AgentContextCache, ContextCacheError, JsonValue, WatchedUpdate } from '../../src/index.ts';
import {
  anyDataCommand,
  codeOf,
  foldValues,
  LateCache,
  logOf,
  makeCache,
  outcomeNow,
  turns,
} from '../support/cache.ts';
import { fcOptions } from '../support/property.ts';

/** Takes the next updates, in short form. */
async function take(watch: AsyncIterator<WatchedUpdate>, count: number): Promise<string[]> {
  const taken: string[] = [];
  for (let i = 0; i < count; i += 1) {
    const { value, done } = await watch.next();
    if (done) return [...taken, 'end'];
    taken.push(`${value.snapshot ? 'snapshot ' : ''}${value.namespace} ${value.operation} ${value.key}`);
  }
  return taken;
}

const caseOf = (...more: string[]) => more;

describe('watch', () => {
  it('yields the updates after the call in order, even those before the first read', async () => {
    const { cache } = makeCache();
    await cache.set('before', 1);
    const watch = cache.watch();
    await cache.set('a', 1);
    await cache.delete('a');
    await cache.set('b', 2, 'n');
    expect(await take(watch, 3)).toEqual(['default set a', 'default delete a', 'n set b']);
    const next = watch.next();
    expect(await outcomeNow(next)).toBe('pending');
    void cache.clearNamespace('n');
    expect((await next).value).toMatchObject({
      operation: 'clear_namespace',
      key: null,
      value: null,
      snapshot: false,
      skipped: 0,
    });
    await watch.return?.();
  });

  it('yields only updates of the given namespaces and keys', async () => {
    const { cache } = makeCache();
    const one = cache.watch({ namespace: 'n' });
    const several = cache.watch({ namespace: ['n', 'm'] });
    const keys = cache.watch({ namespace: 'n', keys: ['a', 'c'] });
    const anywhere = cache.watch({ keys: ['a'] });
    await cache.set('a', 1, 'n');
    await cache.set('b', 1, 'n');
    await cache.set('a', 1, 'm');
    await cache.set('a', 1, 'other');
    await cache.clearNamespace('n');
    await cache.shutdown();
    expect(await take(one, 9)).toEqual(caseOf('n set a', 'n set b', 'n clear_namespace null', 'end'));
    expect(await take(several, 9)).toEqual(caseOf('n set a', 'n set b', 'm set a', 'n clear_namespace null', 'end'));
    expect(await take(keys, 9)).toEqual(caseOf('n set a', 'n clear_namespace null', 'end'));
    expect(await take(anywhere, 9)).toEqual(
      caseOf('n set a', 'm set a', 'other set a', 'n clear_namespace null', 'end'),
    );
  });

  it('accepts lists that name a namespace or key twice', async () => {
    const { cache } = makeCache();
    await cache.set('a', 0, 'n');
    const watch = cache.watch({ namespace: ['n', 'n'], keys: ['a', 'a'], include: 'snapshot' });
    await cache.set('a', 1, 'n');
    await cache.shutdown();
    expect(await take(watch, 9)).toEqual(['snapshot n set a', 'n set a', 'end']);
  });

  it('starts with the present entries and continues without gap or duplicate', async () => {
    const { cache } = makeCache();
    await cache.set('a', 1, 'n', { agent: 'x' });
    await cache.set('b', 2, 'm');
    // Not committed yet when the watch starts.
    void cache.set('a', 3, 'n');
    const watch = cache.watch({ include: 'snapshot' });
    void cache.set('a', 4, 'n');
    const seen = await take(watch, 3);
    expect(seen.slice(0, 2).sort()).toEqual(['snapshot m set b', 'snapshot n set a']);
    expect(seen[2]).toBe('n set a');
    expect(await outcomeNow(watch.next())).toBe('pending');
    await cache.shutdown();
  });

  it('yields version, agent and position with each entry of a snapshot', async () => {
    const { cache } = makeCache();
    await cache.set('a', 1, 'n', { agent: 'x', ttl: 100 });
    await cache.set('b', 1, 'm');
    const watch = cache.watch({ include: 'snapshot', namespace: 'n' });
    const { value } = await watch.next();
    expect(value).toMatchObject({
      snapshot: true,
      version: 1,
      agent: 'x',
      value: 1,
      position: 2,
      operation: 'set',
      expiresAt: 1_000_100,
    });
    await watch.return?.();
  });

  it('yields the updates in the log since a position, then new ones', async () => {
    const { cache } = makeCache();
    for (const key of ['a', 'b', 'c']) await cache.set(key, 1);
    await cache.set('other', 1, 'n');
    const watch = cache.watch({ since: 1, namespace: 'default' });
    await cache.set('d', 1);
    expect(await take(watch, 3)).toEqual(['default set b', 'default set c', 'default set d']);
    await watch.return?.();
    const all = cache.watch({ since: 0 });
    expect((await take(all, 5)).length).toBe(5);
    await all.return?.();
  });

  it('yields nothing at or before since, even if that position is not committed yet', async () => {
    const { cache } = makeCache();
    await cache.set('a', 1);
    void cache.set('b', 1);
    const watch = cache.watch({ since: cache.position });
    const both = cache.watch({ since: 1 });
    void cache.set('c', 1);
    await cache.shutdown();
    expect(await take(watch, 9)).toEqual(['default set c', 'end']);
    expect(await take(both, 9)).toEqual(['default set b', 'default set c', 'end']);
  });

  it('rejects if the log no longer holds the position', async () => {
    const { cache } = makeCache({ log: { capacityUpdates: 2 } });
    for (const key of ['a', 'b', 'c', 'd']) await cache.set(key, 1);
    expect(await codeOf(cache.watch({ since: 0 }).next())).toBe('POSITION_UNAVAILABLE');
    expect(await take(cache.watch({ since: 2 }), 2)).toEqual(['default set c', 'default set d']);
  });

  it.each<[string, object]>([
    ['since and snapshot', { since: 0, include: 'snapshot' }],
    ['a negative since', { since: -1 }],
    ['a since beyond the head', { since: 5 }],
    ['a fractional since', { since: 1.5 }],
    ['no buffer', { bufferSize: 0 }],
    ['a buffer of NaN', { bufferSize: Number.NaN }],
  ])('refuses %s', (_what, options) => {
    const { cache } = makeCache();
    expect(() => cache.watch(options)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    expect(cache.health().watchers).toBe(0);
  });

  it('refuses a snapshot over a custom primary, which has the values', () => {
    const { cache } = makeCache({ primaryCache: new LateCache() });
    expect(() => cache.watch({ include: 'snapshot' })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });

  it('coalesces updates per key for a slow reader and counts the skipped ones', async () => {
    const { cache } = makeCache();
    const watch = cache.watch({ bufferSize: 3 });
    for (let i = 1; i <= 10; i += 1) await cache.set('a', i);
    await cache.set('b', 1);
    await cache.shutdown();
    const seen: [JsonValue, number][] = [];
    for await (const update of watch) seen.push([update.value, update.skipped]);
    const last = seen.filter(([value]) => value === 10);
    expect(last).toHaveLength(1);
    expect(seen.length).toBeLessThanOrEqual(3);
    expect(seen.length + seen.reduce((sum, [, skipped]) => sum + skipped, 0)).toBe(11);
  });

  it('keeps the last value of a key when it coalesces, whatever updates follow', async () => {
    const { cache } = makeCache();
    const watch = cache.watch({ bufferSize: 2 });
    await cache.set('a', 'the value');
    await cache.touch('a', 'default', { ttl: 1_000 });
    await cache.touch('a', 'default', { ttl: 2_000 });
    await cache.shutdown();
    const seen: WatchedUpdate[] = [];
    for await (const update of watch) seen.push(update);
    expect(foldValues(seen)).toEqual({ default: { a: 'the value' } });
  });

  it('leads to the state of the cache, however small its buffer', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyDataCommand, { maxLength: 40 }),
        fc.integer({ min: 30, max: 40 }),
        fc.nat(20),
        async (commands, bufferSize, after) => {
          const { cache } = makeCache();
          for (const command of commands.slice(0, after)) cache.supervisor.send(command);
          const watch = cache.watch({ include: 'snapshot', bufferSize });
          for (const command of commands.slice(after)) {
            cache.supervisor.send(command);
            await cache.flush();
          }
          await cache.shutdown();
          const seen: WatchedUpdate[] = [];
          for await (const update of watch) seen.push(update);
          expect(foldValues(seen)).toEqual(foldValues(await valuesOf(cache)));
        },
      ),
      fcOptions(100),
    );
  });

  it('fails with an error for a slow reader if coalescing does not help', async () => {
    const { cache } = makeCache();
    const watch = cache.watch({ bufferSize: 2 });
    for (const key of ['a', 'b', 'c']) await cache.set(key, 1);
    expect(await codeOf(watch.next())).toBe('WATCH_OVERFLOW');
    expect(await watch.next()).toEqual({ done: true, value: undefined });
    expect(cache.health().watchers).toBe(0);
  });

  it('ends with its signal after yielding the buffered updates', async () => {
    const { cache } = makeCache();
    const controller = new AbortController();
    const watch = cache.watch({ signal: controller.signal });
    await cache.set('a', 1);
    controller.abort();
    await cache.set('b', 1);
    expect(await take(watch, 9)).toEqual(['default set a', 'end']);
    expect(cache.health().watchers).toBe(0);
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    expect(await take(cache.watch({ signal: AbortSignal.abort() }), 1)).toEqual(['end']);
    expect(cache.health().watchers).toBe(0);
  });

  it('ends with break, and with return before the first read', async () => {
    const { cache } = makeCache();
    const watch = cache.watch();
    await cache.set('a', 1);
    for await (const { key } of watch) {
      expect(key).toBe('a');
      break;
    }
    const unused = cache.watch();
    await unused.return?.();
    expect(await unused.next()).toEqual({ done: true, value: undefined });
    expect(cache.health().watchers).toBe(0);
  });

  it('ends a waiting read when return is called', async () => {
    const { cache } = makeCache();
    const watch = cache.watch();
    const waiting = watch.next();
    await watch.return?.();
    expect(await waiting).toEqual({ done: true, value: undefined });
  });

  it('keeps the position that it had reached when it ended', async () => {
    const { cache } = makeCache();
    const watch = cache.watch({ namespace: 'quiet' });
    const waiting = watch.next();
    await cache.set('key', 1, 'other');
    expect(watch.position).toBe(1);
    await watch.return?.();
    await waiting;
    await cache.set('key', 2, 'other');
    expect(watch.position).toBe(1);
  });

  it('ends with the cache', async () => {
    const { cache } = makeCache();
    const watch = cache.watch();
    const waiting = watch.next();
    await cache.shutdown();
    expect(await waiting).toEqual({ done: true, value: undefined });
  });
});

/** Returns the content of the cache as `set` updates. */
async function valuesOf(cache: AgentContextCache) {
  return cache
    .listNamespaces()
    .flatMap((namespace) =>
      cache.entries(namespace).map(({ key, value }) => ({ namespace, key, value, operation: 'set' }) as WatchedUpdate),
    );
}

describe('subscribe', () => {
  it('calls the listener with each update once it is committed, until it is stopped', async () => {
    const { cache } = makeCache();
    const heard: string[] = [];
    const listener = ({ namespace, key }: { namespace: string; key: string | null }) =>
      void heard.push(`${namespace}/${key}`);
    const stop = cache.subscribe(listener, { namespace: 'n', keys: ['a'] });
    const twice = cache.subscribe(listener);
    void cache.set('a', 1, 'n');
    expect(heard).toEqual([]);
    await cache.set('b', 1, 'n');
    expect(heard.sort()).toEqual(['n/a', 'n/a', 'n/b']);
    stop();
    stop();
    await cache.set('a', 2, 'n');
    expect(heard).toHaveLength(4);
    twice();
    await cache.set('a', 2, 'n');
    expect(heard).toHaveLength(4);
    expect(cache.health().watchers).toBe(0);
  });

  it('reports a listener that throws to onError and calls the others', async () => {
    const { cache, failures } = makeCache();
    const heard: (string | null)[] = [];
    cache.subscribe(() => {
      throw new Error('listener');
    });
    cache.subscribe(({ key }) => heard.push(key));
    expect(await cache.set('a', 1, 'n')).toMatchObject({ version: 1 });
    await cache.set('b', 1, 'n');
    expect(heard).toEqual(['a', 'b']);
    expect(failures.map(({ error, source }) => [error.message, source.source, source.namespace])).toEqual([
      ['listener', 'watch', 'n'],
      ['listener', 'watch', 'n'],
    ]);
  });

  it('lets a listener write, even to the same namespace, in order', async () => {
    const { cache } = makeCache();
    const answers: Promise<unknown>[] = [];
    cache.subscribe(({ key, value }) => {
      if (key === 'count' && (value as number) < 5) answers.push(cache.set('count', (value as number) + 1, 'n'));
      if (key === 'count') cache.supervisor.send({ type: 'context.set', namespace: 'echo', key: 'last', value });
    });
    await cache.set('count', 1, 'n');
    await turns();
    expect(await Promise.all(answers)).toHaveLength(4);
    expect(cache.get('count', 'n')).toBe(5);
    expect(cache.get('last', 'echo')).toBe(5);
    const versions = (await logOf(cache)).filter(({ namespace }) => namespace === 'n').map(({ version }) => version);
    expect(versions).toEqual([1, 2, 3, 4, 5]);
  });

  it('lets a listener stop itself and others while it is called', async () => {
    const { cache } = makeCache();
    const heard: string[] = [];
    const stops: (() => void)[] = [];
    for (const name of ['x', 'y']) {
      stops.push(
        cache.subscribe(() => {
          heard.push(name);
          for (const stop of stops) stop();
        }),
      );
    }
    await cache.set('a', 1);
    await cache.set('b', 1);
    expect(heard).toEqual(['x']);
    expect(cache.health().watchers).toBe(0);
  });
});

describe('readLog', () => {
  it('yields a range of the log and rejects if the log no longer holds it', async () => {
    const { cache } = makeCache({ log: { capacityUpdates: 4 } });
    for (let i = 1; i <= 6; i += 1) await cache.set('a', i, i % 2 ? 'n' : 'm');
    const read = async (options: object) => {
      const positions: number[] = [];
      for await (const { position } of cache.readLog(options)) positions.push(position);
      return positions;
    };
    expect(await read({})).toEqual([3, 4, 5, 6]);
    expect(await read({ from: 4, to: 5 })).toEqual([4, 5]);
    expect(await read({ namespace: 'm' })).toEqual([4, 6]);
    expect(await read({ from: 7 })).toEqual([]);
    expect(await read({ to: 99 })).toEqual([3, 4, 5, 6]);
    const error = await read({ from: 1 }).catch((thrown: ContextCacheError) => thrown);
    expect(error).toMatchObject({ code: 'POSITION_UNAVAILABLE' });
  });
});

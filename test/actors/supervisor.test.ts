import { afterEach, describe, expect, it, vi } from 'vitest';
import { createActor, waitFor } from 'xstate';
import { createNamespaceLogic } from '../../src/actors/namespace.ts';
import { Admission } from '../../src/core/admission.ts';
import { apply } from '../../src/core/apply.ts';
import { NamespaceState } from '../../src/core/namespace-state.ts';
import { createValueCheck } from '../../src/core/schemas.ts';
import { DEFAULT_VALUE_LIMITS } from '../../src/core/value.ts';
import { type CacheOptions, type ContextCacheError, InMemoryContextCache, type Update } from '../../src/index.ts';
import { MemoryLog } from '../../src/log/memory-log.ts';
import { codeOf, historyOf, LateCache, logOf, makeCache, makeCacheOn, outcomeNow, turns } from '../cache/support.ts';

afterEach(() => void vi.restoreAllMocks());

/** A fold that breaks for one key, while `broken` says so. */
function fragile(key: string, operation: Update['operation'] = 'set') {
  const control = { broken: true, calls: 0 };
  const fold: typeof apply = (state, update) => {
    if (control.broken && update.key === key && update.operation === operation) {
      control.calls += 1;
      throw new Error('the fold is broken');
    }
    apply(state, update);
  };
  return { control, internals: { apply: fold } };
}

const restart: CacheOptions['restart'] = { intensity: 2, periodMs: 1_000, backOffMs: 10 };

describe('the supervisor', () => {
  it('spawns a namespace when it is written to, and never for a read or a delete in vain', async () => {
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

  it('takes commands by message', async () => {
    const { cache, failures } = makeCache({ natsUrl: null });
    cache.supervisor.send({ type: 'context.set', namespace: 'n', key: 'a', value: 1, agent: 'x' });
    expect(cache.entry('a', 'n')).toMatchObject({ value: 1, agent: 'x' });
    cache.supervisor.send({ type: 'context.batch', namespace: 'n', operations: [{ operation: 'set', key: 'b', value: 2 }] });
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
    ['a bad key', { type: 'context.set', key: '', value: 1 }, 'INVALID_NAME'],
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
    expect(failures.map(({ error }) => (error as ContextCacheError).code)).toEqual(['CLOSED', 'CLOSED', 'CLOSED', 'CLOSED']);
    expect(cache.get('a')).toBeUndefined();
  });

  it('carries out what an onError asks for, also for the namespace the failure came from', async () => {
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

  it('keeps its snapshot and can be watched', async () => {
    const { cache } = makeCache();
    const seen: unknown[] = [];
    const { unsubscribe } = cache.supervisor.subscribe((snapshot) => seen.push(snapshot.value));
    expect(cache.supervisor.getSnapshot().value).toBe('running');
    await cache.shutdown();
    unsubscribe();
    expect(seen).toContain('draining');
  });
});

describe('a namespace that crashes', () => {
  it('rejects the command, comes back from the log with the same state, and its siblings never notice', async () => {
    const { control, internals } = fragile('bad');
    const { cache, clock, failures } = makeCache({ internals, restart });
    await cache.set('a', { x: 1 }, 'n', { ttl: 500, agent: 'x' });
    await cache.set('b', 2, 'n');
    await cache.set('a', 1, 'sibling');
    const before = cache.entries('n');
    const sibling = cache.entries('sibling');
    const error = await cache.set('bad', 3, 'n').catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'NAMESPACE_UNAVAILABLE', cause: { message: 'the fold is broken' } });
    expect(cache.entries('n')).toEqual(before);
    // Commands that come meanwhile wait, and the siblings do not.
    const held = [cache.set('c', 1, 'n'), cache.delete('b', 'n'), cache.set('c', 2, 'n')];
    expect(await outcomeNow(held[0] as Promise<unknown>)).toBe('pending');
    expect(await cache.set('b', 2, 'sibling')).toMatchObject({ version: 2 });
    control.broken = false;
    clock.increment(0);
    // The log had taken the update before the fold broke, so it counts.
    expect(await Promise.all(held)).toMatchObject([{ version: 4 }, { version: 5 }, { version: 6 }]);
    expect(cache.entries('n').map(({ key, version }) => [key, version])).toEqual([['a', 1], ['bad', 3], ['c', 6]]);
    expect(cache.entry('a', 'n')).toEqual(before[0]);
    expect(cache.entries('sibling').slice(0, 1)).toEqual(sibling);
    expect((await logOf(cache)).filter(({ namespace }) => namespace === 'n').map(({ version }) => version)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(cache.health()).toMatchObject({ status: 'ok', namespaces: { restarts: 1, failed: [] } });
    expect(failures.map(({ source }) => source.source)).toContain('namespace');
    clock.increment(500);
    expect(cache.has('a', 'n')).toBe(false);
  });

  it('in the middle of a batch comes back with the whole batch, as the log has it', async () => {
    const { control, internals } = fragile('bad');
    const { cache, clock } = makeCache({ internals, restart });
    const batch = cache.batch([{ operation: 'set', key: 'a', value: 1 }, { operation: 'set', key: 'bad', value: 2 }, { operation: 'set', key: 'c', value: 3 }], 'n');
    expect(await codeOf(batch)).toBe('NAMESPACE_UNAVAILABLE');
    control.broken = false;
    clock.increment(0);
    await turns();
    expect(cache.getMany(['a', 'bad', 'c'], 'n')).toEqual([1, 2, 3]);
    expect(await cache.set('d', 4, 'n')).toMatchObject({ version: 4 });
  });

  it('is given up when it crashes too often, says so, and comes back when told', async () => {
    const { control, internals } = fragile('bad');
    const { cache, clock, failures } = makeCache({ internals, restart });
    await cache.set('a', 1, 'n');
    for (const wait of [0, 10]) {
      expect(await codeOf(cache.set('bad', 1, 'n'))).toBe('NAMESPACE_UNAVAILABLE');
      clock.increment(wait);
      await turns();
      expect(cache.health().namespaces.failed).toEqual([]);
      expect(await cache.set('a', wait, 'n')).toMatchObject({ changed: true });
    }
    expect(cache.health().namespaces.restarts).toBe(2);
    expect(await codeOf(cache.set('bad', 1, 'n'))).toBe('NAMESPACE_UNAVAILABLE');
    clock.increment(100_000);
    await turns();
    expect(cache.health()).toMatchObject({ status: 'degraded', namespaces: { failed: ['n'] } });
    expect(await codeOf(cache.set('a', 5, 'n'))).toBe('NAMESPACE_UNAVAILABLE');
    expect(failures.at(-1)?.error.message).toContain('given up');
    // Reads and the others go on.
    expect(cache.get('a', 'n')).toBe(10);
    expect(await cache.set('a', 1, 'sibling')).toMatchObject({ version: 1 });
    control.broken = false;
    await cache.ask({ type: 'namespace.restart', namespace: 'n' });
    expect(cache.health()).toMatchObject({ status: 'ok', namespaces: { failed: [] } });
    expect(await cache.set('a', 6, 'n')).toMatchObject({ changed: true });
    const versions = (await logOf(cache)).filter(({ namespace }) => namespace === 'n').map(({ version }) => version);
    expect(versions).toEqual(versions.map((_version, index) => index + 1));
    expect(cache.entry('a', 'n')?.version).toBe(versions.length);
  });

  it('is forgiven what lies further back than the period', async () => {
    const { internals } = fragile('bad');
    const { cache, clock } = makeCache({ internals, restart });
    for (let i = 0; i < 6; i += 1) {
      expect(await codeOf(cache.set('bad', 1, 'n'))).toBe('NAMESPACE_UNAVAILABLE');
      clock.increment(1_000);
      await turns();
    }
    expect(cache.health().namespaces).toMatchObject({ failed: [], restarts: 6 });
  });

  it('holds only so many commands', async () => {
    const { control, internals } = fragile('bad');
    const { cache, clock } = makeCache({ internals, restart, maxWaiting: 2 });
    await codeOf(cache.set('bad', 1, 'n'));
    const held = [1, 2, 3].map((value) => cache.set('a', value, 'n'));
    expect(await codeOf(held[2] as Promise<unknown>)).toBe('OVERLOADED');
    control.broken = false;
    clock.increment(0);
    expect(await Promise.all(held.slice(0, 2))).toMatchObject([{ changed: true }, { changed: true }]);
    expect(cache.get('a', 'n')).toBe(2);
  });

  it('ends what waits for it when the cache is shut down', async () => {
    const { internals } = fragile('bad');
    const { cache } = makeCache({ internals, restart });
    await codeOf(cache.set('bad', 1, 'n'));
    const held = cache.set('a', 1, 'n');
    await cache.shutdown({ timeoutMs: 1_000 });
    expect(await outcomeNow(held)).toMatchObject({ error: { code: 'CLOSED' } });
  });

  it('is not restarted a second time when it is told to while it waits for its turn', async () => {
    const { control, internals } = fragile('bad');
    const { cache, clock } = makeCache({ internals, restart });
    await codeOf(cache.set('bad', 1, 'n'));
    control.broken = false;
    await cache.ask({ type: 'namespace.restart', namespace: 'n' });
    await cache.set('a', 1, 'n');
    clock.increment(1_000);
    await turns();
    expect(cache.health().namespaces.restarts).toBe(1);
    expect(await cache.set('a', 2, 'n')).toMatchObject({ version: 3 });
  });

  it('while an entry expires does so, too, and the log has the expiry once', async () => {
    const { control, internals } = fragile('a', 'expire');
    const { cache, clock } = makeCache({ internals, restart });
    await cache.set('a', 1, 'n', { ttl: 5 });
    const set = (() => {
      vi.spyOn(clock, 'now').mockImplementation(() => 1_000_010);
      return codeOf(cache.set('b', 1, 'n'));
    })();
    expect(await set).toBe('NAMESPACE_UNAVAILABLE');
    vi.restoreAllMocks();
    control.broken = false;
    clock.increment(20);
    await turns();
    expect(await cache.set('b', 2, 'n')).toMatchObject({ changed: true });
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'n 2 expire a', 'n 3 set b']);
  });

  it('over an asynchronous primary settles the command and those that wait', async () => {
    const { control, internals } = fragile('bad');
    const { cache, clock } = makeCache({ internals, restart, primaryCache: new LateCache() });
    await cache.set('a', 1, 'n');
    const bad = cache.set('bad', 1, 'n');
    const next = cache.set('b', 1, 'n');
    await turns(10);
    control.broken = false;
    clock.increment(0);
    await turns(10);
    expect(await outcomeNow(bad)).toMatchObject({ error: { code: 'NAMESPACE_UNAVAILABLE' } });
    expect(await outcomeNow(next)).not.toBe('pending');
  });
});

describe('the log refuses', () => {
  it('the command is rejected, nothing changes, and the namespace goes on when the log does', async () => {
    const { cache, clock, log } = cacheOnFailingLog();
    await cache.set('a', 1, 'n', { ttl: 50 });
    log.refuses = true;
    expect(await codeOf(cache.set('a', 2, 'n'))).toBe('LOG_UNAVAILABLE');
    expect(cache.get('a', 'n')).toBe(1);
    log.refuses = false;
    expect(await cache.set('a', 3, 'n', { ttl: 50 })).toMatchObject({ version: 2 });
    // What expires meanwhile waits for the log as well; it is no reason to give the namespace up.
    log.refuses = true;
    for (let i = 0; i < 20; i += 1) {
      clock.increment(1_000);
      await turns(2);
    }
    expect(cache.has('a', 'n')).toBe(false);
    expect(cache.health().namespaces).toMatchObject({ failed: [], restarts: 0 });
    log.refuses = false;
    expect(await cache.set('b', 1, 'n')).toMatchObject({ version: 4 });
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'n 2 set a', 'n 3 expire a', 'n 4 set b']);
  });
});

describe('the log refuses what a primary has taken', () => {
  // DEFECT: `#take` and `#takeLater` (src/actors/namespace.ts) write to the primary first; when the log then refuses, the
  // command is rejected with LOG_UNAVAILABLE though the primary has the new value, and readers see it.
  it.fails('the primary is as it was', async () => {
    const log = new FailingLog();
    const { cache } = makeCacheOn(log, { primaryCache: new InMemoryContextCache() });
    await cache.set('a', 1, 'n');
    log.refuses = true;
    expect(await codeOf(cache.set('a', 2, 'n'))).toBe('LOG_UNAVAILABLE');
    expect(cache.get('a', 'n')).toBe(1);
  });
});

describe('a namespace actor', () => {
  const start = (deps: Partial<Parameters<typeof createNamespaceLogic>[0]> = {}, hydrated = true) => {
    const log = new MemoryLog();
    const state = new NamespaceState('n');
    const actor = createActor(createNamespaceLogic({ log, maxWaiting: 10, ...deps }), { input: { state, hydrated } });
    const door = new Admission(DEFAULT_VALUE_LIMITS, createValueCheck(undefined));
    return { log, state, actor, door };
  };

  it.each([true, false])('emits each update as it is applied (lane: %s)', (lane) => {
    const { actor, door } = start({ lane });
    const heard: string[] = [];
    actor.on('context.updated', ({ update }) => heard.push(`${update.position} ${update.operation} ${update.key}`));
    actor.start();
    actor.send(door.set(1, 'n', 'a', 1, { ttl: 5 }));
    actor.send(door.delete(2, 'n', 'none', undefined));
    actor.send({ type: 'namespace.expire', at: 6 });
    actor.send(door.set(7, 'n', 'b', 1, undefined));
    actor.send(door.whole(8, 'context.drop', 'n', undefined));
    expect(heard).toEqual(['1 set a', '2 expire a', '3 set b', '4 clear_namespace null']);
    expect(actor.getSnapshot()).toMatchObject({ status: 'done', value: 'dropped' });
  });

  it('a listener that throws harms nobody: XState throws it outside', async () => {
    const reported: unknown[] = [];
    const uncaught = process.rawListeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => void reported.push(error));
    const { actor, door, state } = start();
    const heard: number[] = [];
    actor.on('context.updated', () => {
      throw new Error('listener');
    });
    actor.on('context.updated', ({ update }) => heard.push(update.version));
    actor.start();
    const request = door.set(1, 'n', 'a', 1, undefined);
    actor.send(request);
    actor.send(door.set(2, 'n', 'b', 1, undefined));
    await vi.waitFor(() => expect(reported).toHaveLength(2));
    process.removeAllListeners('uncaughtException');
    for (const listener of uncaught) process.on('uncaughtException', listener as never);
    expect(request.result).toMatchObject({ version: 1 });
    expect(state.version).toBe(2);
    expect(actor.getSnapshot().status).toBe('active');
  });

  it('asks an asynchronous primary what it holds before the first command, and says so where it cannot', async () => {
    const primary = new LateCache();
    primary.spaces.set('n', new Map([['old', 1]]));
    let fails = true;
    vi.spyOn(primary, 'listKeys').mockImplementation(async () => {
      if (fails) throw new Error('away');
      return ['old'];
    });
    const { actor, door, state } = start({ primary }, false);
    actor.start();
    expect(actor.getSnapshot().value).toBe('absent');
    const first = door.set(1, 'n', 'a', 1, undefined);
    actor.send(first);
    await waitFor(actor, ({ value }) => value === 'absent');
    expect(first.error).toMatchObject({ code: 'BACKEND_FAILED', cause: { message: 'away' } });
    fails = false;
    const second = door.set(2, 'n', 'old', 2, { ifVersion: 0 });
    const third = door.set(2, 'n', 'a', 2, undefined);
    actor.send(second);
    actor.send(third);
    await waitFor(actor, ({ value }) => value === 'ready');
    expect(second.error).toMatchObject({ code: 'VERSION_CONFLICT' });
    expect(third.result).toMatchObject({ version: 2 });
    expect([...state.entries.keys()]).toEqual(['old', 'a']);
    expect(actor.getSnapshot().context.hydrated).toBe(true);
  });

  it('leaves when it is told to, at rest only', async () => {
    const primary = new LateCache();
    const { actor, door } = start({ primary });
    actor.start();
    actor.send(door.set(1, 'n', 'a', 1, undefined));
    expect(actor.getSnapshot().value).toBe('writing');
    actor.send({ type: 'namespace.passivate' });
    expect(actor.getSnapshot().value).toBe('writing');
    await waitFor(actor, ({ value }) => value === 'ready');
    actor.send({ type: 'namespace.passivate' });
    expect(actor.getSnapshot()).toMatchObject({ value: 'passivated', status: 'done' });
  });

  it('with a synchronous primary needs no second turn', () => {
    const primary = new InMemoryContextCache();
    const { actor, door, state } = start({ primary });
    actor.start();
    const request = door.set(1, 'n', 'a', 1, undefined);
    actor.send(request);
    expect(request.result).toMatchObject({ version: 1 });
    expect(primary.get('a', 'n')).toBe(1);
    expect(state.entries.get('a')?.value).toBeUndefined();
  });
});

class FailingLog extends MemoryLog {
  refuses = false;

  override append(updates: Parameters<MemoryLog['append']>[0]): void {
    if (this.refuses) throw Object.assign(new Error('The disk is full.'), { code: 'LOG_UNAVAILABLE' });
    super.append(updates);
  }
}

function cacheOnFailingLog() {
  const log = new FailingLog();
  const made = makeCacheOn(log);
  return { ...made, log };
}

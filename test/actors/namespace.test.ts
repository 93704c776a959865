import { afterEach, describe, expect, it, vi } from 'vitest';
import { createActor, waitFor } from 'xstate';
import { createNamespaceLogic } from '../../src/actors/namespace.ts';
import { Admission } from '../../src/core/admission.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import { NamespaceState } from '../../src/core/namespace-state.ts';
import { createValueCheck } from '../../src/core/schemas.ts';
import { InMemoryContextCache } from '../../src/index.ts';
import { MemoryLog } from '../../src/storage/memory/memory-log.ts';
import { LateCache } from '../support/cache.ts';

afterEach(() => void vi.restoreAllMocks());

describe('a namespace actor', () => {
  const start = (deps: Partial<Parameters<typeof createNamespaceLogic>[0]> = {}, hydrated = true) => {
    const log = new MemoryLog();
    const state = new NamespaceState('n');
    const actor = createActor(createNamespaceLogic({ log, maxWaiting: 10, ...deps }), {
      input: { state, hydrated, at: 0 },
    });
    const door = new Admission(DEFAULT_LIMITS, createValueCheck(undefined));
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

  it('continues if a listener throws: XState rethrows the error in a later turn', async () => {
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
    try {
      await vi.waitFor(() => expect(reported).toHaveLength(2), { timeout: 30_000 });
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of uncaught) process.on('uncaughtException', listener as never);
    }
    expect(request.result).toMatchObject({ version: 1 });
    expect(state.version).toBe(2);
    expect(actor.getSnapshot().status).toBe('active');
  });

  it('reads an asynchronous primary before the first command, and reports if it cannot', async () => {
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

  it('passivates on request, and only at rest', async () => {
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

  it('needs no second turn with a synchronous primary', () => {
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

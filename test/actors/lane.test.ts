import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ActorRefFrom } from 'xstate';
import type { NamespaceLogic } from '../../src/actors/namespace.ts';
import { Request } from '../../src/core/request.ts';
import { internalsOf } from '../../src/engine/internals.ts';
import { AgentContextCache, type DataCommand, type Entry, InMemoryContextCache, type Update } from '../../src/index.ts';
import { anyStep, logOf, makeCache, simulatedClock } from '../support/cache.ts';
import { fcOptions } from '../support/property.ts';

// Without the lane the supervisor's machine creates actors within an action. XState's development build warns of that.
beforeAll(() => void vi.spyOn(console, 'warn').mockImplementation(() => {}));
afterAll(() => void vi.restoreAllMocks());

interface Run {
  readonly answers: unknown[];
  readonly log: Update[];
  readonly entries: Entry[][];
  readonly namespaces: string[];
  readonly failures: string[];
}

const NAMESPACES = ['n', 'm', '__proto__', 'a:b', 'default'];

/** Runs the steps with `ask`, or with `send`, and returns everything that can be observed. */
async function run(
  steps: readonly (object & ({ wait: number } | DataCommand))[],
  options: { lane: boolean; bySend?: boolean; primary?: boolean; inspected?: boolean },
): Promise<Run> {
  const clock = simulatedClock();
  const failures: string[] = [];
  const cache = new AgentContextCache({
    clock,
    internals: { lane: options.lane },
    ...(options.primary ? { primaryCache: new InMemoryContextCache() } : {}),
    onError: (error, source) =>
      void failures.push(`${source.source} ${source.command} ${source.namespace} ${error.message}`),
  });
  if (options.inspected) cache.inspection.inspectActors(() => {});
  const answers: unknown[] = [];
  for (const step of steps) {
    if ('wait' in step) clock.increment(step.wait);
    else if (options.bySend) cache.supervisor.send(step);
    else
      answers.push(
        await cache
          .ask(step)
          .catch((error) => ({ name: error.name, code: error.code, message: error.message, current: error.current })),
      );
  }
  const log = await logOf(cache);
  const entries = NAMESPACES.map((name) => cache.entries(name));
  const namespaces = cache.listNamespaces();
  await cache.shutdown();
  return { answers, log, entries, namespaces, failures };
}

describe('the command lane', () => {
  const steps = fc.array(anyStep, { maxLength: 40 }) as fc.Arbitrary<({ wait: number } | DataCommand)[]>;

  it('gives the same updates, answers, errors and entries as the machine and as the mailboxes', async () => {
    let updates = 0;
    let conflicts = 0;
    await fc.assert(
      fc.asyncProperty(steps, async (some) => {
        const lane = await run(some, { lane: true });
        const machine = await run(some, { lane: false });
        expect(lane).toEqual(machine);
        expect(await run(some, { lane: true, inspected: true })).toEqual(lane);
        updates += lane.log.length;
        conflicts += lane.answers.filter((answer) => (answer as { code?: string }).code === 'VERSION_CONFLICT').length;
      }),
      fcOptions(150),
    );
    // The runs contain updates and conflicts.
    expect(updates).toBeGreaterThan(100);
    expect(conflicts).toBeGreaterThan(10);
  });

  it('gives the same for commands that are sent, whose refusals reach onError', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (some) => {
        const lane = await run(some, { lane: true, bySend: true });
        const machine = await run(some, { lane: false, bySend: true });
        const asked = await run(some, { lane: true });
        expect(lane).toEqual(machine);
        expect(await run(some, { lane: true, bySend: true, inspected: true })).toEqual(lane);
        expect(lane.log).toEqual(asked.log);
        expect(lane.entries).toEqual(asked.entries);
      }),
      fcOptions(80),
    );
  });

  it('gives the same over a synchronous primary, and the same as without one', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (some) => {
        const lane = await run(some, { lane: true, primary: true });
        const machine = await run(some, { lane: false, primary: true });
        const plain = await run(some, { lane: true });
        expect(lane).toEqual(machine);
        expect(lane.log).toEqual(plain.log);
        expect(lane.answers.map((answer) => ({ ...(answer as object), current: undefined }))).toEqual(
          plain.answers.map((answer) => ({ ...(answer as object), current: undefined })),
        );
        expect(lane.entries).toEqual(plain.entries);
      }),
      fcOptions(80),
    );
  });
});

describe('a command that may skip the mailboxes', () => {
  /** Returns an observer of XState's inspection, and the events in which it has seen commands. */
  function inspector() {
    const seen: string[] = [];
    const observe = (event: unknown) => {
      const { type, actorRef, event: sent } = event as { type: string; actorRef: { id: string }; event?: object };
      if (sent instanceof Request) seen.push(`${type} ${actorRef.id} ${sent.key}`);
    };
    return { seen, observe };
  }

  const IN_BOTH = ['event supervisor', 'event namespace:n', 'snapshot namespace:n', 'snapshot supervisor'];
  const eventsOf = (key: string) => IN_BOTH.map((event) => `@xstate.${event} ${key}`);

  it('is reported to an inspector while it is attached, and only then', async () => {
    const { cache } = makeCache();
    const { seen, observe } = inspector();
    await cache.set('before', 1, 'n');
    const detach = cache.inspection.inspectActors(observe);
    await cache.set('a', 1, 'n');
    expect(seen).toEqual(eventsOf('a'));
    const detachOther = cache.inspection.inspectActors(() => {});
    detachOther();
    detachOther();
    await cache.set('b', 1, 'n');
    expect(seen).toEqual([...eventsOf('a'), ...eventsOf('b')]);
    detach();
    await cache.set('c', 1, 'n');
    expect(seen).toHaveLength(8);
    expect(cache.listKeys('n')).toEqual(['before', 'a', 'b', 'c']);
  });

  it('is reported to an inspector that a program attaches to the actor system itself', async () => {
    const { cache } = makeCache();
    await cache.set('before', 1, 'n');
    const { seen, observe } = inspector();
    const { actor } = internalsOf(cache)?.parts.supervisor ?? expect.fail();
    const subscription = actor.system.inspect(observe);
    await cache.set('a', 1, 'n');
    subscription.unsubscribe();
    await cache.set('b', 1, 'n');
    expect(seen).toEqual(eventsOf('a'));
  });

  it('is shown to the subscribers and listeners of an actor', async () => {
    const { cache } = makeCache();
    await cache.set('before', 1, 'n');
    const { supervisor, registry } = internalsOf(cache)?.parts ?? expect.fail();
    const namespace = registry.inMemory('n')?.actor as unknown as ActorRefFrom<NamespaceLogic>;
    const seen: string[] = [];
    const subscriptions = [
      supervisor.actor.subscribe(({ value }) => void seen.push(`supervisor ${String(value)}`)),
      namespace.subscribe(({ value }) => void seen.push(`namespace ${String(value)}`)),
      namespace.on('context.updated', ({ update }) => void seen.push(`updated ${update.key}`)),
    ];
    await cache.set('a', 1, 'n');
    expect(seen).toEqual(['updated a', 'namespace ready', 'supervisor running']);
    for (const subscription of subscriptions) subscription.unsubscribe();
    await cache.set('b', 1, 'n');
    expect(seen).toHaveLength(3);
  });

  it('waits for its turn if it is sent while another command is executed', async () => {
    const keysAtFailure: string[][] = [];
    const { cache } = makeCache({
      onError: () => {
        cache.supervisor.send({ type: 'context.set', key: 'a', value: 1, namespace: 'n' });
        cache.set('b', 1, 'n');
        keysAtFailure.push(cache.listKeys('n'));
      },
    });
    cache.supervisor.send({ type: 'context.set', key: 'a', value: 1, namespace: 'n', ifVersion: 9 });
    await cache.set('c', 1, 'n');
    expect(keysAtFailure).toEqual([[]]);
    expect(cache.entries('n').map(({ key, version }) => `${key} ${version}`)).toEqual(['a 1', 'b 2', 'c 3']);
  });
});

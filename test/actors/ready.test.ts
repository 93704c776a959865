// Compares the snapshot whose parts namespace actors share with the snapshot that the machine creates.
import { describe, expect, it } from 'vitest';
import { type AnyMachineSnapshot, createActor } from 'xstate';
import { createNamespaceLogic } from '../../src/actors/namespace.ts';
import { Admission } from '../../src/core/admission.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import { NamespaceState } from '../../src/core/namespace-state.ts';
import { createValueCheck } from '../../src/core/schemas.ts';
import { InMemoryContextCache } from '../../src/index.ts';
import { MemoryLog } from '../../src/storage/memory/memory-log.ts';
import { LateCache } from '../support/cache.ts';

type Deps = Partial<Parameters<typeof createNamespaceLogic>[0]>;

const door = new Admission(DEFAULT_LIMITS, createValueCheck(undefined));

/** Returns everything that a snapshot contains, with the machine's parts by name. */
function told(snapshot: AnyMachineSnapshot): object {
  const { machine: _, _nodes, context, ...rest } = snapshot;
  const events = ['context.set', 'context.drop', 'namespace.expire', 'namespace.passivate', 'other'];
  return {
    ...rest,
    properties: Object.keys(snapshot),
    nodes: _nodes.map(({ id }) => id),
    tags: [...snapshot.tags],
    context: { ...context, emit: typeof context.emit, state: context.state.name },
    matches: ['ready', 'starting', 'absent'].map((state) => snapshot.matches(state)),
    can: events.map((type) => snapshot.can({ type, at: 0 })),
    hasTag: snapshot.hasTag('none'),
    meta: snapshot.getMeta(),
    json: JSON.parse(JSON.stringify({ ...(snapshot.toJSON() as object), context: null })),
  };
}

function stateAt(version: number, position: number): NamespaceState {
  const state = new NamespaceState('n');
  state.version = version;
  state.position = position;
  return state;
}

describe('the first snapshot of a namespace actor', () => {
  const actorsOf = (deps: Deps = {}) => {
    const logic = createNamespaceLogic({ log: new MemoryLog(), maxWaiting: 10, ...deps });
    return (state = new NamespaceState('n'), hydrated = true, heard: string[] = []) =>
      createActor(logic, {
        input: { state, hydrated, at: 0 },
        inspect: ({ type }) => void heard.push(type),
      });
  };

  it.each<[string, Deps, NamespaceState, boolean]>([
    ['a new namespace', {}, stateAt(0, 0), true],
    ['one that existed before', {}, stateAt(3, 9), true],
    ['one that was dropped', {}, stateAt(0, 9), true],
    ['over a synchronous primary', { primary: new InMemoryContextCache() }, stateAt(0, 0), true],
    ['over an asynchronous primary', { primary: new LateCache() }, stateAt(0, 0), true],
    ['over an asynchronous primary that has not been read', { primary: new LateCache() }, stateAt(0, 0), false],
  ])('equals the snapshot of the machine: %s', (_, deps, state, hydrated) => {
    const [shared, made] = [true, false].map((lane) => actorsOf({ ...deps, lane })(state, hydrated));
    for (const started of [false, true]) {
      if (started) for (const actor of [shared, made]) actor?.start();
      expect(told(shared?.getSnapshot() as never)).toEqual(told(made?.getSnapshot() as never));
      expect(Object.keys(shared?.getPersistedSnapshot() as object)).toEqual(
        Object.keys(made?.getPersistedSnapshot() as object),
      );
    }
  });

  it('stays unchanged while namespaces change, and they share no context', () => {
    const make = actorsOf();
    const [first, second, third] = [make(), make(), make()].map((actor) => actor.start());
    const beginning = told(second?.getSnapshot() as never);
    first?.send(door.set(1, 'n', 'a', 1, { ttl: 5 }));
    first?.send({ type: 'namespace.expire', at: 9 });
    first?.send(door.whole(10, 'context.drop', 'n', undefined));
    third?.send({ type: 'namespace.passivate' });
    expect([first, third].map((actor) => actor?.getSnapshot().value)).toEqual(['dropped', 'passivated']);
    expect(told(second?.getSnapshot() as never)).toEqual(beginning);
    expect(told(make().getSnapshot() as never)).toEqual(beginning);
    expect(second?.getSnapshot().context.state).not.toBe(first?.getSnapshot().context.state);
  });

  it('is reported to an inspector, except for the microsteps', () => {
    const [shared, made] = [true, false].map((lane) => {
      const heard: string[] = [];
      actorsOf({ lane })(undefined, true, heard).start();
      return heard;
    });
    expect(made).toContain('@xstate.microstep');
    expect(shared).toEqual(made?.filter((type) => type !== '@xstate.microstep'));
  });
});

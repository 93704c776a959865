import { createWebSocketInspector } from '@statelyai/inspect';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { assign, createActor, setup } from 'xstate';
import { machineGraph } from '../../src/inspector/reads/machine-graph.ts';
import { type Looking, look, waitFor } from '../support/inspector.ts';

const traffic = setup({
  types: { context: {} as { rounds: number; apiKey: string }, events: {} as { type: 'next' } },
}).createMachine({
  id: 'traffic',
  context: { rounds: 0, apiKey: 'hunter2' },
  initial: 'red',
  states: {
    red: { on: { next: 'green' } },
    green: {
      initial: 'walking',
      states: { walking: { on: { next: 'waiting' } }, waiting: { on: { next: '#traffic.red' } } },
      exit: assign({ rounds: ({ context }) => context.rounds + 1 }),
    },
  },
});

/** Connects the producer of @statelyai/inspect. */
async function produce(looking: Looking) {
  const { foreignUrl } = await looking.ask('GET /api/meta');
  const inspector = createWebSocketInspector({ url: foreignUrl });
  onTestFinished(() => inspector.stop());
  const actor = createActor(traffic, { inspect: inspector.inspect }).start();
  onTestFinished(() => void actor.stop());
  return actor;
}

describe('actors of other programs', () => {
  test('appear with statechart, state and events', async () => {
    const { looking } = await look();
    const live = await looking.live();
    live.send({ type: 'subscribe', id: 'f', feed: 'foreign' });
    const actor = await produce(looking);
    await waitFor(async () => expect((await looking.ask('GET /api/foreign')).actors).toHaveLength(1));
    actor.send({ type: 'next' });
    const told = await live.next('foreign', ({ events }) => events.some(({ type }) => type === 'next'));
    expect(told.events.find(({ type }) => type === 'next')).toMatchObject({ event: { type: 'next' } });
    await waitFor(async () => {
      const [shown] = (await looking.ask('GET /api/foreign')).actors;
      expect(shown).toMatchObject({ name: 'traffic', states: ['green.walking'], status: 'active', parent: null });
      expect(shown?.context).toEqual({ rounds: 0, apiKey: expect.stringMatching(/^\[hidden/) });
      const states = shown?.machine?.states.map(({ id }) => id).sort();
      expect(states).toEqual(['green', 'green.waiting', 'green.walking', 'red']);
    });
  });

  test('ignores invalid messages', async () => {
    const { looking } = await look();
    const { foreignUrl } = await looking.ask('GET /api/meta');
    const socket = new WebSocket(foreignUrl);
    onTestFinished(() => socket.terminate());
    await new Promise((resolve) => socket.once('open', resolve));
    const deep = `{"type":"@xstate.actor","sessionId":"deep","snapshot":{"context":${'['.repeat(100_000)}${']'.repeat(100_000)}}}`;
    for (const text of ['', 'x', '[]', '{}', '{"type":"@xstate.event"}', '{"sessionId":"a","type":"other"}', deep]) {
      socket.send(text);
    }
    socket.send('{"type":"@xstate.snapshot","sessionId":"b","snapshot":{"value":{"p":{},"q":"r"},"status":"done"}}');
    await waitFor(async () => {
      const actors = (await looking.ask('GET /api/foreign')).actors.filter(({ id }) => id.endsWith('/b'));
      expect(actors).toMatchObject([{ states: ['p', 'q.r'], status: 'done', machine: null }]);
    });
  });

  test('keeps the last thousand, and counts the others', async () => {
    const { looking } = await look();
    const { foreignUrl } = await looking.ask('GET /api/meta');
    const socket = new WebSocket(foreignUrl);
    onTestFinished(() => socket.terminate());
    await new Promise((resolve) => socket.once('open', resolve));
    for (let i = 0; i < 1_100; i += 1)
      socket.send(JSON.stringify({ type: '@xstate.actor', sessionId: `x:${i}`, name: 'a' }));
    await waitFor(async () => {
      const { actors, dropped } = await looking.ask('GET /api/foreign');
      expect([actors.length, dropped]).toEqual([1_000, 100]);
      expect(actors.at(-1)?.id).toMatch(/x:1099$/);
    });
  });
});

test('sends its own actors to another inspector, redacted', async () => {
  const receiver = await look();
  const { foreignUrl } = await receiver.looking.ask('GET /api/meta');
  const live = await receiver.looking.live();
  live.send({ type: 'subscribe', id: 'f', feed: 'foreign' });
  const { cache } = await look({ sendTo: foreignUrl });
  await waitFor(async () => {
    await cache.set('token', 'hunter2', 'auth');
    expect((await receiver.looking.ask('GET /api/foreign')).actors.map(({ name }) => name)).toContain('namespace:auth');
  });
  const { events } = await live.next('foreign', (message) => message.events.some(({ type }) => type === 'context.set'));
  const event = events.find(({ type }) => type === 'context.set')?.event;
  expect(event).toMatchObject({ namespace: 'auth', key: 'token' });
  expect(JSON.stringify(event)).toContain('[hidden ');
  expect(JSON.stringify(await receiver.looking.ask('GET /api/foreign'))).not.toContain('hunter2');
  await waitFor(async () => {
    const { actors } = await receiver.looking.ask('GET /api/foreign');
    const shown = actors.find(({ name }) => name === 'namespace:auth');
    expect(shown).toMatchObject({ states: ['ready'], machine: { id: 'namespace' } });
    expect(shown?.parent).toBe(actors.find(({ name }) => name === 'supervisor')?.id);
  });
  await expect(look({ sendTo: 'http://x' })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
});

test('draws every feature of a statechart, and nothing for another value', () => {
  const graph = machineGraph({
    ...{ id: 'm', initial: 'a', on: { reset: { target: '.a', actions: ['log', { type: 'tell' }] } } },
    states: {
      a: { always: [{ guard: { type: 'ready' }, target: 'b' }, 'c'], entry: 'enter', tags: ['x'] },
      b: { type: 'parallel', states: { x: {}, y: { initial: 'z', states: { z: { type: 'final' } }, onDone: '#m.c' } } },
      c: {
        after: { 100: 'a' },
        invoke: { src: 'work', onDone: '.d', onError: 'nowhere' },
        initial: 'd',
        states: { d: {} },
      },
    },
  });
  expect(graph?.states.map(({ id, type, initial }) => `${id} ${type} ${initial}`)).toEqual([
    ...[' compound true', 'a atomic true', 'b parallel false', 'b.x atomic true', 'b.y compound true'],
    ...['b.y.z final true', 'c compound false', 'c.d atomic true'],
  ]);
  expect(
    graph?.transitions.map(({ source, event, target, guard }) => [source, event, target, guard].join('|')),
  ).toEqual([...['|reset|a|', 'a||b|ready', 'a||c|', 'b.y|done|c|', 'c|after 100|a|', 'c|work done|c.d|']]);
  for (const none of [undefined, null, 'x', [], 7]) expect(machineGraph(none)).toBeUndefined();
  expect(machineGraph({ states: { a: 7, b: { states: [] } } })?.states).toHaveLength(1);
});

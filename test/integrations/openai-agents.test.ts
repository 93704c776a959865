import {
  Agent,
  type AgentInputItem,
  MemorySession,
  type Model,
  type ModelResponse,
  Runner,
  type SessionHistoryMutation,
  Usage,
} from '@openai/agents-core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ContextCacheError } from '../../src/index.ts';
import { ContextCacheSession } from '../../src/openai-agents.ts';
import { BOTH_CACHES } from '../support/both-caches.ts';
import { fcOptions } from '../support/property.ts';

const user = (content: string): AgentInputItem => ({ type: 'message', role: 'user', content });
const call = (callId: string, name: string) =>
  ({ type: 'function_call', callId, name, arguments: '{}', status: 'completed' }) as const;

const text = fc.oneof(fc.string(), fc.constantFrom('😀'.slice(0, 1), '__proto__'));
const item: fc.Arbitrary<AgentInputItem> = fc.oneof(
  text.map(user),
  fc.tuple(fc.constantFrom('a', 'b'), text).map(([id, name]) => call(id, name)),
  text.map((id): AgentInputItem => ({ type: 'unknown', id, providerData: { bytes: new Uint8Array([1, 2]), [id]: 1 } })),
);
const mutation: fc.Arbitrary<SessionHistoryMutation> = fc
  .tuple(fc.constantFrom('a', 'b'), text)
  .map(([callId, name]) => ({ type: 'replace_function_call', callId, replacement: call(callId, `new ${name}`) }));

type Step = (session: MemorySession | ContextCacheSession) => Promise<unknown>;

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.array(item, { maxLength: 4 }).map(
    (items): Step =>
      (session) =>
        session.addItems(items),
  ),
  fc.option(fc.integer({ min: -1, max: 6 }), { nil: undefined }).map(
    (limit): Step =>
      (session) =>
        session.getItems(limit),
  ),
  fc.constant<Step>((session) => session.popItem()),
  fc.array(mutation, { maxLength: 3 }).map(
    (mutations): Step =>
      (session) =>
        session.applyHistoryMutations({ mutations }),
  ),
  { weight: 1, arbitrary: fc.constant<Step>((session) => session.clearSession()) },
);

describe.each(BOTH_CACHES)('ContextCacheSession over a %s cache', (way, open) => {
  test('does what MemorySession does', async () => {
    await using reached = await open();
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        run += 1;
        const session = new ContextCacheSession(reached.store, { sessionId: String(run) });
        const model = new MemorySession();
        for (const each of [...steps, ((any) => any.getItems()) satisfies Step])
          expect(await each(session)).toEqual(await each(model));
      }),
      fcOptions(way === 'local' ? 1_500 : 100),
    );
  });

  test('loses nothing of 8 writers, and keeps what each adds together and in order', async () => {
    await using reached = await open();
    const writers = Array.from({ length: 8 }, () => new ContextCacheSession(reached.store, { sessionId: 'all' }));
    await Promise.all(
      writers.map(async (session, writer) => {
        for (let turn = 0; turn < 25; turn += 1)
          await session.addItems([user(`${writer} ${turn} question`), user(`${writer} ${turn} answer`)]);
      }),
    );
    const all = (await new ContextCacheSession(reached.store, { sessionId: 'all' }).getItems()) as {
      content: string;
    }[];
    expect(all).toHaveLength(8 * 25 * 2);
    for (const [writer] of writers.entries()) {
      const own = all.map(({ content }) => content).filter((content) => content.startsWith(`${writer} `));
      const added = Array.from({ length: 25 }, (_, turn) => [`${writer} ${turn} question`, `${writer} ${turn} answer`]);
      expect(own).toEqual(added.flat());
    }
    for (const [index, { content }] of all.entries())
      if (content.endsWith('question')) expect(all[index + 1]?.content).toBe(content.replace('question', 'answer'));
  });

  test('gives each of several that pop an item of its own', async () => {
    await using reached = await open();
    const session = new ContextCacheSession(reached.store);
    await session.addItems(Array.from({ length: 20 }, (_, index) => user(String(index))));
    const popped = await Promise.all(Array.from({ length: 20 }, () => session.popItem()));
    expect(new Set(popped.map((each) => (each as { content: string }).content)).size).toBe(20);
    expect(await session.getItems()).toEqual([]);
  });

  test('adds once what is repeated with the same operation id', async () => {
    await using reached = await open();
    const session = new ContextCacheSession(reached.store);
    for (let time = 0; time < 3; time += 1) await session.addItems([user('hello')], { operationId: 'turn-1' });
    expect(await session.getItems()).toEqual([user('hello')]);
    await expect(session.addItems([user('else')], { operationId: 'turn-1' })).rejects.toThrow(
      'belongs to another write',
    );
  });

  test('rewinds to a turn, which may begin and end inside what was added together', async () => {
    await using reached = await open();
    const session = new ContextCacheSession(reached.store);
    const system: AgentInputItem = { type: 'message', role: 'system', content: 'be kind' };
    await session.addItems([system, user('one'), call('a', 'look'), user('two')]);
    await session.addItems([call('b', 'look'), user('three')]);
    expect(await session.rewindToTurn(1)).toBe(3);
    expect(await session.getItems()).toEqual([system, user('one'), call('a', 'look')]);
    await expect(session.rewindToTurn(1)).rejects.toThrow('There is no turn 1: the session has 1 turns.');
    expect(await session.rewindToTurn(0)).toBe(2);
    expect(await session.getItems()).toEqual([system]);
  });

  test('serves runs of a real agent, which remember each other', async () => {
    await using reached = await open();
    const seen: number[] = [];
    const model: Model = {
      async getResponse({ input }): Promise<ModelResponse> {
        seen.push(Array.isArray(input) ? input.length : 1);
        const content = [{ type: 'output_text' as const, text: 'Oslo' }];
        return { usage: new Usage(), output: [{ type: 'message', role: 'assistant', status: 'completed', content }] };
      },
      async *getStreamedResponse() {},
    };
    const agent = new Agent({ name: 'guide', model });
    const runner = new Runner({ tracingDisabled: true });
    const session = () => new ContextCacheSession(reached.store, { sessionId: 'ann' });
    await runner.run(agent, 'The capital of Norway?', { session: session() });
    await runner.run(agent, 'And again?', { session: session() });
    expect(seen).toEqual([1, 3]);
    await session().rewindToTurn(1);
    expect(await session().getItems()).toHaveLength(2);
  });

  test('refuses wrong options and items before anything has changed', async () => {
    await using reached = await open();
    const session = new ContextCacheSession(reached.store, { sessionId: 'ann' });
    expect(await session.getSessionId()).toBe('ann');
    expect(() => new ContextCacheSession(reached.store, { session: 'a' } as object)).toThrow('Did you mean sessionId?');
    expect(() => new ContextCacheSession({} as never)).toThrow(ContextCacheError);
    await expect(session.addItems([user('a'), { at: new Date() } as never])).rejects.toThrow('$[1].at');
    expect(await session.getItems()).toEqual([]);
  });
});

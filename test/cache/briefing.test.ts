import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AgentContextCache } from '../../src/index.ts';
import type { Briefing } from '../../src/types.ts';
import { airlineLines } from '../support/airline.ts';
import { BOTH_CACHES } from '../support/both-caches.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { fcOptions } from '../support/property.ts';

const shown = ({ changes }: Briefing) => changes.map(({ namespace, key, value }) => [namespace, key, value]);

describe.each(BOTH_CACHES)('briefing over a %s cache', (_, open) => {
  test('lists what other agents have changed since the last one, folded, newest first', async () => {
    const clock = new ManualClock();
    await using reached = await open({ clock });
    const { cache, store } = reached;
    await cache.set('plan', 'old', 'trip', { agent: 'planner' });
    await cache.set('hotel', { name: 'Adler' }, 'trip', { agent: 'booker' });
    await cache.set('fare', 90, 'flight', { agent: 'scout' });
    await cache.set('fare', 80, 'flight', { agent: 'scout' });
    await cache.delete('none', 'flight');
    const first = await store.briefing({ agent: 'planner' });
    expect(first.text).toBe(
      [
        'Shared memory, for planner:',
        ...['[flight]', 'fare = 80 (scout 2023-11-14 22:13)'],
        ...['[trip]', 'hotel = {"name":"Adler"} (booker 2023-11-14 22:13)'],
      ].join('\n'),
    );
    expect(first).toMatchObject({ since: 0, until: 4, omitted: 0, isComplete: true });
    expect(await store.briefing({ agent: 'planner' })).toMatchObject({ text: 'Nothing has changed.', changes: [] });
    await cache.delete('hotel', 'trip', { agent: 'booker' });
    await cache.clearNamespace('flight', { agent: 'scout' });
    const next = await store.briefing({ agent: 'planner' });
    expect(next.text).toBe(
      [
        'Changes since position 4, for planner:',
        ...['[flight]', 'all keys removed (scout 2023-11-14 22:13)'],
        ...['[trip]', 'hotel removed (booker 2023-11-14 22:13)'],
      ].join('\n'),
    );
    // Each agent has a place of its own, and so has each selection.
    expect(shown(await store.briefing({ agent: 'booker', namespaces: ['trip'] }))).toEqual([['trip', 'plan', 'old']]);
    expect(shown(await store.briefing({ agent: 'booker' }))).toEqual([
      ['flight', null, undefined],
      ['trip', 'plan', 'old'],
    ]);
  });

  test('puts important namespaces first and keeps to the budget', async () => {
    await using reached = await open();
    const { cache, store } = reached;
    for (let n = 0; n < 50; n += 1) await cache.set(`k${n}`, 'x'.repeat(n === 49 ? 900 : 10), n % 2 ? 'b/1' : 'a');
    const asked = { agent: 'p', maxTokens: 120, advance: false } as const;
    const { changes, omitted, text, tokens } = await store.briefing({ ...asked, namespaces: ['b/*', 'a'] });
    expect(tokens).toBeLessThanOrEqual(120);
    expect(changes.length + omitted).toBe(50);
    expect(changes.map(({ key }) => key)).toEqual(Array.from({ length: changes.length }, (__, n) => `k${49 - 2 * n}`));
    expect(text).toContain(`${'x'.repeat(100)}`);
    expect(text).toContain('… (902 characters)');
    expect(text).toContain(`(${omitted} more changes, not shown)`);
    const counted = await store.briefing({ ...asked, maxTokens: 400, tokenizer: (each) => each.length });
    expect(counted.tokens).toBe(counted.text.length);
    expect(counted.tokens).toBeLessThanOrEqual(400);
    // It has kept nothing.
    expect(await store.listNamespaces()).toEqual(['a', 'b/1', 'default']);
  });

  test.each([
    [{}, 'needs an agent'],
    [{ agent: '' }, 'needs an agent'],
    [{ agent: 'p', since: -1 }, 'since must be a position'],
    [{ agent: 'p', namespaces: 'trip' }, 'namespaces must be an array'],
    [{ agent: 'p', maxTokens: 49 }, 'maxTokens must be an integer from 50 up'],
    [{ agent: 'p', tokenizer: 1 }, 'tokenizer must be a function'],
    [{ agent: 'p', tokenizer: () => 'many' }, 'tokenizer must return a number'],
    [{ agent: 'p', token: 1 }, 'briefing has no option token'],
    [null, 'takes its options as an object'],
  ])('refuses %j', async (options, message) => {
    await using reached = await open();
    await expect(reached.store.briefing(options as never)).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining(message),
    });
    expect(await reached.store.listNamespaces()).toEqual(['default']);
  });

  test('lists the present entries if the log no longer has the changes', async () => {
    await using reached = await open({ log: { keepUpdates: 5 } });
    const { cache, store } = reached;
    for (let n = 0; n < 40; n += 1) await cache.set(`k${n % 4}`, n);
    await cache.compact({ keepUpdates: 5 });
    const { isComplete, text, changes } = await store.briefing({ agent: 'late' });
    expect([isComplete, changes.length]).toEqual([false, 4]);
    expect(text).toMatch(/^Present entries for late; earlier changes are no longer kept:/);
    expect((await store.briefing({ agent: 'late' })).text).toBe('Nothing has changed.');
  });
});

test('briefs the agent of a handle, which another handle of the same agent continues', async () => {
  await using cache = new AgentContextCache({ natsUrl: null });
  await cache.as({ agent: 'booker' }).set('plan', 1);
  expect(shown(await cache.as({ agent: 'planner' }).briefing())).toEqual([['default', 'plan', 1]]);
  await cache.as({ agent: 'planner' }).set('plan', 2);
  expect((await cache.as({ agent: 'planner' }).briefing()).changes).toEqual([]);
  expect(shown(await cache.as({ agent: 'booker' }).briefing())).toEqual([['default', 'plan', 2]]);
});

test('shows each change of others exactly once, in any history of writes and briefings', async () => {
  const step = fc.record({
    agent: fc.constantFrom('a', 'b'),
    key: fc.constantFrom('x', 'y', 'z'),
    namespace: fc.constantFrom('one', 'two'),
    does: fc.constantFrom('set', 'set', 'delete', 'brief'),
  });
  const holds = async (steps: { agent: string; key: string; namespace: string; does: string }[]) => {
    await using cache = new AgentContextCache({ natsUrl: null });
    // What each agent would find by comparing the state with that of its last briefing.
    const pending: Record<string, Map<string, unknown>> = { a: new Map(), b: new Map() };
    for (const [n, { agent, key, namespace, does }] of steps.entries()) {
      if (does === 'brief') {
        const { changes } = await cache.briefing({ agent });
        const found = new Map(changes.map((change) => [`${change.namespace}/${change.key}`, change.value]));
        expect(found).toEqual(pending[agent]);
        pending[agent]?.clear();
        continue;
      }
      const value = does === 'set' ? n : undefined;
      const { changed } = await (does === 'set'
        ? cache.set(key, n, namespace, { agent })
        : cache.delete(key, namespace, { agent }));
      if (!changed) continue;
      for (const [other, each] of Object.entries(pending)) {
        // The last change of a key is its own now.
        if (other === agent) each.delete(`${namespace}/${key}`);
        else each.set(`${namespace}/${key}`, value);
      }
    }
  };
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), holds), fcOptions(100));
});

test('takes fewer tokens than the whole conversation in each turn of the recorded agents', async () => {
  await using cache = new AgentContextCache({ natsUrl: null });
  const tokensOf = (text: string) => Math.ceil(Buffer.byteLength(text) / 3);
  const lines = airlineLines().filter((line) => /"airline\/task-[0-4]\/trial-0"/.test(line));
  const last = new Map<string, string>();
  let briefed = 0;
  let whole = 0;
  for (const line of lines) {
    const { namespace, agent } = JSON.parse(line) as { namespace: string; agent: string };
    if (last.get(namespace) !== agent) {
      const { tokens, omitted } = await cache.briefing({ agent, namespaces: [namespace], maxTokens: 100_000 });
      expect(omitted).toBe(0);
      briefed += tokens;
      whole += tokensOf(JSON.stringify(cache.entries(namespace).map(({ key, value }) => [key, value])));
      last.set(namespace, agent);
    }
    await cache.ask(JSON.parse(line));
  }
  expect(lines.length).toBeGreaterThan(50);
  // Measured: 29,053 instead of 234,819 tokens.
  expect(briefed).toBeLessThan(whole / 5);
});

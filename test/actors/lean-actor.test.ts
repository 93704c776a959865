// Compares the lean actor with XState's own: the same listeners receive the same events.
import { describe, expect, it } from 'vitest';
import { Actor, emit, setup, waitFor } from 'xstate';
import { LeanActor } from '../../src/actors/lean-actor.ts';

const machine = setup({
  types: {
    events: {} as { type: 'go' } | { type: 'end' } | { type: 'fail' },
    emitted: {} as { type: 'went' } | { type: 'other' },
  },
  actions: {
    fail: () => {
      throw new Error('failed');
    },
  },
}).createMachine({
  initial: 'here',
  states: {
    here: { on: { go: { target: 'there', actions: emit({ type: 'went' }) }, end: 'gone', fail: { actions: 'fail' } } },
    there: { on: { go: { target: 'here', actions: emit({ type: 'other' }) }, end: 'gone', fail: { actions: 'fail' } } },
    gone: { type: 'final' },
  },
});

const KINDS = [Actor, LeanActor] as const;

function listsOf(actor: object): { observers: Set<unknown>; eventListeners: Map<string, unknown> } {
  return actor as ReturnType<typeof listsOf>;
}

async function heardOf(Kind: (typeof KINDS)[number], end: 'end' | 'fail' | 'stop'): Promise<string[]> {
  const heard: string[] = [];
  const tell = (who: string) => (what: unknown) => void heard.push(`${who} ${String(what)}`);
  const actor = new Kind(machine, { id: 'one' });
  const early = actor.on('went', ({ type }) => tell('early')(type));
  actor.on('*', ({ type }) => tell('any')(type));
  actor.subscribe({
    next: ({ value }) => tell('observer')(value),
    error: (error) => tell('error')(error),
    complete: () => tell('complete')(''),
  });
  const brief = actor.subscribe(({ value }) => tell('brief')(value), tell('brief error'));
  // XState throws the error in a later turn if a selection is observed.
  if (end !== 'fail') actor.select(({ value }) => value).subscribe(tell('selected'));
  actor.start();
  actor.send({ type: 'go' });
  early.unsubscribe();
  brief.unsubscribe();
  await waitFor(actor, ({ value }) => value === 'there');
  actor.send({ type: 'go' });
  actor.send({ type: 'go' });
  if (end === 'stop') actor.stop();
  else actor.send({ type: end });
  actor.subscribe({ error: tell('late error'), complete: () => tell('late complete')('') });
  actor.on('went', tell('late'));
  return heard;
}

describe('a lean actor', () => {
  it.each(['end', 'fail', 'stop'] as const)(
    "notifies its listeners as XState's actor does, until its %s",
    async (end) => {
      const [plain, lean] = await Promise.all(KINDS.map((Kind) => heardOf(Kind, end)));
      expect(lean).toEqual(plain);
      expect(lean?.length).toBeGreaterThan(10);
    },
  );

  it('shares its empty lists with other actors, and keeps listeners out of them', async () => {
    const make = () => new LeanActor(machine, {});
    const [quiet, loud] = [make(), make()];
    for (const list of ['observers', 'eventListeners'] as const) {
      expect(listsOf(quiet)[list]).toBe(listsOf(loud)[list]);
    }
    await heardOf(LeanActor, 'end');
    loud.on('*', () => {});
    loud.subscribe(() => {});
    for (const list of ['observers', 'eventListeners'] as const) {
      expect([listsOf(quiet)[list].size, listsOf(loud)[list].size]).toEqual([0, 1]);
    }
  });
});

import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { WatchHub } from '../../src/actors/watch-hub.ts';
import type { Contradictions } from '../../src/core/contradiction.ts';
import type { Update } from '../../src/core/update.ts';
import { INTERNALS } from '../../src/engine/internals.ts';
import { TraceReader } from '../../src/engine/trace-reader.ts';
import { type AgentContextCache, memorySubjectKeys } from '../../src/index.ts';
import { execute, type Link, linksOf, NAMES, reached, writes } from '../support/basis-model.ts';
import { codeOf, logOf, makeCache } from '../support/cache.ts';
import { fcOptions } from '../support/property.ts';
import { tempDir } from '../support/temp-dir.ts';

const sorted = (positions: Iterable<number>) => [...positions].sort((a, b) => a - b);

/** Pairs of positions whose later write contradicts the earlier one, found by comparing all updates. */
function contradictionsOf(updates: readonly Update[], links: readonly Link[]): [number, number][] {
  const certain = links.filter((link) => link.certain);
  return updates.flatMap((update, index): [number, number][] => {
    const { namespace, key, operation, basis, position, agent, value } = update;
    if (key === null || operation === 'touch' || basis === undefined) return [];
    const earlier = updates.slice(0, index).findLast((each) => {
      if (each.namespace !== namespace || each.operation === 'touch') return false;
      return each.key === key || (each.key === null && (each.keys === undefined || each.keys.includes(key)));
    });
    if (earlier?.key !== key || earlier.basis === undefined || earlier.agent === agent) return [];
    const known = reached(certain, position, 'effect', 'cause');
    if (links.some((link) => known.has(link.effect) && link.cause === earlier.position)) return [];
    const isSame = earlier.operation === operation && JSON.stringify(earlier.value) === JSON.stringify(value);
    return isSame ? [] : [[earlier.position, position]];
  });
}

async function compare(cache: AgentContextCache, before: readonly Update[] = []): Promise<void> {
  const updates = [...before, ...(await logOf(cache))];
  const links = linksOf(updates);
  const certain = links.filter((link) => link.certain);
  for (const { position, agent } of updates) {
    const impact = await cache.impact(position);
    expect(sorted(impact.writes.map((write) => write.position))).toEqual(
      sorted(reached(links, position, 'cause', 'effect')),
    );
    expect(sorted(impact.writes.filter((write) => write.certain).map((write) => write.position))).toEqual(
      sorted(reached(certain, position, 'cause', 'effect')),
    );
    expect(impact.writes[0]).toMatchObject({ position, agent, depth: 0 });
    const counted = impact.agents.reduce((sum, each) => sum + each.writes, 0);
    expect(counted).toBe(impact.writes.length - 1);
    for (const link of impact.links) expect(links).toContainEqual(link);
  }
  const expected = contradictionsOf(updates, links);
  const pairsOf = ({ contradictions }: Contradictions) =>
    contradictions.map(({ earlier, later }) => [earlier.position, later.position]);
  expect(pairsOf(await cache.contradictions())).toEqual(expected);
  for (const { position, namespace } of updates) {
    const later = expected.filter(([, at]) => at > position && updates[at - 1]?.namespace === namespace);
    expect(pairsOf(await cache.namespace(namespace).contradictions({ since: position }))).toEqual(later);
  }
  for (const namespace of NAMES) {
    for (const entry of cache.entries(namespace)) {
      const provenance = await cache.provenance(entry.key, namespace);
      const write = updates.findLast((each) => each.namespace === namespace && each.version === entry.version);
      const expected = reached(certain, write?.position as number, 'effect', 'cause');
      expect(provenance?.writes[0]?.position).toBe(write?.position);
      expect(sorted(provenance?.writes.map(({ position }) => position) ?? [])).toEqual(sorted(expected));
      for (const { position, agent, at } of provenance?.writes ?? [])
        expect(updates[position - 1]).toMatchObject({ position, agent, at });
    }
  }
}

describe('provenance and impact', () => {
  it('are what a walk over the whole log finds', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(writes, { maxLength: 25 }), fc.nat(25), async (all, asked) => {
        const { cache } = makeCache();
        for (const [index, write] of all.entries()) {
          await execute(cache, write);
          // From then on commits keep the index up to date.
          if (index === asked) await compare(cache);
        }
        await compare(cache);
        await cache.shutdown();
      }),
      fcOptions(40),
    );
  });

  it('are in a branch what a walk over the log of its parent up to the fork and its own finds', async () => {
    const commands = fc.array(writes, { maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(fc.tuple(commands, commands, commands, commands), fc.boolean(), async (all, isEarly) => {
        const [before = [], own = [], later = [], nested = []] = all;
        const { cache } = makeCache();
        for (const write of before) await execute(cache, write);
        const branch = await cache.fork();
        const shared = await logOf(cache);
        // From then on commits keep the index up to date.
        if (isEarly) await compare(branch, shared);
        for (const write of own) await execute(branch, write);
        for (const write of later) await execute(cache, write);
        await compare(branch, shared);
        const other = await branch.fork();
        const both = [...shared, ...(await logOf(branch))];
        for (const write of nested) await execute(other, write);
        for (const write of later) await execute(branch, write);
        await compare(other, both);
        for (const each of [other, branch, cache]) await each.shutdown();
      }),
      fcOptions(25),
    );
  });

  it('are refused in a branch whose parent is shut down, and end at the fork in a branch with its own directory', async () => {
    const { cache } = makeCache();
    const { version, position } = await cache.set('a', 1, 'n', { agent: 'scout' });
    const basis = [{ namespace: 'n', key: 'a', version }];
    const branch = await cache.fork();
    await branch.set('b', 2, 'n', { agent: 'planner', basis });
    expect((await branch.impact({ key: 'a', namespace: 'n' })).agents).toEqual([{ agent: 'planner', writes: 1 }]);
    const { restored } = await branch.retract(position, { cascade: 'restore' });
    expect(restored.map(({ key }) => key)).toEqual(['a', 'b']);
    const own = await cache.fork({ dataDir: await tempDir() });
    await own.set('b', 2, 'n', { basis });
    expect(await own.provenance('b', 'n')).toMatchObject({ writes: [{ key: 'b' }], open: [{ reading: basis[0] }] });
    expect(await codeOf(own.impact(position))).toBe('POSITION_UNAVAILABLE');
    const late = await cache.fork();
    await cache.shutdown();
    expect(await codeOf(late.impact(position))).toBe('CLOSED');
    for (const each of [late, branch, own]) await each.shutdown();
  });

  it('leave out what retention has discarded meanwhile', async () => {
    const { cache } = makeCache();
    const agent = cache.as({ agent: 'one' }, { basis: true });
    for (let n = 0; n < 4; n += 1) await agent.set('a', n, 'n');
    expect((await cache.provenance('a', 'n'))?.writes).toHaveLength(4);
    await cache.compact({ keepUpdates: 2 });
    const { writes, open } = (await cache.provenance('a', 'n')) ?? {};
    expect([writes?.map(({ position }) => position), open?.length]).toEqual([[4, 3], 1]);
    expect(await codeOf(cache.impact(1))).toBe('POSITION_UNAVAILABLE');
  });

  it('reconstruct a chain of ten agents with the right writers, also after a restart', async () => {
    const dataDir = await tempDir();
    const { AgentContextCache } = await import('../../src/index.ts');
    const chains = Array.from({ length: 4 }, (_, chain) => `chain-${chain}`);
    {
      await using cache = await AgentContextCache.open({ dataDir, natsUrl: null });
      const steps = Array.from({ length: 10 }, (_, step) => cache.as({ agent: `agent-${step}` }, { basis: true }));
      for (const chain of chains) await cache.set('step-0', chain, chain, { agent: 'root' });
      // The chains grow in turns, so that each handle works on all of them.
      for (const [step, agent] of steps.entries()) {
        for (const chain of chains) {
          agent.get(`step-${step}`, chain);
          await agent.set(`step-${step + 1}`, chain, chain);
        }
      }
      await check(cache);
    }
    await using reopened = await AgentContextCache.open({ dataDir, natsUrl: null });
    await check(reopened);

    async function check(cache: AgentContextCache): Promise<void> {
      for (const chain of chains) {
        const { writes = [], open } = (await cache.namespace(chain).provenance('step-10')) ?? {};
        const own = writes.filter(({ namespace }) => namespace === chain);
        expect(own.map(({ agent }) => agent)).toEqual([
          ...Array.from({ length: 10 }, (_, step) => `agent-${9 - step}`),
          'root',
        ]);
        expect(own.map(({ depth }) => depth)).toEqual(Array.from({ length: 11 }, (_, depth) => depth));
        expect(open).toEqual([]);
        const { agents } = await cache.impact({ key: 'step-0', namespace: chain });
        expect(agents.map(({ agent }) => agent).sort()).toEqual(
          Array.from({ length: 10 }, (_, step) => `agent-${step}`),
        );
      }
    }
  });

  it('find contradictions in pages, and call the hook with each new one', async () => {
    const told: string[] = [];
    const { cache, failures } = makeCache({
      onContradiction: async ({ key, earlier, later }) => {
        told.push(`${key} ${earlier.agent} ${later.agent}`);
        if (key === 'bad') throw new Error('of the hook');
        await cache.set('note', key, 'notes', { agent: 'referee' });
      },
    });
    const [ann, bob] = ['ann', 'bob'].map((agent) => cache.as({ agent }, { basis: true }));
    for (const key of ['hotel', 'bad', 'same']) {
      await ann?.set(key, 'Adler', 'trip');
      await bob?.set(key, key === 'same' ? 'Adler' : 'Bristol', 'trip');
    }
    bob?.get('hotel', 'trip');
    await ann?.get('hotel', 'trip');
    await ann?.set('hotel', 'Continental', 'trip');
    // It has read what it replaces, but then a third agent replaces it unseen.
    await cache.delete('hotel', 'trip', { agent: 'cleaner', basis: [] });
    await vi.waitFor(() => expect(told).toEqual(['hotel ann bob', 'bad ann bob', 'hotel ann cleaner']));
    const first = await cache.contradictions({ namespace: 'trip', limit: 1 });
    expect(first).toMatchObject({ contradictions: [{ key: 'hotel', later: { agent: 'bob' } }], more: true });
    const rest = await cache.contradictions({ since: first.next });
    expect(rest).toMatchObject({
      contradictions: [{ key: 'bad' }, { key: 'hotel' }],
      next: cache.position,
      more: false,
    });
    expect(failures).toMatchObject([{ error: { message: 'of the hook' }, source: { source: 'contradiction' } }]);
    expect(cache.entry('note', 'notes')?.agent).toBe('referee');
    await expect(cache.contradictions({ since: -1 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(cache.contradictions({ namespaces: 'n' } as never)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  it('compare values with subjects as they are read, and leave out what cannot be read', async () => {
    const { cache } = makeCache({ subjects: { keys: memorySubjectKeys() } });
    const [ann, bob] = ['ann', 'bob'].map((agent) => cache.as({ agent }, { basis: true }));
    for (const [key, subject] of [
      ['same', 'u'],
      ['other', 'v'],
      ['forgotten', 'w'],
    ] as const) {
      await ann?.set(key, 'Adler', 'trip', { subject });
      await bob?.set(key, key === 'same' ? 'Adler' : 'Bristol', 'trip', { subject });
    }
    const keysOf = async () => (await cache.contradictions()).contradictions.map(({ key }) => key);
    expect(await keysOf()).toEqual(['other', 'forgotten']);
    await cache.forget('w');
    expect(await keysOf()).toEqual(['other']);
  });

  it('rebuild the index once retention has discarded half of it, and report no contradiction twice', async () => {
    const told: number[] = [];
    const { cache } = makeCache({ onContradiction: ({ later }) => void told.push(later.position) });
    const { parts, past } = cache[INTERNALS];
    const { log, clock, report, registry, subjects } = parts;
    const trace = new TraceReader({ log, clock, report, registry, subjects, past });
    const discards = () => added.mock.results.filter(({ value }) => value.mock.calls.length > 0).length;
    const add = WatchHub.prototype.add;
    const added = vi.spyOn(WatchHub.prototype, 'add').mockImplementation(function (this: WatchHub, ...given) {
      return vi.fn(add.apply(this, given));
    });
    await trace.contradictions({});
    expect(added).toHaveBeenCalledTimes(1);
    const contradict = async () => {
      await cache.set('hotel', cache.position, 'trip', { agent: 'ann', basis: [] });
      await cache.set('hotel', cache.position, 'trip', { agent: 'bob', basis: [] });
    };
    await contradict();
    const first = cache.position;
    await vi.waitFor(() => expect(told).toEqual([first]));
    for (let n = 0; n < 1500; n += 1) await cache.set(`key-${n % 10}`, n, 'filler');
    await contradict();
    const second = cache.position;
    await vi.waitFor(() => expect(told).toEqual([first, second - 1, second]));
    await cache.compact({ keepUpdates: 20 });
    await contradict();
    const last = cache.position;
    // Only the index of the hook is rebuilt at once.
    await vi.waitFor(() => expect(discards()).toBe(1));
    expect(added).toHaveBeenCalledTimes(2);
    await vi.waitFor(() => expect(told.at(-1)).toBe(last));
    expect(new Set(told).size).toBe(told.length);
    const { contradictions, next } = await trace.contradictions({});
    expect(contradictions.map(({ later }) => later.position)).toEqual([second, last - 1, last]);
    expect(next).toBe(last);
    expect((await trace.impact(second - 1, {})).writes).toHaveLength(1);
    added.mockRestore();
  });

  it('find a write that may have read one of several keys, although it names another key with the same version', async () => {
    const { cache } = makeCache();
    await cache.set('a', 1, 'n');
    const { version, position } = await cache.clearNamespace('n', { prefix: 'a' });
    await cache.set('b', 1, 'm', { basis: [{ namespace: 'n', key: 'b', version }, { position }] });
    expect((await cache.impact(position)).writes).toMatchObject([{ position }, { key: 'b', certain: false }]);
  });

  it('say what they cannot follow, and refuse what does not exist', async () => {
    const { cache } = makeCache();
    await cache.set('a', 1, 'n', { basis: [{ key: 'a', version: 7 }, { position: 0 }, { key: 'b', version: 0 }] });
    expect((await cache.provenance('a', 'n'))?.open).toEqual([
      { position: 1, reading: { namespace: 'default', key: 'a', version: 7 } },
      { position: 1, reading: { position: 0 } },
    ]);
    expect(await cache.provenance('none', 'n')).toBeUndefined();
    expect(await cache.provenance('a', 'n', { at: 0 })).toBeUndefined();
    for (let index = 0; index < 5; index += 1) {
      await cache.set('a', index, 'n', { basis: [{ namespace: 'n', key: 'a', version: index + 1 }] });
    }
    expect(await cache.provenance('a', 'n', { limit: 3 })).toMatchObject({ more: true, writes: [{}, {}, {}] });
    expect((await cache.provenance('a', 'n', { at: 3 }))?.writes.map(({ position }) => position)).toEqual([3, 2, 1]);
    expect(await cache.impact(1, { limit: 2 })).toMatchObject({ more: true, agents: [{ agent: null, writes: 1 }] });
    const refused = (run: Promise<unknown>, code: string) => expect(run).rejects.toMatchObject({ code });
    await refused(cache.impact(99), 'POSITION_UNAVAILABLE');
    await refused(cache.impact(0), 'INVALID_OPTION');
    await refused(cache.impact({ key: 'none' }), 'NOT_FOUND');
    await refused(cache.impact(1, { limit: 0 }), 'INVALID_OPTION');
    await refused(cache.impact(1, { most: 1 } as never), 'INVALID_OPTION');
    await refused(cache.provenance('a', 'n', { at: -1 }), 'INVALID_OPTION');
    await refused(cache.ask({ type: 'context.impact', position: 1, key: 'a' }), 'INVALID_COMMAND');
  });
});

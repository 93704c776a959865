import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Acknowledgement,
  AgentContextCache,
  ContextUpdateProcessor,
  type EntryVersion,
  InMemoryContextCache,
  type JsonValue,
  memorySubjectKeys,
  replay,
  type Update,
} from '../../src/index.ts';
import { execute, linksOf, NAMES, reached, writes } from '../support/basis-model.ts';
import { closing, codeOf, logOf, makeCache } from '../support/cache.ts';
import { fcOptions } from '../support/property.ts';
import { tempDir } from '../support/temp-dir.ts';

type Shown = Record<string, readonly [value: JsonValue, expiresAt: number | null]>;

/** Values and expiries by namespace and key. */
function stateOf(cache: Pick<AgentContextCache, 'entries'>): Shown {
  const shown: Shown = {};
  for (const namespace of NAMES)
    for (const { key, value, expiresAt } of cache.entries(namespace)) shown[`${namespace}/${key}`] = [value, expiresAt];
  return shown;
}

/** Replays updates without some of them. */
function replayWithout(updates: readonly Update[], left: ReadonlySet<number>): Shown {
  const shown: Shown = {};
  for (const { position, namespace, operation, key, keys, value, expiresAt } of updates) {
    if (left.has(position)) continue;
    const own = `${namespace}/`;
    const name = `${own}${key}`;
    if (operation === 'set') shown[name] = [value, expiresAt];
    else if (operation === 'touch') shown[name] = [(shown[name] as Shown[string])[0], expiresAt];
    else {
      const removed = key !== null ? [name] : (keys?.map((each) => own + each) ?? Object.keys(shown));
      for (const each of removed) if (each.startsWith(own)) delete shown[each];
    }
  }
  return shown;
}

/** A scout misreads a sign, a planner and a booker rely on it. Resolves with the acknowledgement of the misreading. */
async function fleet(cache: AgentContextCache): Promise<Acknowledgement> {
  const agent = (name: string) => cache.as({ agent: name }, { basis: true });
  const [scout, planner, booker] = [agent('scout'), agent('planner'), agent('booker')];
  await scout.set('station', 'open', 'trip');
  const misread = await scout.set('station', 'closed', 'trip');
  await planner.entry('station', 'trip');
  await planner.set('plan', 'bus', 'trip', { meta: { task: 1 } });
  await booker.get('plan', 'trip');
  await booker.set('ticket', 'bus 9:04', 'trip');
  return misread;
}

describe('retract', () => {
  it('with restore gives the state of a replay without the write and all that is based on it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(writes, { minLength: 1, maxLength: 25 }), fc.nat(24), async (all, which) => {
        const { cache } = makeCache();
        for (const write of all) await execute(cache, write);
        const updates = await logOf(cache);
        const position = 1 + (which % Math.max(1, updates.length));
        if (updates.length === 0) return;
        const before = stateOf(cache);
        const certain = linksOf(updates).filter((link) => link.certain);
        const expected = replayWithout(updates, reached(certain, position, 'cause', 'effect'));
        const planned = await cache.retract(position, { cascade: 'restore', dryRun: true });
        expect(stateOf(cache)).toEqual(before);
        const report = await cache.retract(position, { cascade: 'restore' });
        expect({ ...planned, position: 0, changed: 0 }).toEqual({ ...report, position: 0, changed: 0 });
        expect(stateOf(cache)).toEqual(expected);
        expect((await cache.retract(position, { cascade: 'restore' })).changed).toBe(false);
        if (!report.changed) return;
        const back = await cache.retract(report.position);
        expect(stateOf(cache)).toEqual(before);
        await cache.retract(back.position);
        expect(stateOf(cache)).toEqual(expected);
        expect((await cache.verify()).problems).toEqual([]);
      }),
      fcOptions(40),
    );
  });

  it('marks dependants as stale until they are written again, and shows why to every reader', async () => {
    const { cache } = makeCache();
    const { position } = await fleet(cache);
    const seen: Update[] = [];
    cache.subscribe((update) => void seen.push(update), { namespace: 'trip' });
    const report = await cache.retract(position, { reason: 'misread', agent: 'operator', cascade: 'mark' });
    expect(report).toEqual({
      ...{ retracted: position, position: 7, changed: true, supported: [], conflicts: [] },
      restored: [{ namespace: 'trip', key: 'station', removed: false }],
      marked: [
        { namespace: 'trip', key: 'plan' },
        { namespace: 'trip', key: 'ticket' },
      ],
    });
    const retraction = { position, reason: 'misread' };
    const stale = { because: position, reason: 'misread' };
    expect(cache.entry('station', 'trip')).toMatchObject({ value: 'open', agent: 'operator', retraction });
    expect(cache.entry('plan', 'trip')).toMatchObject({ value: 'bus', stale, meta: { task: 1 } });
    expect(cache.at(7).entry('plan', 'trip')).toMatchObject({ stale });
    expect(cache.at(6).entry('ticket', 'trip')).not.toHaveProperty('stale');
    const { changes } = await cache.changes({ since: 4 });
    expect(changes.map((each) => [each.key, each.retraction ?? each.stale])).toEqual(
      [
        ['plan', stale],
        ['station', retraction],
        ['ticket', stale],
      ].sort((a, b) => seen.findIndex(({ key }) => key === a[0]) - seen.findIndex(({ key }) => key === b[0])),
    );
    expect(seen.map((each) => each.retraction ?? each.stale)).toHaveLength(3);
    expect(seen.every((each) => each.meta === undefined || each.meta.task === 1)).toBe(true);
    const versions: EntryVersion[] = [];
    for await (const version of cache.history('station', 'trip')) versions.push(version);
    expect(versions.map((each) => each.retraction)).toEqual([retraction, undefined, undefined]);
    await cache.touch('plan', 'trip', { ttl: '1h' });
    expect(cache.entry('plan', 'trip')).toMatchObject({ stale });
    await cache.set('plan', 'tram', 'trip');
    expect(cache.entry('plan', 'trip')).not.toHaveProperty('stale');
    // The mark is taken back with the retraction, unless the entry was written since.
    const back = await cache.retract(report.position);
    expect(back.conflicts.map(({ key }) => key)).toEqual(['plan']);
    expect(cache.entry('ticket', 'trip')).not.toHaveProperty('stale');
    expect(cache.get('station', 'trip')).toBe('closed');
  });

  it('restores entries of several namespaces in one transaction, and leads provenance to the writer of what stands again', async () => {
    const { cache } = makeCache();
    const { position } = await fleet(cache);
    await cache.as({ agent: 'payer' }).set('paid', 9, 'money', {
      basis: [{ namespace: 'trip', key: 'ticket', version: 4 }],
    });
    const handle = cache.as({ agent: 'operator', meta: { shift: 'late' } });
    const report = await handle.retract(position, { cascade: 'restore' });
    expect(report.restored).toEqual([
      { namespace: 'money', key: 'paid', removed: true },
      { namespace: 'trip', key: 'plan', removed: true },
      { namespace: 'trip', key: 'station', removed: false },
      { namespace: 'trip', key: 'ticket', removed: true },
    ]);
    const written = (await logOf(cache)).slice(5);
    expect(new Set(written.map(({ operationId }) => operationId)).size).toBe(1);
    expect(written.map(({ agent }) => agent)).toEqual(Array(4).fill('operator'));
    const provenance = await cache.provenance('station', 'trip');
    expect(provenance?.writes.map(({ agent, position: at }) => [agent, at])).toEqual([
      ['operator', expect.any(Number)],
      ['scout', 1],
    ]);
    expect((await cache.contradictions()).contradictions).toEqual([]);
    expect(cache.entry('station', 'trip')).not.toHaveProperty('meta');
  });

  it('reports what was written later, and never overwrites it', async () => {
    const { cache } = makeCache();
    const { position } = await fleet(cache);
    await cache.set('station', 'shut for repair', 'trip', { agent: 'warden' });
    await cache.delete('plan', 'trip', { agent: 'warden' });
    const { conflicts, restored } = await cache.retract(position, { cascade: 'restore' });
    expect(conflicts).toEqual([
      { namespace: 'trip', key: 'plan', position: 6, operation: 'delete', agent: 'warden', at: expect.any(Number) },
      { namespace: 'trip', key: 'station', position: 5, operation: 'set', agent: 'warden', at: expect.any(Number) },
    ]);
    expect(restored).toEqual([{ namespace: 'trip', key: 'ticket', removed: true }]);
    expect(cache.get('station', 'trip')).toBe('shut for repair');
    const other = await cache.set('k', 1, 'gone');
    await cache.dropNamespace('gone');
    await cache.set('k', 2, 'gone');
    expect((await cache.retract(other.position)).conflicts).toMatchObject([{ operation: 'set', key: 'k' }]);
    expect(cache.get('k', 'gone')).toBe(2);
  });

  it('leaves a dependant whose value also stands without the write, and marks one that only may have read it', async () => {
    const { cache } = makeCache();
    await cache.set('a', 1, 'n');
    await cache.set('same', 'x', 'n');
    const { position, version } = await cache.set('a', 2, 'n');
    await cache.set('same', 'x', 'n', { basis: [{ namespace: 'n', key: 'a', version }] });
    await cache.set('perhaps', 'y', 'n', { basis: [{ position }] });
    const report = await cache.retract(position, { cascade: 'restore' });
    expect(report).toMatchObject({
      restored: [{ key: 'a' }],
      supported: [{ key: 'same' }],
      marked: [{ key: 'perhaps' }],
    });
    expect(cache.entry('perhaps', 'n')).toMatchObject({ value: 'y', stale: { because: position } });
  });

  it('clears the mark of an entry that stands without the write, and sets it again when it is taken back itself', async () => {
    const { cache } = makeCache();
    await cache.set('a', 1, 'n');
    await cache.set('same', 'x', 'n');
    const { position, version } = await cache.set('a', 2, 'n');
    await cache.set('same', 'x', 'n', { basis: [{ namespace: 'n', key: 'a', version }], meta: { task: 1 } });
    await cache.retract(position, { cascade: 'mark' });
    expect(cache.entry('same', 'n')).toHaveProperty('stale');
    const options = { cascade: 'restore', operationId: 'undo-1' } as const;
    const report = await cache.retract(position, options);
    expect(report).toMatchObject({ changed: true, restored: [], supported: [{ key: 'same' }] });
    expect(cache.entry('same', 'n')).toMatchObject({ value: 'x', meta: { task: 1 }, retraction: { position } });
    expect(cache.entry('same', 'n')).not.toHaveProperty('stale');
    expect(await cache.retract(position, options)).toEqual(report);
    expect(await cache.retract(position, { cascade: 'restore' })).toMatchObject({ changed: false });
    await cache.retract(report.position);
    expect(cache.entry('same', 'n')).toMatchObject({ value: 'x', stale: { because: position } });
  });

  it('takes back as a whole a retraction that has marked an entry which another has restored', async () => {
    const { cache } = makeCache();
    const fact = await cache.set('a', 1, 'n');
    await cache.set('b', 1, 'n', { basis: [{ namespace: 'n', key: 'a', version: fact.version }] });
    const other = await cache.set('b', 2, 'n');
    await cache.retract(other.position);
    const basis = [{ namespace: 'n', key: 'b', version: cache.entry('b', 'n')?.version ?? 0 }];
    await cache.set('c', 1, 'n', { basis });
    const options = { cascade: 'mark', operationId: 'undo-1' } as const;
    const report = await cache.retract(fact.position, options);
    expect(report.marked).toMatchObject([{ key: 'b' }, { key: 'c' }]);
    expect(await cache.retract(fact.position, options)).toEqual(report);
    await cache.retract(report.position);
    expect(cache.entries('n').map(({ key, stale }) => [key, stale])).toEqual([
      ['a', undefined],
      ['b', undefined],
      ['c', undefined],
    ]);
  });

  it('brings back no value that has expired meanwhile, and counts an expiry as part of the write', async () => {
    const { cache, clock } = makeCache();
    await cache.set('short', 1, 'n', { ttl: 100 });
    const short = await cache.set('short', 2, 'n');
    await cache.set('long', 1, 'n');
    const long = await cache.set('long', 2, 'n', { ttl: 50 });
    clock.increment(60);
    await cache.flush();
    expect(cache.get('long', 'n')).toBeUndefined();
    const expired = (await logOf(cache)).find(({ operation }) => operation === 'expire') as Update;
    expect(await codeOf(cache.retract(expired.position))).toBe('INVALID_COMMAND');
    expect(await cache.retract(long.position)).toMatchObject({ restored: [{ key: 'long', removed: false }] });
    expect(cache.get('long', 'n')).toBe(1);
    clock.increment(60);
    expect(await cache.retract(short.position)).toMatchObject({ restored: [{ key: 'short', removed: true }] });
    expect(cache.entry('short', 'n')).toBeUndefined();
  });

  it('brings back the keys that a clear removed, and takes back one update of a transaction', async () => {
    const { cache } = makeCache();
    await cache.setMany({ 'a:1': 1, 'a:2': 2, b: 3 }, 'n', { ttl: '1h' });
    const prefix = await cache.clearNamespace('n', { prefix: 'a:' });
    await cache.set('a:2', 'new', 'n');
    expect(await cache.retract(prefix.position)).toMatchObject({
      restored: [{ key: 'a:1' }],
      conflicts: [{ key: 'a:2' }],
    });
    const whole = await cache.dropNamespace('n');
    await cache.retract(whole.position);
    expect(cache.entries('n').map(({ key, value }) => [key, value])).toEqual([
      ['a:1', 1],
      ['a:2', 'new'],
      ['b', 3],
    ]);
    expect(cache.entry('b', 'n')?.expiresAt).not.toBeNull();
    const { position } = await cache.transaction([
      { operation: 'set', namespace: 'n', key: 'b', value: 4 },
      { operation: 'set', namespace: 'm', key: 'c', value: 5 },
    ]);
    await cache.retract(position);
    expect([cache.get('b', 'n'), cache.get('c', 'm')]).toEqual([4, undefined]);
  });

  it('refuses what it cannot take back, before anything has changed', async () => {
    const { cache } = makeCache({ log: { capacityUpdates: 4 } });
    for (let value = 1; value <= 9; value += 1) await cache.set('k', value);
    const { position } = cache;
    const codes = (...calls: [number, object?][]) =>
      Promise.all(calls.map(([at, options]) => codeOf(cache.retract(at, options))));
    expect(await codes([1], [10], [0], [1.5])).toEqual([
      'POSITION_UNAVAILABLE',
      'POSITION_UNAVAILABLE',
      'INVALID_OPTION',
      'INVALID_OPTION',
    ]);
    const wrong = [{ cascade: 'all' }, { reason: '' }, { reason: 'x'.repeat(501) }, { dryRun: 1 }, { agent: '' }];
    expect(await codes(...wrong.map((options): [number, object] => [9, options]))).toEqual(
      Array(5).fill('INVALID_COMMAND'),
    );
    expect(await codeOf(cache.retract(9, { cascad: 'none' } as object))).toBe('INVALID_OPTION');
    expect(await codeOf(cache.set('k', 1, 'n', { meta: { $stale: { because: 1 } } }))).toBe('INVALID_COMMAND');
    expect(cache.position).toBe(position);
    const { cache: over } = makeCache({ primaryCache: new InMemoryContextCache() });
    await over.set('k', 1);
    expect(await codeOf(over.retract(1))).toBe('INVALID_OPTION');
  });

  it('is made once for an operation id, whose other use is refused', async () => {
    const { cache } = makeCache();
    const { position } = await fleet(cache);
    const options = { cascade: 'restore', operationId: 'undo-1', reason: 'misread' } as const;
    const [first, again] = await Promise.all([cache.retract(position, options), cache.retract(position, options)]);
    expect(again).toEqual(first);
    const end = cache.position;
    await cache.set('plan', 'walk', 'trip');
    expect(await cache.retract(position, options)).toEqual(first);
    expect(await codeOf(cache.retract(1, options))).toBe('OPERATION_REUSED');
    expect(cache.position).toBe(end + 1);
  });

  it('needs the right to write every entry that it is about', async () => {
    const { cache } = makeCache({
      grants: [
        { agent: 'planner', read: ['trip'], write: [{ namespace: 'trip', keys: ['station'] }] },
        { agent: 'operator', write: ['trip'] },
      ],
    });
    const scout = { agent: 'scout', basis: [] };
    await cache.addGrant({ agent: 'scout', read: ['**'], write: ['**'] });
    await cache.set('station', 'open', 'trip', scout);
    const { position, version } = await cache.set('station', 'closed', 'trip', scout);
    await cache.set('plan', 'bus', 'trip', { ...scout, basis: [{ namespace: 'trip', key: 'station', version }] });
    const end = cache.position;
    const planner = cache.as({ agent: 'planner' });
    expect(await codeOf(planner.retract(position, { cascade: 'restore' }))).toBe('ACCESS_DENIED');
    expect(await codeOf(planner.retract(3))).toBe('ACCESS_DENIED');
    expect(await codeOf(planner.retract(position, { agent: 'operator' }))).toBe('ACCESS_DENIED');
    expect(await codeOf(cache.retract(position, { agent: 'nemo' }))).toBe('ACCESS_DENIED');
    expect(cache.position).toBe(end);
    const operationId = 'undo-1';
    await cache.retract(position, { cascade: 'mark', operationId });
    expect(await codeOf(planner.retract(position, { cascade: 'mark', operationId }))).toBe('ACCESS_DENIED');
    const repeated = { cascade: 'mark', operationId, agent: 'operator' } as const;
    expect(await cache.retract(position, repeated)).toMatchObject({ marked: [{ key: 'plan' }] });
    await planner.retract(position);
    const operator = cache.as({ agent: 'operator' });
    await cache.set('plan', 'tram', 'trip', scout);
    expect(await operator.retract(3)).toMatchObject({ conflicts: [{ key: 'plan', agent: null }] });
  });

  it('brings back a forgotten value as forgotten, and does not take back a forgetting', async () => {
    const { cache } = makeCache({ subjects: { keys: memorySubjectKeys() } });
    await cache.set('address', 'Oslo', 'trip', { subject: 'ada' });
    await cache.set('name', 'Ada', 'trip', { subject: 'ada' });
    const { position } = await cache.set('address', 'Bergen', 'trip');
    const named = await cache.set('name', 'x', 'trip');
    await cache.retract(named.position);
    expect(cache.get('name', 'trip')).toBe('Ada');
    const forgotten = await cache.forget('ada');
    await cache.retract(position);
    expect(cache.get('address', 'trip')).toBeUndefined();
    expect(cache.entry('address', 'trip')).toMatchObject({ value: null, forgotten: [''] });
    expect(await codeOf(cache.retract(forgotten.position))).toBe('FORBIDDEN');
  });

  it('takes in what was written while it was planned', async () => {
    const { cache } = makeCache();
    const { position } = await fleet(cache);
    const retracting = cache.retract(position, { cascade: 'restore' });
    const wrote = cache.set('ticket', 'train', 'trip', { agent: 'warden' });
    expect(await retracting).toMatchObject({ conflicts: [{ key: 'ticket', agent: 'warden' }] });
    await wrote;
    expect(cache.get('ticket', 'trip')).toBe('train');
  });

  it('survives a restart and a replay from lines with the same digest, and public messages say why', async () => {
    const dataDir = await tempDir();
    let cache = await AgentContextCache.open({ dataDir });
    const { position } = await fleet(cache);
    await cache.retract(position, { reason: 'misread', cascade: 'mark' });
    const digest = await cache.digest();
    const lines = (await logOf(cache)).map((update) => JSON.stringify(update));
    const processor = new ContextUpdateProcessor({ log: 'l' });
    const messages = (await logOf(cache)).flatMap((update) => processor.process(update)?.payload ?? []);
    expect(JSON.parse(messages[4] as string)).toMatchObject({ retraction: { position, reason: 'misread' } });
    await cache.shutdown();
    cache = closing(await AgentContextCache.open({ dataDir }));
    expect(await cache.digest()).toBe(digest);
    expect((await cache.verify()).problems).toEqual([]);
    expect(cache.entry('plan', 'trip')).toMatchObject({ stale: { because: position, reason: 'misread' } });
    const replayed = closing((await replay(lines)).cache);
    expect(await replayed.digest()).toBe(digest);
  });

  it('comes first in a briefing, with the reason', async () => {
    const { cache } = makeCache();
    const { position } = await fleet(cache);
    const operator = cache.as({ agent: 'operator' });
    await operator.retract(position, { reason: 'misread', cascade: 'mark' });
    await operator.set('weather', 'fine', 'trip');
    const { changes, text } = await cache.as({ agent: 'planner' }).briefing();
    expect(changes.map(({ key }) => key)).toEqual(['ticket', 'station', 'plan', 'weather']);
    expect(text).toContain('plan = "bus" [stale, based on what was taken back: misread] (operator');
    expect(text).toContain('station = "open" [taken back: misread] (operator');
  });
});

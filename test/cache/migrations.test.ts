import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  AgentContextCache,
  type Entry,
  InMemoryContextCache,
  type JsonValue,
  memorySubjectKeys,
} from '../../src/index.ts';
import type { Found, Migration } from '../../src/types.ts';
import { codeOf, LateCache, logOf, makeCache, simulatedClock } from '../support/cache.ts';
import { open } from '../support/durable.ts';
import { fcOptions } from '../support/property.ts';
import { serveThroughProxy } from '../support/served.ts';
import { tempDir } from '../support/temp-dir.ts';

/** Texts become objects in version 2; version 3 adds the number of days. */
const migrations: readonly Migration[] = [
  {
    ...{ version: 3, namespaces: ['trip/**', 'plan'] },
    when: (value) => !('days' in Object(value)),
    migrate: (value) => ({ ...(value as object), days: 1 }),
  },
  {
    ...{ version: 2, namespaces: 'trip/**' },
    when: (value) => typeof value === 'string',
    migrate: (value) => ({ city: value }),
  },
];
const OSLO = { city: 'Oslo', days: 1 };

describe('migrations', () => {
  it('give every read of the present the newest form, and leave log, past and digest as they were', async () => {
    const { cache } = makeCache({ migrations });
    const plain = makeCache();
    const conflicting: unknown[] = [];
    const watched = cache.watch({ namespace: 'trip/1' });
    cache.subscribe(({ value }) => void conflicting.push(value), { namespace: 'trip/1' });
    for (const each of [cache, plain.cache]) {
      await each.set('a', 'Oslo', 'trip/1', { agent: 'ann' });
      await each.set('b', { city: 'Rome', days: 2 }, 'trip/1');
      await each.set('a', 'Oslo', 'trips');
    }
    expect(cache.get('a', 'trip/1')).toEqual(OSLO);
    expect(Object.isFrozen(cache.get('a', 'trip/1'))).toBe(true);
    expect(cache.get('b', 'trip/1')).toEqual({ city: 'Rome', days: 2 });
    await cache.set('undated', { city: 'Rome' }, 'plan');
    // A migrated object is remembered.
    expect(cache.get('undated', 'plan')).toBe(cache.get('undated', 'plan'));
    await plain.cache.set('undated', { city: 'Rome' }, 'plan');
    expect(cache.get('a', 'trips')).toBe('Oslo');
    expect(cache.getMany(['a', 'x'], 'trip/1')).toEqual([OSLO, undefined]);
    expect(cache.entry('a', 'trip/1')).toMatchObject({ value: OSLO, version: 1, agent: 'ann' });
    expect(cache.entries('trip/1')[0]?.value).toEqual(OSLO);
    expect([...cache.entries('trip/1', { prefix: 'a' })][0]?.value).toEqual(OSLO);
    const search = { where: { '/city': 'Oslo' }, namespace: 'trip/1' };
    expect((await cache.search(search)).entries.map(({ value }) => value)).toEqual([OSLO]);
    expect(await cache.getOrSet('a', () => 'other', 'trip/1')).toEqual(OSLO);
    expect(await cache.getOrSet('c', () => 'Oslo', 'trip/1')).toEqual(OSLO);
    await plain.cache.set('c', 'Oslo', 'trip/1');
    expect((await watched.next()).value).toMatchObject({ value: OSLO, position: 1 });
    expect(conflicting[0]).toEqual(OSLO);
    const { changes } = await cache.changes({ since: 0, namespace: 'trip/1' });
    expect(changes[0]).toMatchObject({ key: 'a', value: OSLO });
    const stale = await cache.set('a', 'x', 'trip/1', { ifVersion: 9 }).catch((error) => error);
    expect(stale.current.value).toEqual(OSLO);
    expect(await cache.transact(async (tx) => tx.get('a', 'trip/1'))).toEqual(OSLO);
    expect((await logOf(cache)).map(({ value }) => value)[0]).toBe('Oslo');
    expect(cache.at(1).get('a', 'trip/1')).toBe('Oslo');
    for await (const { value } of cache.history('a', 'trip/1')) expect(value).toBe('Oslo');
    expect(await cache.digest()).toBe(await plain.cache.digest());
    expect(await cache.verify()).toMatchObject({ ok: true });
  });

  it('are what a search goes by, in small and in large namespaces, in memory and on disk', async () => {
    const dataDir = await tempDir();
    const many = Array.from({ length: 1_100 }, (_, index) => [`k${index}`, index === 700 ? 'Oslo' : 'Rome']);
    const search = async (cache: { search(options: object): Promise<Found> }) =>
      (await cache.search({ where: { '/city': 'Oslo' } })).entries.map(({ namespace, key }) => `${namespace} ${key}`);
    const found = ['trip/large k700', 'trip/small a', 'trips new'];
    {
      const { cache } = await open({ dataDir, migrations });
      await cache.setMany(Object.fromEntries(many), 'trip/large');
      await cache.setMany({ a: 'Oslo', b: 'Rome' }, 'trip/small');
      await cache.setMany({ old: 'Oslo', new: OSLO }, 'trips');
      expect(await search(cache)).toEqual(found);
      await cache.shutdown();
    }
    const { cache } = await open({ dataDir, migrations });
    expect(await search(cache)).toEqual(found);
  });

  it('give update the newest form, so that what it writes has it too', async () => {
    const schemas = { 'trip/*': z.object({ city: z.string(), days: z.number() }) };
    const dataDir = await tempDir();
    const old = await open({ dataDir });
    await old.cache.set('a', 'Oslo', 'trip/1');
    await old.cache.set('b', 'Bergen', 'trip/1');
    await old.cache.shutdown();
    const { cache } = await open({ dataDir, schemas: schemas as never, migrations });
    expect(cache.get('b', 'trip/1')).toEqual({ city: 'Bergen', days: 1 });
    const longer = (value: unknown) => ({ ...(value as typeof OSLO), days: 4 });
    const { entry } = await cache.update('a', longer as never, 'trip/1');
    expect(entry?.value).toEqual({ city: 'Oslo', days: 4 });
    expect((await logOf(cache)).map(({ value }) => value)).toEqual(['Oslo', 'Bergen', { city: 'Oslo', days: 4 }]);
    expect(await codeOf(cache.set('c', 'Oslo' as never, 'trip/1'))).toBe('SCHEMA_MISMATCH');
    expect(await cache.checkSchemas(schemas)).toMatchObject({ ok: true, checked: { recorded: 3, present: 2 } });
    expect(await cache.verify()).toMatchObject({ ok: true });
  });

  it('are a matter of the server for clients, and inherited by branches', async () => {
    const { cache } = makeCache({ migrations, clock: simulatedClock() });
    await using served = await serveThroughProxy({ cache });
    const { remote } = served;
    await remote.set('a', 'Oslo', 'trip/1');
    expect(await remote.get('a', 'trip/1')).toEqual(OSLO);
    expect((await remote.entry('a', 'trip/1'))?.value).toEqual(OSLO);
    const longer = (value: unknown) => ({ ...(value as typeof OSLO), days: 2 });
    expect((await remote.update('a', longer as never, 'trip/1')).value).toEqual({ city: 'Oslo', days: 2 });
    const schemas = { 'trip/*': z.object({ city: z.string(), days: z.number() }) };
    expect(await remote.checkSchemas(schemas)).toMatchObject({ refused: { recorded: 1, present: 0 } });
    expect(await remote.checkSchemas(schemas, { migrations })).toMatchObject({ ok: true });
    const branch = await cache.fork();
    await branch.set('b', 'Rome', 'trip/1');
    expect(branch.get('b', 'trip/1')).toEqual({ city: 'Rome', days: 1 });
    await cache.merge(branch);
    expect((await logOf(cache)).at(-1)?.value).toBe('Rome');
    expect(cache.get('b', 'trip/1')).toEqual({ city: 'Rome', days: 1 });
    await branch.shutdown();
  });

  it('see values with subjects as readers do, also after a part was forgotten', async () => {
    const cache = new AgentContextCache({ subjects: { keys: memorySubjectKeys() }, migrations });
    await cache.set('a', 'Oslo', 'trip/1', { subject: 'ada' });
    await cache.set('b', { city: 'Oslo', guest: 'Ada' }, 'trip/1', { subjects: { '/guest': 'ada' } });
    expect(cache.get('a', 'trip/1')).toEqual(OSLO);
    const changed = await cache.update('a', (value) => ({ ...(value as typeof OSLO), days: 2 }), 'trip/1');
    expect(changed.value).toEqual({ city: 'Oslo', days: 2 });
    expect(JSON.stringify(await logOf(cache))).not.toMatch(/"Oslo","days"/);
    await cache.forget('ada');
    expect(cache.get('a', 'trip/1')).toBeUndefined();
    expect(cache.entry('a', 'trip/1')).toMatchObject({ value: null, forgotten: [''] });
    expect(cache.entry('b', 'trip/1')).toMatchObject({
      value: { city: 'Oslo', guest: null, days: 1 },
      forgotten: ['/guest'],
    });
    await cache.shutdown();
  });

  it('that fail for a value tell an agent nothing that it may not read, and stop none of its calls', async () => {
    const parsing: readonly Migration[] = [
      {
        ...{ version: 2, namespaces: '**' },
        when: (value) => typeof value === 'string',
        migrate: (value) => ({ parsed: JSON.parse(value as string) }),
      },
    ];
    const grants = [{ agent: 'guest', read: ['zz', { namespace: 'vault', keys: 'open*' }], write: ['vault'] }];
    for (const primaryCache of [undefined, new InMemoryContextCache(), new LateCache()]) {
      const { cache, failures } = makeCache({ migrations: parsing, grants, primaryCache } as never);
      const guest = cache.as({ agent: 'guest' });
      const seen: unknown[] = [];
      guest.subscribe(({ key }) => void seen.push(key), {});
      const watched = [guest.watch({}), guest.watch({ since: 0 })];
      await cache.set('code', 'hunter2', 'vault');
      await cache.set('open', '1', 'vault');
      await cache.set('a', '2', 'zz');
      if (primaryCache === undefined) watched.push(guest.watch({ include: 'snapshot' }));
      for (const each of watched) {
        const keys = [(await each.next()).value?.key, (await each.next()).value?.key];
        expect(keys).toEqual(['open', 'a']);
        await each.return?.();
      }
      expect([seen, failures]).toEqual([['open', 'a'], []]);
      if (primaryCache === undefined) {
        const { changes } = await guest.changes({ since: 0 });
        expect(changes.map(({ key, value }) => [key, value])).toEqual([
          ['open', { parsed: 1 }],
          ['a', { parsed: 2 }],
        ]);
        await expect(cache.changes({ since: 0 })).rejects.toThrow('hunter2');
      }
      expect(((await guest.entries('vault')) as Entry[]).map(({ key }) => key)).toEqual(['open']);
      const inOrder: string[] = [];
      for await (const { key } of guest.entries('vault', { limit: 5 })) inOrder.push(key);
      expect(inOrder).toEqual(['open']);
      const refused = await guest.set('code', 'x', 'vault', { ifVersion: 9 }).catch((error) => error);
      expect(refused).toMatchObject({ code: 'VERSION_CONFLICT', current: undefined });
      expect(await codeOf(cache.set('code', 'x', 'vault', { ifVersion: 9 }))).toBe('MIGRATION_FAILED');
      await cache.shutdown();
    }
  });

  it('that move what a subject is about make update name the subject, so that nothing is stored readable', async () => {
    const moving = [
      {
        ...{ version: 2, namespaces: 'guest' },
        when: (value: JsonValue) => 'email' in Object(value),
        migrate: (value: JsonValue) => {
          const { email, ...rest } = value as Record<string, JsonValue>;
          return { ...rest, contact: { email } };
        },
      },
    ];
    const cache = new AgentContextCache({ subjects: { keys: memorySubjectKeys() }, migrations: moving });
    for (const key of ['a', 'b', 'forgotten'])
      await cache.set(key, { email: 'ada@home', name: 'Ada' }, 'guest', { subjects: { '/email': key } });
    await cache.set('whole', { email: 'ada@home' }, 'guest', { subject: 'ada' });
    await cache.set('stays', { email: 'ada@home', name: 'Ada' }, 'guest', { subjects: { '/name': 'ada' } });
    const older = (value: unknown) => ({ ...(value as object), age: 36 }) as never;
    const position = cache.position;
    const refused = await cache.update('a', older, 'guest').catch((error) => error);
    expect(refused).toMatchObject({ code: 'INVALID_COMMAND' });
    expect(refused.message).toMatch(/key "a".*"guest".*"\/email".*Name the subjects/);
    expect(cache.position).toBe(position);
    const { value } = await cache.update('a', older, 'guest', { subjects: { '/contact/email': 'a' } });
    expect(value).toEqual({ name: 'Ada', contact: { email: 'ada@home' }, age: 36 });
    for (const key of ['whole', 'stays']) await cache.update(key, older, 'guest');
    await cache.forget('forgotten');
    expect((await cache.update('forgotten', older, 'guest')).value).toMatchObject({ contact: { email: null } });
    const branch = await cache.fork();
    await branch.set('b', { name: 'Bea' }, 'guest');
    await cache.touch('b', 'guest', { ttl: 1_000_000 });
    const merged = cache.merge(branch, { onConflict: ({ ours }) => ({ value: older(ours?.value) }) });
    await expect(merged).rejects.toThrow(/take ours or theirs/);
    for (const each of (await logOf(cache)).filter(({ key }) => key !== 'stays'))
      expect(JSON.stringify(each)).not.toContain('ada@home');
    await Promise.all([branch.shutdown(), cache.shutdown()]);
  });

  it('that put an item in front of an array with a subject make update name the subject', async () => {
    const longer = {
      ...{ version: 2, namespaces: 'guest' },
      when: (value: JsonValue) => (value as JsonValue[])[0] !== 'v2',
      migrate: (value: JsonValue) => ['v2', ...(value as JsonValue[])],
    };
    const cache = new AgentContextCache({ subjects: { keys: memorySubjectKeys() }, migrations: [longer] });
    await cache.set('all', ['Ada', 'Bea'], 'guest', { subjects: { '/1': 'bea' } });
    await expect(cache.update('all', (value) => value as never, 'guest')).rejects.toMatchObject({
      code: 'INVALID_COMMAND',
    });
    await cache.update('all', (value) => value as never, 'guest', { subjects: { '/2': 'bea' } });
    for (const { value } of await logOf(cache)) expect(JSON.stringify(value)).not.toContain('Bea');
    await cache.shutdown();
  });

  it('report a step that fails by version, key and version of the entry or position, and change nothing', async () => {
    const step = (migrate: Migration['migrate'], when: Migration['when'] = (value) => value === 'old') => [
      { version: 2, namespaces: '**', when, migrate },
    ];
    const broken = step(() => {
      throw new Error('no city');
    });
    for (const wrong of [
      broken,
      step(() => new Map()),
      step(async () => 1),
      step(() => undefined),
      step((value) => value),
    ]) {
      const { cache } = makeCache({ migrations: wrong });
      await cache.set('k', 'old', 'trip');
      expect(() => cache.get('k', 'trip')).toThrow(expect.objectContaining({ code: 'MIGRATION_FAILED' }));
      expect(() => cache.entry('k', 'trip')).toThrow(
        /to version 2 failed for key "k" of namespace "trip" \(version 1\)/,
      );
      await expect(cache.watch({ since: 0 }).next()).rejects.toThrow(/\(position 1\)/);
      expect(await codeOf(cache.update('k', () => 'new', 'trip'))).toBe('MIGRATION_FAILED');
      expect(cache.position).toBe(1);
      expect(cache.at(1).get('k', 'trip')).toBe('old');
      await cache.set('k', 'new', 'trip');
      expect(cache.get('k', 'trip')).toBe('new');
    }
    const { cache } = makeCache();
    await cache.set('k', 'old', 'trip');
    const { present } = await cache.checkSchemas({ trip: z.any() }, { migrations: broken });
    expect(present[0]?.issues[0]).toMatch(/to version 2 failed.*no city/);
    // A step of the cache's own.
    const own = makeCache({ migrations: broken }).cache;
    await own.set('a', 'old', 'trip');
    await own.set('b', 5, 'trip');
    const report = await own.checkSchemas({ trip: z.string() });
    expect(report.refused).toEqual({ recorded: 2, present: 2 });
    for (const list of [report.recorded, report.present])
      expect(list.map(({ issues }) => issues[0])).toEqual([
        expect.stringMatching(/to version 2 failed for key "a".*no city/),
        expect.stringMatching(/string/),
      ]);
  });

  it('whose steps fail on a server are findings of the check of a client', async () => {
    const fails = [
      {
        ...{ version: 2, namespaces: 'trip' },
        when: (value: JsonValue) => value === 'old',
        migrate: () => {
          throw new Error('no city');
        },
      },
    ];
    const { cache } = makeCache({ migrations: fails, clock: simulatedClock() });
    await using served = await serveThroughProxy({ cache });
    for (const key of ['a', 'b', 'c', 'd', 'e'])
      await cache.set(key, 'bd'.includes(key) ? 'old' : key === 'e' ? 5 : 'new', 'trip', { agent: `of-${key}` });
    const { checked, refused, present } = await served.remote.checkSchemas({ trip: z.string() });
    expect([checked, refused]).toEqual([
      { recorded: 5, present: 5 },
      { recorded: 1, present: 3 },
    ]);
    expect(present).toMatchObject(
      [
        { ...{ namespace: 'trip', key: 'b', agent: 'of-b', position: 2 }, issues: [/version 2 failed.*no city/] },
        { ...{ namespace: 'trip', key: 'd', agent: 'of-d', position: 4 }, issues: [/version 2 failed.*no city/] },
        { ...{ namespace: 'trip', key: 'e', agent: 'of-e', position: 5 }, issues: [/string/] },
      ].map(({ issues, ...found }) => ({ ...found, issues: issues.map((issue) => expect.stringMatching(issue)) })),
    );
  });

  it('leave the own records of the cache as they are', async () => {
    const wrapping = [
      {
        ...{ version: 2, namespaces: ['**', '*', 'briefing/cursors'] },
        when: (value: JsonValue) => !('wrapped' in Object(value)),
        migrate: (value: JsonValue) => ({ wrapped: value }),
      },
    ];
    const cache = new AgentContextCache({ subjects: { keys: memorySubjectKeys() }, migrations: wrapping });
    await cache.set('a', 'Oslo', 'trip', { agent: 'ann', subject: 'u' });
    expect((await cache.briefing({ agent: 'bob' })).changes).toMatchObject([{ value: { wrapped: 'Oslo' } }]);
    expect((await cache.briefing({ agent: 'bob' })).changes).toEqual([]);
    await cache.forget('u', { reason: 'asked' });
    expect(cache.get('u', '$forgotten')).toMatchObject({ reason: 'asked' });
    await cache.shutdown();
  });

  it('that return null are checked as they are read', async () => {
    const migrations = [
      { version: 2, namespaces: 'trip', when: (value: JsonValue) => value === 'none', migrate: () => null },
    ];
    for (const { cache, given } of [
      { cache: makeCache().cache, given: migrations },
      { cache: makeCache({ migrations }).cache, given: undefined },
    ]) {
      await cache.set('a', 'none', 'trip');
      const check = (schema: z.ZodType) => cache.checkSchemas({ trip: schema }, { migrations: given });
      expect((await check(z.null())).ok).toBe(true);
      expect((await check(z.string())).refused).toEqual({ recorded: 1, present: 1 });
    }
  });

  it('are checked when the cache is created', async () => {
    const good = { version: 2, namespaces: 'trip', when: () => false, migrate: () => 1 };
    const wrong = [
      {},
      [{}],
      [{ ...good, version: 0 }],
      [{ ...good, namespaces: 'trip**' }],
      [{ ...good, namespaces: [] }],
    ];
    for (const given of [...wrong, [{ ...good, when: true }], [{ ...good, migrates: 1 }]])
      expect(() => makeCache({ migrations: given as never }), JSON.stringify(given)).toThrow(
        expect.objectContaining({ code: 'INVALID_OPTION' }),
      );
    const { cache } = makeCache({ migrations: [good, { ...good, namespaces: '**' }] });
    await cache.set('k', 1, 'trip');
    expect(() => cache.get('k', 'trip')).toThrow(/Two migrations lead namespace "trip" to version 2/);
    expect(cache.get('k', 'other')).toBeUndefined();
  });

  it('equal the composition of their steps for random values and orders', async () => {
    const versions = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 5 });
    const values = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(versions, values, async (order, written) => {
        const steps = order.map((version) => ({
          ...{ version, namespaces: version % 2 === 0 ? 'n' : '**' },
          when: (value: JsonValue) => (value as { v: number }).v < version,
          migrate: (value: JsonValue) => ({ v: version, by: [...((value as { by?: [] }).by ?? []), version] }),
        }));
        const { cache } = makeCache({ migrations: steps });
        for (const [index, v] of written.entries()) await cache.set(`k${index}`, { v }, index % 2 === 0 ? 'n' : 'm');
        for (const [index, v] of written.entries()) {
          const namespace = index % 2 === 0 ? 'n' : 'm';
          const by = [...order]
            .sort((a, b) => a - b)
            .filter((each) => each > v && (namespace === 'n' || each % 2 === 1));
          const expected = by.length === 0 ? { v } : { v: by.at(-1), by };
          expect(cache.get(`k${index}`, namespace)).toEqual(expected);
        }
      }),
      fcOptions(60),
    );
  });
});

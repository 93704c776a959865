import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { AgentContextCache, memorySubjectKeys } from '../../src/index.ts';
import { codeOf, logOf, makeCache, turns } from '../support/cache.ts';
import { fcOptions } from '../support/property.ts';
import { serveThroughProxy } from '../support/served.ts';

const session = z.object({ user: z.string(), visits: z.number().default(1) });

describe('a schema for a namespace', () => {
  const made = () => makeCache({ schemas: { auth: session } });

  it('checks every value before it is stored, whichever method writes it', async () => {
    const { cache, failures } = made();
    await cache.set('a', { user: 'ada', visits: 2 }, 'auth');
    const bad = { user: 5 };
    expect(await codeOf(cache.set('a', bad, 'auth'))).toBe('SCHEMA_MISMATCH');
    expect(await codeOf(cache.setMany({ b: { user: 'bob' }, c: bad }, 'auth'))).toBe('SCHEMA_MISMATCH');
    expect(await codeOf(cache.batch([{ operation: 'set', key: 'd', value: bad }], 'auth'))).toBe('SCHEMA_MISMATCH');
    expect(await codeOf(cache.update('a', () => bad, 'auth'))).toBe('SCHEMA_MISMATCH');
    expect(await codeOf(cache.getOrSet('e', () => bad, 'auth'))).toBe('SCHEMA_MISMATCH');
    expect(await codeOf(cache.ask({ type: 'context.set', key: 'f', value: bad, namespace: 'auth' }))).toBe(
      'SCHEMA_MISMATCH',
    );
    cache.supervisor.send({ type: 'context.set', key: 'g', value: bad, namespace: 'auth' });
    await turns();
    // Only for the command that no caller awaits.
    expect(failures).toHaveLength(1);
    expect(cache.listKeys('auth')).toEqual(['a']);
    expect(cache.position).toBe(1);
  });

  it('stores the output of the schema, with its defaults and transforms', async () => {
    const { cache } = makeCache({ schemas: { auth: session, tags: z.string().transform((text) => text.split(',')) } });
    await cache.set('a', { user: 'ada' }, 'auth');
    expect(cache.get('a', 'auth')).toEqual({ user: 'ada', visits: 1 });
    await cache.set('a', 'x,y', 'tags');
    expect(cache.get('a', 'tags')).toEqual(['x', 'y']);
    expect(await cache.getOrSet('b', () => 'z', 'tags')).toEqual(['z']);
  });

  it('reports path and reason, not the value', async () => {
    const { cache } = made();
    const error = await cache.set('a', { user: 987_654 } as never, 'auth').catch((thrown: Error) => thrown);
    expect((error as Error).message).toMatch(/namespace "auth".*user: /);
    expect((error as Error).message).not.toContain('987');
  });

  it('does not check other namespaces', async () => {
    const { cache } = made();
    await cache.set('a', 5, 'other');
    await cache.set('a', 5);
    expect(cache.get('a', 'other')).toBe(5);
  });

  it('refuses an output that is not a JSON value', async () => {
    const { cache } = makeCache({ schemas: { dates: z.coerce.date() } });
    expect(await codeOf(cache.set('a', '2030-01-01', 'dates'))).toBe('INVALID_VALUE');
  });

  it('is refused if it answers asynchronously, without an unhandled rejection', async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => void unhandled.push(reason);
    process.on('unhandledRejection', note);
    const late = {
      '~standard': { version: 1 as const, vendor: 'test', validate: () => Promise.reject(new Error('late')) },
    };
    const { cache } = makeCache({ schemas: { slow: z.string().refine(async (text) => text !== ''), late } });
    expect(await codeOf(cache.set('a', 'x', 'slow'))).toBe('INVALID_OPTION');
    expect(await codeOf(cache.set('a', 'x', 'late'))).toBe('INVALID_OPTION');
    await turns();
    process.off('unhandledRejection', note);
    expect(unhandled).toEqual([]);
    expect(cache.get('a', 'slow')).toBeUndefined();
  });
});

describe('a schema for each key', () => {
  it('accepts only its own keys', async () => {
    const { cache } = makeCache({ schemas: { auth: { token: z.string().min(3), attempts: z.number().int() } } });
    await cache.setMany({ token: 'abc', attempts: 1 }, 'auth');
    expect(await codeOf(cache.set('token', 'a', 'auth'))).toBe('SCHEMA_MISMATCH');
    expect(await codeOf(cache.set('attempts', 1.5, 'auth'))).toBe('SCHEMA_MISMATCH');
    expect(await codeOf(cache.set('other', 1, 'auth'))).toBe('SCHEMA_MISMATCH');
    expect(await codeOf(cache.set('constructor', 1, 'auth'))).toBe('SCHEMA_MISMATCH');
    expect(await codeOf(cache.set('__proto__', 1, 'auth'))).toBe('SCHEMA_MISMATCH');
    await cache.delete('other', 'auth');
    expect(cache.entries('auth').map(({ key, value }) => [key, value])).toEqual([
      ['token', 'abc'],
      ['attempts', 1],
    ]);
  });

  it('works with any Standard Schema', async () => {
    const even = {
      '~standard': {
        version: 1 as const,
        vendor: 'test',
        validate: (value: unknown) =>
          typeof value === 'number' && value % 2 === 0
            ? { value }
            : { issues: [{ message: 'odd', path: ['x', { key: 'y' }] }] },
      },
    };
    const { cache } = makeCache({ schemas: { n: even } });
    await cache.set('a', 2, 'n');
    await expect(cache.set('a', 3, 'n')).rejects.toThrow('x.y: odd');
  });

  it('rejects the write if a schema throws', async () => {
    const broken = {
      '~standard': {
        version: 1 as const,
        vendor: 'test',
        validate: () => {
          throw new Error('of the schema');
        },
      },
    };
    const { cache } = makeCache({ schemas: { n: broken } });
    await expect(cache.set('a', 2, 'n')).rejects.toThrow('of the schema');
    expect(cache.position).toBe(0);
  });
});

describe('a schema for a pattern of namespaces', () => {
  const schemas = { 'trip:*': z.number(), 'trip:eu:*': z.string(), 'trip:eu:7': z.boolean(), '*': z.null() };

  it('checks every namespace that starts with its text', async () => {
    const { cache } = makeCache({ schemas: { 'trip:*': z.number() } });
    await cache.set('a', 1, 'trip:7');
    await cache.set('a', 1, 'trip:');
    expect(await codeOf(cache.set('a', 'one' as never, 'trip:7'))).toBe('SCHEMA_MISMATCH');
    await cache.set('a', 'one', 'trip');
  });

  it('gives way to a longer pattern and to an exact name', async () => {
    const { cache } = makeCache({ schemas });
    await cache.set('a', 1, 'trip:us');
    await cache.set('a', 'x', 'trip:eu:1');
    await cache.set('a', true, 'trip:eu:7');
    await cache.set('a', null, 'elsewhere');
    expect(await codeOf(cache.set('a', 1 as never, 'trip:eu:1'))).toBe('SCHEMA_MISMATCH');
    expect(await codeOf(cache.set('a', 'x' as never, 'trip:eu:7'))).toBe('SCHEMA_MISMATCH');
    expect(await codeOf(cache.set('a', 1 as never))).toBe('SCHEMA_MISMATCH');
  });
});

describe('checkSchemas', () => {
  const stricter = { 'trip:*': z.object({ city: z.string() }), todo: { done: z.boolean() } };

  it('reports the recorded and the present values that the schemas refuse, with position, agent and reason', async () => {
    const { cache } = makeCache();
    await cache.set('a', { city: 5 }, 'trip:1', { agent: 'ann' });
    await cache.set('a', { city: 'Oslo' }, 'trip:1');
    await cache.set('b', {}, 'trip:2', { agent: 'bob' });
    await cache.touch('b', 'trip:2', { ttl: 60_000 });
    await cache.set('other', true, 'todo');
    await cache.delete('other', 'todo');
    await cache.set('c', 5, 'elsewhere');
    const report = await cache.checkSchemas(stricter);
    expect(report).toMatchObject({
      ...{ ok: false, from: 1, to: 7, more: false, unreadable: { recorded: 0, present: 0 } },
      ...{ checked: { recorded: 4, present: 2 }, refused: { recorded: 3, present: 1 } },
    });
    expect(report.recorded).toMatchObject([
      {
        position: 1,
        namespace: 'trip:1',
        key: 'a',
        agent: 'ann',
        version: 1,
        issues: [expect.stringMatching(/^city: /)],
      },
      { position: 3, namespace: 'trip:2', key: 'b', agent: 'bob' },
      {
        position: 5,
        namespace: 'todo',
        key: 'other',
        agent: null,
        issues: [expect.stringMatching(/do not name this key/)],
      },
    ]);
    expect(report.present).toMatchObject([{ position: 4, namespace: 'trip:2', key: 'b', version: 2 }]);
    expect(await cache.checkSchemas({ 'trip:*': z.any() })).toMatchObject({
      ok: true,
      checked: { recorded: 3, present: 2 },
    });
  });

  it('knows the position of a value that was written while the check was reading', async () => {
    const { cache } = makeCache();
    for (const key of ['a', 'b']) await cache.set(key, 'old', 'trip');
    let isFirst = true;
    const schema = z.custom<string>((value) => {
      if (isFirst) void cache.set('c', 'new', 'trip');
      isFirst = false;
      return value !== 'new';
    });
    const { present, refused } = await cache.checkSchemas({ trip: schema });
    expect(present).toMatchObject([{ key: 'c', version: 3, position: 3 }]);
    expect(refused).toEqual({ recorded: 0, present: 1 });
  });

  it('reads the range that is asked for, and lists no more than the limit', async () => {
    const { cache } = makeCache();
    for (let step = 1; step <= 5; step += 1) await cache.set(`k${step}`, step, 'trip:1');
    const { recorded, present, refused, more } = await cache.checkSchemas(stricter, { from: 2, to: 3, limit: 1 });
    expect(recorded.map(({ position }) => position)).toEqual([2]);
    expect(present.map(({ key, position }) => [key, position])).toEqual([['k1', 1]]);
    expect([refused, more]).toEqual([{ recorded: 2, present: 5 }, true]);
    for (const options of [{ from: 0 }, { from: 3, to: 1 }, { to: 6 }, { limit: -1 }, { form: 1 }])
      expect(await codeOf(cache.checkSchemas(stricter, options)), JSON.stringify(options)).toBe('INVALID_OPTION');
    for (const wrong of [undefined, [], 5, z.string(), { trip: 5 }, { trip: { a: null } }])
      expect(await codeOf(cache.checkSchemas(wrong as never))).toBe('INVALID_OPTION');
    const late = { 'trip:*': z.number().refine(async () => true) };
    expect(await codeOf(cache.checkSchemas(late))).toBe('INVALID_OPTION');
    const validate = () => {
      throw new Error('of the schema');
    };
    const broken = { '~standard': { version: 1 as const, vendor: 'test', validate } };
    expect((await cache.checkSchemas({ 'trip:*': broken })).present[0]?.issues).toEqual([
      'The schema threw: of the schema',
    ]);
  });

  it('includes present values whose updates the log no longer holds, and reports progress and abortion', async () => {
    const { cache } = makeCache({ log: { capacityUpdates: 16 } });
    await cache.set('old', 5, 'trip:1', { agent: 'ann' });
    for (let step = 0; step < 5_000; step += 1) cache.set('new', step, 'elsewhere');
    await cache.flush();
    const seen: unknown[] = [];
    const { first } = cache.health().log;
    expect(first).toBeGreaterThan(1);
    const report = await cache.checkSchemas(stricter, { onProgress: (progress) => seen.push(progress) });
    expect(report).toMatchObject({
      from: first,
      checked: { recorded: 0, present: 1 },
      refused: { recorded: 0, present: 1 },
    });
    expect(report.present).toMatchObject([{ key: 'old', position: null, agent: 'ann' }]);
    expect(await codeOf(cache.checkSchemas(stricter, { from: 1 }))).toBe('POSITION_UNAVAILABLE');
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(cache.checkSchemas(stricter, { signal })).rejects.toThrow('enough');
  });

  it('reads values with subjects, counts forgotten ones, and does the same over a client', async () => {
    const cache = new AgentContextCache({ subjects: { keys: memorySubjectKeys() } });
    await using served = await serveThroughProxy({ cache });
    await cache.set('a', { city: 5 }, 'trip:1', { subjects: { '/city': 'ada' } });
    await cache.set('b', { city: 5 }, 'trip:1', { subject: 'bob', agent: 'ann' });
    await cache.set('c', 1, 'trip:1');
    await cache.forget('ada');
    const report = await cache.checkSchemas({ ...stricter, '*': z.never() });
    expect(report).toMatchObject({
      checked: { recorded: 2, present: 2 },
      refused: { recorded: 2, present: 2 },
      unreadable: { recorded: 1, present: 1 },
    });
    expect(report.recorded.map(({ key, position, agent }) => [key, position, agent])).toEqual([
      ['b', 2, 'ann'],
      ['c', 3, null],
    ]);
    expect(await served.remote.checkSchemas({ ...stricter, '*': z.never() })).toEqual(report);
  });

  it('equals a walk over the log and the present state for random histories', async () => {
    const even = { 'n*': z.number().refine((value) => value % 2 === 0) };
    const operation = fc.record({
      namespace: fc.constantFrom('n', 'n1', 'm'),
      key: fc.constantFrom('a', 'b'),
      value: fc.constantFrom(0, 1, 2, 3, null),
      end: fc.constantFrom('clear', 'drop', undefined, undefined, undefined, undefined),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 30 }), fc.nat(30), async (operations, cut) => {
        const { cache } = makeCache();
        for (const { namespace, key, value, end } of operations) {
          if (end === 'clear') await cache.clearNamespace(namespace);
          else if (end === 'drop') await cache.dropNamespace(namespace);
          else if (value === null) await cache.delete(key, namespace);
          else await cache.set(key, value, namespace);
        }
        const from = 1 + Math.min(cut, cache.position);
        const report = await cache.checkSchemas(even, { from });
        const log = (await logOf(cache)).filter(({ operation }) => operation === 'set');
        const isOdd = (value: unknown) => Number(value) % 2 === 1;
        const refused = log.filter(({ namespace, value }) => namespace.startsWith('n') && isOdd(value));
        const late = refused.filter(({ position }) => position >= from);
        expect(report.recorded.map(({ position }) => position)).toEqual(late.map(({ position }) => position));
        const present = refused.filter(({ namespace, key, version, position }) => {
          const last = log.findLast((each) => each.namespace === namespace && each.key === key);
          return last?.position === position && cache.entry(key ?? '', namespace)?.version === version;
        });
        expect(new Set(report.present.map(({ position }) => position))).toEqual(
          new Set(present.map(({ position }) => position)),
        );
      }),
      fcOptions(60),
    );
  });
});

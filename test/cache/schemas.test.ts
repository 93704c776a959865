import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { codeOf, makeCache, turns } from '../support/cache.ts';

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

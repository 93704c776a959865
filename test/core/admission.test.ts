import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Admission, MAX_BATCH_OPERATIONS, parseCommand } from '../../src/core/admission.ts';
import type { DataCommand, WriteOptions } from '../../src/core/command.ts';
import { ContextCacheError } from '../../src/core/errors.ts';
import type { OriginOptions } from '../../src/core/origin.ts';
import { createValueCheck } from '../../src/core/schemas.ts';
import { fcOptions } from '../support/property.ts';
import { door } from '../support/request.ts';

const codeOf = (run: () => unknown): string | undefined => {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(ContextCacheError);
    return (error as ContextCacheError).code;
  }
  return undefined;
};

describe('parseCommand', () => {
  it.each([
    { type: 'context.set', key: 'a', value: null },
    {
      type: 'context.set',
      key: 'a',
      value: 1,
      namespace: 'n',
      agent: 'x',
      ttl: '1s',
      expiresAt: undefined,
      ifVersion: 0,
    },
    { type: 'context.delete', key: 'a', namespace: 'n', agent: 'x', ifVersion: 1 },
    { type: 'context.touch', key: 'a', expiresAt: null },
    { type: 'context.clear' },
    { type: 'context.drop', namespace: 'n', agent: 'x' },
    { type: 'context.batch', operations: [] },
    { type: 'context.get', key: 'a' },
    { type: 'context.has', key: 'a' },
    { type: 'context.entry', key: 'a' },
    { type: 'context.keys' },
    { type: 'context.namespaces' },
    { type: 'context.changes', since: 0, namespace: 'n', limit: 1 },
    { type: 'topics.set', topics: [] },
    { type: 'topics.add', topic: 'a' },
    { type: 'topics.remove', topic: 'a' },
    { type: 'topics.list' },
    { type: 'context.backup' },
    { type: 'backup.enable' },
    { type: 'backup.enable', settings: {} },
    { type: 'backup.disable' },
    { type: 'backup.set', settings: {} },
    { type: 'backup.status' },
    { type: 'namespace.passivate', namespace: 'n' },
    { type: 'namespace.restart', namespace: 'n' },
    { type: 'cache.flush' },
    { type: 'cache.barrier' },
    { type: 'cache.reached', position: 1, timeoutMs: '10s' },
    { type: 'cache.health' },
  ])('takes %j', (command) => {
    expect(parseCommand(command)).toBe(command);
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['undefined', undefined],
    ['a string', 'context.set'],
    ['a number', 1],
    ['an array', [{ type: 'context.clear' }]],
    ['a function', () => {}],
    ['no type', { key: 'a' }],
    ['an unknown type', { type: 'context.steal', key: 'a' }],
    ['the type of an event of XState', { type: 'xstate.stop' }],
    ['the type of an event of the supervisor', { type: 'supervisor.stop' }],
    ['the type of an event of a namespace', { type: 'namespace.expire', at: 1 }],
    ['a type that every object has', { type: 'constructor' }],
    ['__proto__ as type', { type: '__proto__' }],
    ['a wildcard', { type: 'context.*' }],
    ['a type in other letters', { type: 'Context.Set', key: 'a', value: 1 }],
    ['a type that is an array', { type: ['context.clear'] }],
    ['a type that is a BigInt', { type: 1n }],
    [
      'a type with toJSON',
      {
        type: {
          toJSON: () => {
            throw new Error('no');
          },
        },
      },
    ],
    ['a type that it has only inherited', Object.create({ type: 'context.clear' })],
    ['an unknown field', { type: 'context.clear', force: true }],
    ['an unknown field that is undefined', { type: 'context.clear', force: undefined }],
    ['__proto__ as a field', JSON.parse('{"type":"context.clear","__proto__":{"namespace":"x"}}')],
    ['a field of another type', { type: 'context.get', key: 'a', ttl: 5 }],
    ['no key', { type: 'context.set', value: 1 }],
    ['no value', { type: 'context.set', key: 'a' }],
    ['a value that is undefined', { type: 'context.set', key: 'a', value: undefined }],
    ['a key that it has only inherited', Object.assign(Object.create({ key: 'a' }), { type: 'context.get' })],
    ['no operations', { type: 'context.batch' }],
    ['no topics', { type: 'topics.set' }],
    ['no namespace to restart', { type: 'namespace.restart' }],
  ])('refuses %s', (_what, candidate) => {
    expect(codeOf(() => parseCommand(candidate))).toBe('INVALID_COMMAND');
  });

  it('throws only INVALID_COMMAND, for any input', () => {
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withNullPrototype: true, withDate: true, withMap: true }),
        (thing) => {
          expect(codeOf(() => parseCommand(thing))).toBe('INVALID_COMMAND');
          expect(codeOf(() => parseCommand({ type: thing }))).toBe('INVALID_COMMAND');
        },
      ),
      fcOptions(300),
    );
  });

  it('names the type, the field and the remedy, but no value', () => {
    expect(() => parseCommand({ type: 'context.get', key: 'a', token: 'secret' })).toThrow(
      /context\.get has no field "token"/,
    );
    expect(() => parseCommand({ type: 'context.get', key: 'a', token: 'secret' })).not.toThrow(/secret/);
    expect(() => parseCommand({ type: 'nope' })).toThrow(/"nope".*known are context\.set/);
  });
});

describe('a request', () => {
  const set = (options: WriteOptions, at = 1_000) => door.set(at, 'n', 'a', 1, options);
  const bad = (options: object) => codeOf(() => set(options as WriteOptions));

  it.each<[unknown, number]>([
    [1, 1_001],
    [1.9, 1_001],
    [5_000, 6_000],
    ['10s', 11_000],
    ['5m', 301_000],
    ['1.5h', 5_401_000],
    ['2 days', 172_801_000],
    ['100', 1_100],
  ])('with ttl %j expires at %i', (ttl, expiresAt) => {
    expect(set({ ttl: ttl as number }).expiresAt).toBe(expiresAt);
  });

  it.each([
    0,
    -1,
    0.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    1e16,
    '',
    ' ',
    '0s',
    '-5s',
    'soon',
    '1s'.padEnd(200),
    null,
    true,
    {},
    [],
    1n,
    Symbol('x'),
  ])('refuses ttl %s', (ttl) => {
    expect(bad({ ttl })).toBe('INVALID_COMMAND');
  });

  it.each<[unknown, number | null]>([
    [new Date(5_000), 5_000],
    [5_000, 5_000],
    [5_000.9, 5_000],
    [0, 0],
    [null, null],
    [undefined, null],
  ])('with expiresAt %s expires at %s', (expiresAt, expected) => {
    expect(set({ expiresAt: expiresAt as number }).expiresAt).toBe(expected);
  });

  it.each([
    new Date(Number.NaN),
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    8.64e15 + 1,
    '2030-01-01',
    {},
    [],
    5n,
    true,
  ])('refuses expiresAt %s', (expiresAt) => {
    expect(bad({ expiresAt })).toBe('INVALID_COMMAND');
  });

  it('refuses ttl and expiresAt together', () => {
    expect(bad({ ttl: 1, expiresAt: 1 })).toBe('INVALID_COMMAND');
    expect(bad({ ttl: 1, expiresAt: null })).toBe('INVALID_COMMAND');
    expect(bad({ ttl: 1, expiresAt: undefined })).toBeUndefined();
  });

  it.each([-1, 1.5, Number.NaN, '1', null, 2 ** 53, 1n])('refuses ifVersion %s', (ifVersion) => {
    expect(bad({ ifVersion })).toBe('INVALID_COMMAND');
    expect(codeOf(() => door.delete(1, 'n', 'a', { ifVersion } as WriteOptions))).toBe('INVALID_COMMAND');
  });

  it.each(['', 'x'.repeat(1_025), '\uD800', 5, {}, []])('refuses agent %s', (agent) => {
    expect(bad({ agent })).toBe('INVALID_COMMAND');
    expect(codeOf(() => door.whole(1, 'context.clear', 'n', { agent } as OriginOptions))).toBe('INVALID_COMMAND');
  });

  it.each([
    ...(['text', [], null, new Date(0), { a: Number.NaN }, { a: () => 1 }, { a: '\uD800' }] as const),
    { a: 'x'.repeat(1_017) },
    { a: 'é'.repeat(509) },
    Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`name ${i}`, i])),
  ])('refuses meta %#', (meta) => {
    expect(bad({ meta })).toBe('INVALID_COMMAND');
    expect(codeOf(() => door.whole(1, 'context.drop', 'n', { meta } as OriginOptions))).toBe('INVALID_COMMAND');
    expect(codeOf(() => door.batch(1, 'n', [], { meta } as OriginOptions))).toBe('INVALID_COMMAND');
  });

  it.each([{}, { a: 'x'.repeat(1_016) }, { a: Array.from({ length: 508 }, () => 1) }])(
    'keeps a frozen copy of meta %#',
    (meta) => {
      const kept = set({ meta } as WriteOptions).meta;
      expect(kept).toEqual(meta);
      expect(kept).not.toBe(meta);
      expect(Object.isFrozen(kept)).toBe(true);
    },
  );

  it.each(['', 'x'.repeat(129), '\uD800', 5, null, {}])('refuses operationId %s', (operationId) => {
    expect(bad({ operationId })).toBe('INVALID_COMMAND');
    expect(codeOf(() => door.whole(1, 'context.clear', 'n', { operationId } as OriginOptions))).toBe('INVALID_COMMAND');
  });

  it('has no agent if none is given', () => {
    expect(set({}).agent).toBeNull();
    expect(set({ agent: 'planner' }).agent).toBe('planner');
    expect(door.set(1, 'n', 'a', 1, undefined).agent).toBeNull();
  });

  it('of a touch needs ttl or expiresAt', () => {
    expect(codeOf(() => door.touch(1, 'n', 'a', {}))).toBe('INVALID_COMMAND');
    expect(codeOf(() => door.touch(1, 'n', 'a', undefined))).toBe('INVALID_COMMAND');
    expect(door.touch(1, 'n', 'a', { expiresAt: null }).expiresAt).toBeNull();
  });

  it.each<[string, unknown]>([
    ['that is no array', { 0: 'x', length: 1 }],
    ['with null', [null]],
    ['with a hole', new Array(2)],
    ['with an array', [[]]],
    ['with an unknown operation', [{ operation: 'clear' }]],
    ['with an unknown field', [{ operation: 'delete', key: 'a', value: 1 }]],
    ['with an agent in a step', [{ operation: 'set', key: 'a', value: 1, agent: 'x' }]],
    ['without a key', [{ operation: 'delete' }]],
    ['with a bad ttl', [{ operation: 'set', key: 'a', value: 1, ttl: 0 }]],
    ['with a touch that says nothing', [{ operation: 'touch', key: 'a' }]],
  ])('of a batch %s is refused', (_what, operations) => {
    expect(codeOf(() => door.batch(1, 'n', operations as never, undefined))).toBe('INVALID_COMMAND');
  });

  it('of a batch refuses invalid keys and values as a set does', () => {
    expect(codeOf(() => door.batch(1, 'n', [{ operation: 'set', key: '\uD800', value: 1 }], undefined))).toBe(
      'INVALID_NAME',
    );
    expect(codeOf(() => door.batch(1, 'n', [{ operation: 'set', key: 'a', value: 1n }], undefined))).toBe(
      'INVALID_VALUE',
    );
    expect(codeOf(() => door.batch(1, '', [], undefined))).toBe('INVALID_NAME');
    expect(
      codeOf(() =>
        door.batch(
          1,
          'n',
          Array.from({ length: MAX_BATCH_OPERATIONS + 1 }, () => ({ operation: 'delete' as const, key: 'a' })),
          undefined,
        ),
      ),
    ).toBe('INVALID_COMMAND');
  });

  it('checks names before values, and the namespace of every command', () => {
    const commands: DataCommand[] = [
      { type: 'context.set', key: 'a', value: 1n, namespace: '' },
      { type: 'context.delete', key: 'a', namespace: '' },
      { type: 'context.touch', key: 'a', ttl: 1, namespace: '' },
      { type: 'context.clear', namespace: '' },
      { type: 'context.drop', namespace: '' },
      { type: 'context.batch', operations: [], namespace: '' },
    ];
    for (const command of commands) expect(codeOf(() => door.request(1, command))).toBe('INVALID_NAME');
    expect(door.request(1, { type: 'context.clear' }).namespace).toBe('default');
  });

  it('settles once and ignores later outcomes', () => {
    const request = door.set(1, 'n', 'a', 1, undefined);
    const ends: unknown[] = [];
    request.whenSettled(({ result, error }) => ends.push(result ?? error));
    const result = { version: 1, position: 1, changed: true };
    request.succeed(result);
    request.fail(new Error('late'));
    request.succeed({ ...result, version: 2 });
    expect(ends).toEqual([result]);
    expect(request.error).toBeUndefined();
    request.whenSettled(() => ends.push('again'));
    expect(ends).toEqual([result, 'again']);
  });
});

describe('the limits', () => {
  it('apply as given', () => {
    const narrow = new Admission({ maxDepth: 1, maxBytes: 20, maxKeyBytes: 9 }, createValueCheck(undefined));
    expect(codeOf(() => narrow.set(1, 'n', 'a', [[]], undefined))).toBe('INVALID_VALUE');
    expect(codeOf(() => narrow.set(1, 'n', 'a', 'x'.repeat(30), undefined))).toBe('INVALID_VALUE');
    expect(codeOf(() => narrow.set(1, 'n', 'a', [1], undefined))).toBeUndefined();
  });
});

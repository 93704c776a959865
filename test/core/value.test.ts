import vm from 'node:vm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidValueError } from '../../src/core/errors.ts';
import { admit, DEFAULT_VALUE_LIMITS, type JsonValue, ThoroughWalk, ValueDoor } from '../../src/core/value.ts';
import { fcOptions } from '../support/property.ts';

const refusal = (value: unknown, limits = DEFAULT_VALUE_LIMITS): InvalidValueError => {
  try {
    admit(value, limits);
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidValueError);
    return error as InvalidValueError;
  }
  throw new Error('It was let in.');
};

function nested(depth: number): unknown {
  let value: unknown = 0;
  for (let i = 0; i < depth; i += 1) value = i % 2 === 0 ? [value] : { a: value };
  return value;
}

function isDeepFrozen(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return Object.isFrozen(value) && Object.values(value).every(isDeepFrozen);
}

function anyIsFrozen(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return (Object.isFrozen(value) && Object.keys(value).length > 0) || Object.values(value).some(anyIsFrozen);
}

function shared(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null) return false;
  if (a === b) return true;
  return Object.keys(a).some((name) => shared(Reflect.get(a, name), Reflect.get(b, name)));
}

describe('admit', () => {
  it('returns the value that JSON text would, deeply frozen and sharing nothing with the original', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value);
        const admitted = admit(value);
        expect(JSON.stringify(admitted.value)).toBe(JSON.stringify(JSON.parse(text)));
        expect(admitted.value).toEqual(JSON.parse(text));
        expect(isDeepFrozen(admitted.value)).toBe(true);
        expect(anyIsFrozen(value)).toBe(false);
        expect(shared(value, admitted.value)).toBe(false);
        expect(JSON.stringify(value)).toBe(text);
      }),
      fcOptions(300),
    );
  });

  it('accepts any JSON text, whatever its names', () => {
    const names = fc.constantFrom(
      '__proto__',
      'constructor',
      'toJSON',
      'prototype',
      '',
      '0',
      'a',
      'hasOwnProperty',
      '\u2028',
    );
    const tree = fc.letrec((tie) => ({
      node: fc.oneof({ maxDepth: 4 }, fc.constantFrom('null', '1', '"x"'), tie('object'), tie('array')),
      object: fc
        .array(fc.tuple(names, tie('node')), { maxLength: 3 })
        .map((pairs) => `{${pairs.map(([name, text]) => `${JSON.stringify(name)}:${text}`)}}`),
      array: fc.array(tie('node'), { maxLength: 3 }).map((texts) => `[${texts}]`),
    })).node as fc.Arbitrary<string>;
    fc.assert(
      fc.property(tree, (text) => {
        expect(JSON.stringify(admit(JSON.parse(text)).value)).toBe(JSON.stringify(JSON.parse(text)));
      }),
      fcOptions(300),
    );
  });

  it('counts text without escapes like JSON', () => {
    expect(admit('abc').bytes).toBe(5);
    expect(admit(null).bytes).toBe(4);
    expect(admit({ name: ['x', 'yy'] }).bytes).toBeGreaterThanOrEqual('{"name":["x","yy"]}'.length);
  });

  it('keeps __proto__ as a property', () => {
    const value = JSON.parse('{"__proto__":{"admin":true},"a":{"__proto__":1}}');
    const copy = admit(value).value as Record<string, unknown>;
    expect(Object.getPrototypeOf(copy)).toBe(Object.prototype);
    expect(Object.hasOwn(copy, '__proto__')).toBe(true);
    expect(copy.admin).toBeUndefined();
    expect(JSON.stringify(copy)).toBe('{"__proto__":{"admin":true},"a":{"__proto__":1}}');
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });

  it('drops undefined properties and the sign of minus zero', () => {
    const copy = admit({ a: undefined, b: -0 }).value as { b: number };
    expect(Object.keys(copy)).toEqual(['b']);
    expect(Object.is(copy.b, 0)).toBe(true);
  });

  it('accepts plain objects of another realm and without a prototype', () => {
    const foreign = vm.runInNewContext('({ list: [1, { a: null }], text: "x" })');
    expect(admit(foreign).value).toEqual({ list: [1, { a: null }], text: 'x' });
    expect(Object.getPrototypeOf(admit(foreign).value)).toBe(Object.prototype);
    const bare = Object.assign(Object.create(null), { a: 1 });
    expect(admit(bare).value).toEqual({ a: 1 });
    expect(structuredClone(admit({ a: [1] }).value)).toEqual({ a: [1] });
  });

  it('accepts the same object twice if it does not contain itself', () => {
    const part = { a: 1 };
    expect(admit([part, part, { part }]).value).toEqual([part, part, { part }]);
  });

  class Plan {
    steps = 1;
  }
  const cycle: Record<string, unknown> = { a: {} };
  (cycle.a as Record<string, unknown>).back = cycle;
  const ring: unknown[] = [];
  ring.push([ring]);

  it.each<[string, unknown, string]>([
    ['undefined', undefined, '$'],
    ['NaN', { a: [1, Number.NaN] }, '$.a[1]'],
    ['Infinity', [Number.NEGATIVE_INFINITY], '$[0]'],
    ['a BigInt', { a: 1n }, '$.a'],
    ['a symbol', [Symbol('x')], '$[0]'],
    ['a function', { run() {} }, '$.run'],
    ['toJSON, which is a function like any other', { toJSON: () => 1 }, '$.toJSON'],
    ['a Date', { at: new Date(0) }, '$.at'],
    ['a Map', new Map(), '$'],
    ['a Set', [new Set()], '$[0]'],
    ['a RegExp', /x/, '$'],
    ['an Error', new Error('x'), '$'],
    ['a Buffer', Buffer.from('x'), '$'],
    ['a typed array', { bytes: new Uint8Array(1) }, '$.bytes'],
    ['a class instance', { plan: new Plan() }, '$.plan'],
    ['a boxed string', new String('x'), '$'],
    ['an object made from another', Object.create({ a: 1 }), '$'],
    ['a promise', Promise.resolve(1), '$'],
    ['a Date of another realm', vm.runInNewContext('new Date(0)'), '$'],
    ['a class instance of another realm', vm.runInNewContext('new (class A {})()'), '$'],
    ['a hole', Object.assign([1, 2, 3], { length: 5 }), '$[3]'],
    ['undefined in an array', { a: [undefined] }, '$.a[0]'],
    ['a lone surrogate', { a: ['\uD800'] }, '$.a[0]'],
    ['a name with a lone surrogate', { a: { '\uDC00': 1 } }, '$.a["\\udc00"]'],
    ['a name that needs quotes', { 'a b': { "it's": Number.NaN } }, '$["a b"]["it\'s"]'],
    [
      '__proto__ as a name',
      JSON.parse('{"__proto__":[[]]}', (_name, value) => (Array.isArray(value) && value.length === 0 ? 1n : value)),
      '$.__proto__[0]',
    ],
    ['a cycle through an object', cycle, '$.a.back'],
    ['a cycle through an array', ring, '$[0][0]'],
  ])('refuses %s and names its place', (_what, value, path) => {
    const error = refusal(value);
    expect(error).toMatchObject({ code: 'INVALID_VALUE', path, name: 'InvalidValueError' });
    expect(error.message).toContain(`The value at ${path} `);
  });

  it('refuses values nested deeper than the limit, and only those', () => {
    const limits = { ...DEFAULT_VALUE_LIMITS, maxDepth: 3 };
    expect(admit(nested(3), limits).value).toEqual(nested(3));
    expect(refusal(nested(4), limits).message).toContain('deeper than 3');
    expect(admit(nested(DEFAULT_VALUE_LIMITS.maxDepth)).value).toEqual(nested(DEFAULT_VALUE_LIMITS.maxDepth));
    expect(refusal(nested(DEFAULT_VALUE_LIMITS.maxDepth + 1)).code).toBe('INVALID_VALUE');
    expect(refusal(nested(100_000)).code).toBe('INVALID_VALUE');
  });

  it('refuses a value larger than the limit before copying all of it', () => {
    const limits = { ...DEFAULT_VALUE_LIMITS, maxBytes: 100 };
    expect(admit('x'.repeat(98), limits).bytes).toBe(100);
    expect(refusal('x'.repeat(99), limits).message).toContain('larger than 100 bytes');
    let read = 0;
    const many = new Proxy(
      Array.from({ length: 1_000 }, () => 0),
      {
        get: (target, name) => {
          if (typeof name === 'string' && /^\d+$/.test(name)) read += 1;
          return Reflect.get(target, name);
        },
      },
    );
    refusal(many, limits);
    expect(read).toBeLessThan(100);
    expect(refusal({ ['n'.repeat(200)]: 1 }, limits).code).toBe('INVALID_VALUE');
  });

  it('never counts fewer bytes than half the characters of the JSON text', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value).replace(/\\u....|\\./g, '.');
        expect(admit(value).bytes * 3).toBeGreaterThanOrEqual(text.length);
      }),
      fcOptions(200),
    );
  });

  it('refuses a getter that throws, and names its path', () => {
    const value = {
      a: {
        get b(): number {
          throw new RangeError('no');
        },
      },
    };
    expect(refusal(value)).toMatchObject({ code: 'INVALID_VALUE', path: '$.a.b' });
  });

  it('reads a getter once', () => {
    let calls = 0;
    const value = {
      get a() {
        calls += 1;
        return calls;
      },
    };
    expect(admit(value).value).toEqual({ a: 1 });
    expect(calls).toBe(1);
  });

  it('ignores later changes of the original', () => {
    const plan = { steps: ['search'], done: false };
    const copy = admit(plan).value as unknown as typeof plan;
    plan.steps.push('book');
    plan.done = true;
    expect(copy).toEqual({ steps: ['search'], done: false });
    expect(() => copy.steps.push('x')).toThrow(TypeError);
  });

  it('returns the same type for every JSON value', () => {
    const values: JsonValue[] = [null, true, 0, 'x', [], {}];
    for (const value of values) expect(admit(value).value).toEqual(value);
  });
});

describe('the quick walk', () => {
  const limits = { maxDepth: 6, maxBytes: 300 };
  const outcome = (run: () => { value: JsonValue; bytes: number }) => {
    try {
      const { value, bytes } = run();
      return { value, bytes, frozen: isDeepFrozen(value) };
    } catch (error) {
      return (error as InvalidValueError).message;
    }
  };
  const leaf = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.double(),
    fc.boolean(),
    fc.constantFrom<unknown>(null, undefined, -0, 1n, new Date(0), '\ud800', Symbol('s'), () => 0),
  );
  const { anything } = fc.letrec<{ anything: unknown }>((tie) => ({
    anything: fc.oneof(
      { depthSize: 'large', maxDepth: 7 },
      leaf,
      fc.array(tie('anything'), { maxLength: 4 }),
      fc.dictionary(fc.constantFrom('a', 'b', '__proto__', 'toString', '\udc00', 'long name'), tie('anything')),
      fc.array(tie('anything'), { maxLength: 3 }).map((array) => Object.assign(Object.create(null), { array })),
      fc.constant(Object.assign([1], { 3: 2 })),
      fc.constant({ [Symbol('hidden')]: {}, shown: 1 }),
    ),
  }));

  it('gives the same results and errors as the thorough walk', () => {
    const door = new ValueDoor(limits);
    fc.assert(
      fc.property(anything, (value) => {
        const thorough = outcome(() => {
          const walk = new ThoroughWalk(limits);
          return { value: walk.run(value), bytes: walk.bytes };
        });
        expect(outcome(() => ({ value: door.admit(value), bytes: door.bytes }))).toEqual(thorough);
      }),
      fcOptions(2_000),
    );
  });

  it('counts the bytes of a value whose getter admits another value', () => {
    const door = new ValueDoor();
    const value = {
      before: 'x'.repeat(50),
      get inner() {
        return door.admit({ some: 'other value' });
      },
    };
    door.admit(value);
    expect(door.bytes).toBe(admit(JSON.parse(JSON.stringify(value))).bytes);
  });

  it('ignores properties added to Object.prototype', () => {
    Object.defineProperty(Object.prototype, 'planted', {
      value: { a: 1 },
      enumerable: true,
      configurable: true,
      writable: true,
    });
    try {
      expect(JSON.stringify(admit({ own: 1 }).value)).toBe('{"own":1}');
    } finally {
      Reflect.deleteProperty(Object.prototype, 'planted');
    }
  });
});

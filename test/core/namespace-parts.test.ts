import fc from 'fast-check';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { joinNamespace, splitNamespace } from '../../src/index.ts';
import { fcOptions } from '../support/property.ts';

const anyPart = fc.oneof(
  fc.string({ unit: fc.constantFrom('a', 'b', '/', '%', '2', '5', 'F'), maxLength: 5 }),
  fc.string({ unit: 'binary', maxLength: 8 }),
);
const anyParts = fc.array(anyPart, { maxLength: 4 });

describe('namespaces in parts', () => {
  it('become a name and are read from it again', () => {
    expect(joinNamespace(['store', 'user', 'a/b', '50%', ''])).toBe('store/user/a%2Fb/50%25//');
    expect(joinNamespace([])).toBe('');
    fc.assert(
      fc.property(anyParts, (parts) => {
        expect(splitNamespace(joinNamespace(parts))).toEqual(parts);
      }),
      fcOptions(500),
    );
  });

  it('have a name that starts with the name of other parts exactly if they start with these parts', () => {
    fc.assert(
      fc.property(anyParts, anyParts, (parts, prefix) => {
        const startsWith = prefix.every((part, index) => parts[index] === part) && prefix.length <= parts.length;
        expect(joinNamespace(parts).startsWith(joinNamespace(prefix))).toBe(startsWith);
        expect(joinNamespace([...prefix, ...parts]).startsWith(joinNamespace(prefix))).toBe(true);
      }),
      fcOptions(500),
    );
  });

  it('are undefined for any other name', () => {
    for (const name of ['trip', 'trip:*', 'a/b', 'a%/', 'a%2f/', 'a%2/', '%/'])
      expect(splitNamespace(name)).toBeUndefined();
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '/', '%', '2', '5', 'F'), maxLength: 12 }), (name) => {
        const parts = splitNamespace(name);
        if (parts !== undefined) expect(joinNamespace(parts)).toBe(name);
      }),
      fcOptions(500),
    );
  });

  it.each([
    [null, 'The parts of a namespace must be an array of strings.'],
    ['store', 'The parts of a namespace must be an array of strings.'],
    [['a', 1], 'Each part of a namespace must be a string of well-formed Unicode; part 1 is number.'],
    [[null], 'Each part of a namespace must be a string of well-formed Unicode; part 0 is null.'],
    [new Array(1), 'Each part of a namespace must be a string of well-formed Unicode; part 0 is undefined.'],
    [['\ud800'], 'Each part of a namespace must be a string of well-formed Unicode; part 0 has a lone surrogate.'],
  ])('refuse %j', (parts, message) => {
    expect(() => joinNamespace(parts as never)).toThrow(expect.objectContaining({ code: 'INVALID_NAME', message }));
  });

  it('have a type as exact as their parts', () => {
    const user: string = 'ann';
    expectTypeOf(joinNamespace(['store', 'user'])).toEqualTypeOf<'store/user/'>();
    expectTypeOf(joinNamespace(['store', user])).toEqualTypeOf<`store/${string}/`>();
    expectTypeOf(joinNamespace(['a/b'])).toEqualTypeOf<`${string}/`>();
    expectTypeOf(joinNamespace(['store', user] as readonly string[])).toEqualTypeOf<string>();
  });
});

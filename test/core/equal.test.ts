import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isEqual } from '../../src/core/equal.ts';
import { admit } from '../../src/core/value.ts';
import { fcOptions } from '../support/property.ts';

const small = fc.letrec((tie) => ({
  value: fc.oneof(
    fc.constantFrom(null, true, 0, 1, '', '0', 'a'),
    fc.array(tie('value'), { maxLength: 2 }),
    fc.dictionary(fc.constantFrom('a', 'b', '__proto__', '0'), tie('value'), { maxKeys: 2 }),
  ),
})).value;

it('says of two values what the platform does', () => {
  fc.assert(
    fc.property(small, small, (x, y) => {
      const [a, b] = [admit(x).value, admit(y).value];
      expect(isEqual(a, b)).toBe(isDeepStrictEqual(a, b));
      expect(isEqual(a, admit(structuredClone(x)).value)).toBe(true);
    }),
    fcOptions(2_000),
  );
});

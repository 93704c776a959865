import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NumberColumn } from '../../../src/core/tables/number-column.ts';
import { fcOptions } from '../../support/property.ts';

describe('a column of numbers', () => {
  it('behaves like a Map with a default, for all numbers', () => {
    const slot = fc.oneof(fc.nat(40), fc.nat(5_000));
    const number = fc.oneof(
      fc.constantFrom(0, 1, 255, 256, 2 ** 32 - 1, 2 ** 32, -1, 0.5, Number.POSITIVE_INFINITY, Number.MAX_SAFE_INTEGER),
      fc.double({ noNaN: true }).map((n) => n + 0),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(slot, number), { size: 'max', maxLength: 200 }), number, (sets, byDefault) => {
        const column = new NumberColumn(byDefault);
        const model = new Map<number, number>();
        for (const [at, to] of sets) {
          column.set(at, to);
          if (to === byDefault) model.delete(at);
          else model.set(at, to);
          expect(column.get(at)).toBe(to);
        }
        for (let at = 0; at <= 5_100; at += 1)
          if (column.get(at) !== (model.get(at) ?? byDefault)) expect.fail(`${at}`);
        expect([...column.slots()]).toEqual([...model.keys()].sort((a, b) => a - b));
      }),
      fcOptions(),
    );
  });
});

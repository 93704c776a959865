import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rangeOf } from '../../../src/core/range.ts';
import { NameOrder, taken } from '../../../src/core/tables/name-order.ts';
import { anyText, byUtf8, inRange } from '../../support/order.ts';
import { fcOptions } from '../../support/property.ts';

const anyRange = fc.record(
  {
    prefix: anyText,
    from: anyText,
    to: anyText,
    after: anyText,
    reverse: fc.boolean(),
    limit: fc.nat(20),
  },
  { requiredKeys: [] },
);

describe('names in order', () => {
  it('are those of the range, in order of their UTF-8 bytes', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(anyText, { maxLength: 40 }),
        fc.uniqueArray(anyText),
        anyRange,
        (some, more, options) => {
          const order = new NameOrder(some);
          for (const name of more) order.add(name);
          for (const name of more.slice(3)) order.delete(name);
          const gone = new Set(more.slice(3));
          const names = [...new Set([...some, ...more])].filter((name) => !gone.has(name));
          expect(order.size).toBe(names.length);
          expect([...taken(order, rangeOf('keys', options))]).toEqual(inRange(names, options));
        },
      ),
      fcOptions(1_000),
    );
  });

  it('are complete when blocks are split and discarded', () => {
    const order = new NameOrder();
    const names = Array.from({ length: 5_000 }, (_, i) => `key ${(i * 7_919) % 5_000}`);
    for (const name of names) order.add(name);
    for (const name of names) order.add(name);
    expect([...order.names({ low: '', high: undefined, reverse: false })]).toEqual(names.toSorted(byUtf8));
    for (const name of names.slice(2_500)) order.delete(name);
    order.delete('missing');
    const left = names.slice(0, 2_500).sort(byUtf8);
    expect([...order.names({ low: '', high: undefined, reverse: true })]).toEqual(left.toReversed());
    for (const name of left) order.delete(name);
    expect([order.size, ...order.names({ low: '', high: undefined, reverse: false })]).toEqual([0]);
  });

  it('are each yielded once while others come and go', () => {
    const change = fc.record({ name: fc.nat(2_000), add: fc.boolean(), steps: fc.nat(60) });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), fc.boolean(), (changes, reverse) => {
        const nameOf = (number: number) => String(number).padStart(5, '0');
        const order = new NameOrder(Array.from({ length: 700 }, (_, i) => nameOf(i * 3)));
        const stays = new Set(order.names({ low: '', high: undefined, reverse }));
        const everThere = new Set(stays);
        const seen: string[] = [];
        const iteration = order.names({ low: '', high: undefined, reverse });
        const step = () => {
          const { value } = iteration.next();
          if (value !== undefined) seen.push(value);
          return value !== undefined;
        };
        for (const { name, add, steps } of changes) {
          for (let i = 0; i < steps; i += 1) step();
          if (add) order.add(nameOf(name));
          else order.delete(nameOf(name));
          if (add) everThere.add(nameOf(name));
          else stays.delete(nameOf(name));
        }
        while (step());
        expect(seen).toEqual(reverse ? seen.toSorted(byUtf8).reverse() : seen.toSorted(byUtf8));
        expect(new Set(seen).size).toBe(seen.length);
        const met = new Set(seen);
        expect([...stays].filter((name) => !met.has(name))).toEqual([]);
        expect(seen.filter((name) => !everThere.has(name))).toEqual([]);
      }),
      fcOptions(60),
    );
  });
});

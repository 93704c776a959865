import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ChangeOrder } from '../../../src/core/tables/change-order.ts';
import { createUpdate, type Update } from '../../../src/core/update.ts';
import { fcOptions } from '../../support/property.ts';

const step = fc.oneof(
  { weight: 12, arbitrary: fc.record({ namespace: fc.constantFrom('a', 'b'), key: fc.nat({ max: 40 }) }) },
  { weight: 1, arbitrary: fc.record({ namespace: fc.constantFrom('a', 'b'), key: fc.constant(null) }) },
  {
    weight: 1,
    arbitrary: fc.record({ namespace: fc.constantFrom('a', 'b'), keys: fc.uniqueArray(fc.nat({ max: 40 })) }),
  },
  { weight: 1, arbitrary: fc.record({ clearMany: fc.integer({ min: 1, max: 1_500 }) }) },
  { weight: 1, arbitrary: fc.record({ trim: fc.nat({ max: 30 }) }) },
  { weight: 1, arbitrary: fc.record({ many: fc.integer({ min: 500, max: 1_500 }) }) },
);

/** The same from a list of all updates, without an index. */
function changesAfter(updates: readonly Update[], position: number, trimmed: number): number[] {
  const last = new Map<string, Update>();
  for (const update of updates) {
    if (update.operation === 'clear') {
      for (const key of update.keys ?? []) last.set(JSON.stringify([update.namespace, key]), update);
      continue;
    }
    if (update.key === null)
      for (const [id, { namespace }] of last) if (namespace === update.namespace) last.delete(id);
    last.set(JSON.stringify([update.namespace, update.key]), update);
  }
  const positions = [...last.values()].map((update) => update.position);
  return positions.filter((each) => each > Math.max(position, trimmed)).sort((a, b) => a - b);
}

it('yields the last update of each key after any position, in order', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.double({ min: 0, max: 1, noNaN: true }), (steps, part) => {
      const order = new ChangeOrder();
      const updates: Update[] = [];
      let trimmed = 0;
      const add = (namespace: string, key: string | null, keys?: string[]) => {
        const operation = keys !== undefined ? 'clear' : key === null ? 'clear_namespace' : 'set';
        const update = createUpdate({ namespace, version: 1, operation, key, value: key && 'value', at: 1, keys });
        update.position = updates.length + 1;
        updates.push(update);
        order.add(update);
      };
      for (const each of steps) {
        if ('trim' in each) {
          trimmed = Math.max(trimmed, updates.length - each.trim);
          order.trim(trimmed);
        } else if ('keys' in each) add(each.namespace, null, each.keys.map(String));
        else if ('clearMany' in each)
          add(
            'many',
            null,
            Array.from({ length: each.clearMany }, (_, key) => `${key}`),
          );
        else if ('many' in each) for (let key = 0; key < each.many; key += 1) add('many', `${key}`);
        else add(each.namespace, each.key === null ? null : `${each.key}`);
      }
      for (const position of [0, trimmed, Math.floor(part * updates.length), updates.length]) {
        const found = [...order.after(position)];
        expect(found.map((update) => update.position)).toEqual(changesAfter(updates, position, trimmed));
        expect(found.every(({ value }) => value === null)).toBe(true);
      }
      expect(order.size).toBe(changesAfter(updates, 0, trimmed).length);
    }),
    fcOptions(100),
  );
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createUpdate, type Update } from '../../src/core/update.ts';
import { UpdateRing } from '../../src/storage/update-ring.ts';
import { fcOptions } from '../support/property.ts';

const update = fc
  .record({
    operation: fc.constantFrom('set', 'delete', 'clear_namespace', 'expire', 'touch'),
    key: fc.constantFrom('a', 'b', null),
    value: fc.jsonValue({ maxDepth: 1 }),
    at: fc.integer({ min: 0, max: 8.64e15 }),
    agent: fc.constantFrom('planner', null),
    expiresAt: fc.constantFrom(null, 5, 1.7e12),
    replaced: fc.nat(),
    drop: fc.boolean(),
    bytes: fc.nat(500),
    meta: fc.constantFrom(undefined, undefined, { task: 't-7' }),
    operationId: fc.constantFrom(undefined, undefined, 'o-1'),
    version: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  })
  .chain(({ operation, value, ...fields }) => {
    const plain = createUpdate({ namespace: 'n', operation: operation as 'set', value: value as null, ...fields });
    const clear = { ...fields, namespace: 'n', operation: 'clear', key: null, drop: false } as const;
    return fc.constantFrom(
      plain,
      plain,
      plain,
      createUpdate({ ...clear, keys: ['a', 'é'], operationId: 'o-2', commandHash: 2 ** 48 - 1 }),
    );
  });

describe('a ring of updates', () => {
  it('returns by position what was added and not released', () => {
    const script = fc.array(fc.oneof(update, fc.constant('drop' as const)), { maxLength: 400, size: 'max' });
    fc.assert(
      fc.property(
        script,
        fc.nat(200),
        fc.nat(300),
        fc.integer({ min: 0, max: 2 ** 40 }),
        (steps, from, limit, after) => {
          const ring = new UpdateRing(after, { capacityUpdates: 100, capacityBytes: 40_000 });
          const held: Update[] = [];
          let next = after + 1;
          for (const step of steps) {
            if (step === 'drop') {
              if (held.length === 0) expect(() => ring.drop()).toThrow('empty');
              else ring.drop();
              held.shift();
            } else {
              ring.push(step);
              held.push({ ...step, position: next });
              next += 1;
            }
            const bytes = held.reduce((sum, one) => sum + one.bytes + 256 + (one.meta === undefined ? 0 : 1_024), 0);
            expect(ring.overfull).toBe(held.length > 100 || (held.length > 0 && bytes > 40_000));
            expect(ring.first).toBe(next - held.length);
          }
          expect(ring.slice(ring.first, next, Number.POSITIVE_INFINITY)).toEqual(held);
          const begin = Math.min(from, held.length);
          expect(ring.slice(ring.first + begin, next - 2, limit)).toEqual(
            held.slice(0, -1).slice(begin, begin + limit),
          );
          expect(() => ring.at(ring.first - 1)).toThrow('does not hold position');
          expect(() => ring.at(next)).toThrow('does not hold position');
        },
      ),
      fcOptions(200),
    );
  });
});

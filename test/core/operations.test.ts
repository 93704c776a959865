import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_OPERATIONS, OPERATION_MS, OperationWindow } from '../../src/core/operations.ts';
import { createUpdate, type Update } from '../../src/core/update.ts';
import { fcOptions } from '../support/property.ts';

function updateOf(position: number, operationId: string, at = 0, namespace = 'n'): Update {
  const update = createUpdate({
    namespace,
    version: position,
    operation: 'set',
    key: 'k',
    value: position,
    at,
    operationId,
  });
  update.position = position;
  return update;
}

describe('the window of operations', () => {
  it('remembers as many as it may, and forgets the oldest first', () => {
    const window = new OperationWindow();
    for (let position = 1; position <= MAX_OPERATIONS + 3; position += 1)
      window.add(updateOf(position, `id ${position}`));
    expect(window.size).toBe(MAX_OPERATIONS);
    expect(window.forgotten).toBe(3);
    expect(window.find('id 3', 0)).toBeUndefined();
    expect(window.find('id 4', 0)).toMatchObject({ position: 4, versions: new Map([['n', 4]]) });
  });

  it('forgets by the instants of the updates, and finds none that is too old for the caller', () => {
    const window = new OperationWindow();
    window.add(updateOf(1, 'early', 10));
    expect(window.find('early', 10 + OPERATION_MS)).toBeDefined();
    expect(window.find('early', 11 + OPERATION_MS)).toBeUndefined();
    window.add(updateOf(2, 'late', 10 + OPERATION_MS));
    expect(window.size).toBe(2);
    window.add(updateOf(3, 'later', 11 + OPERATION_MS));
    expect(window.size).toBe(2);
    expect(window.forgotten).toBe(1);
  });

  it('keeps the operation that goes on, even if it alone exceeds the bounds', () => {
    const window = new OperationWindow();
    for (let position = 1; position <= 5_000; position += 1)
      window.add(updateOf(position, 'large', 0, `${'n'.repeat(1_000)}${position}`));
    expect(window.find('large', 0)?.versions.size).toBe(5_000);
    window.add(updateOf(5_001, 'next'));
    expect(window.find('large', 0)).toBeUndefined();
    expect(window.forgotten).toBe(5_000);
  });

  it('bounds the characters of ids and names', () => {
    const window = new OperationWindow();
    for (let position = 1; position <= 5_000; position += 1) {
      window.add(updateOf(position, `id ${position}`, 0, `${'n'.repeat(2_000)}`));
    }
    expect(window.size).toBeLessThan(2_200);
    expect(window.size).toBeGreaterThan(2_000);
    expect(window.forgotten).toBe(5_000 - window.size);
  });

  it('counts the updates of one operation as one', () => {
    const window = new OperationWindow();
    window.add(updateOf(1, 'a'));
    window.add(updateOf(2, 'a'));
    window.add(updateOf(3, 'b', 0, 'other'));
    expect(window.size).toBe(2);
    expect(window.find('a', 0)).toMatchObject({ position: 2, updates: 2, versions: new Map([['n', 2]]) });
  });

  it('is the same after it was stored at any position, and the rest was added', () => {
    const step = fc.record({
      id: fc.integer({ min: 0, max: 20 }),
      gap: fc.integer({ min: 1, max: 3 }),
      ms: fc.nat(OPERATION_MS / 4),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(60), (steps, cut) => {
        let [position, at] = [0, 0];
        const updates = steps.map(({ id, gap, ms }) => {
          position += gap;
          at += ms;
          return updateOf(position, `id ${id}`, at);
        });
        const whole = new OperationWindow();
        const first = new OperationWindow();
        const second = new OperationWindow();
        for (const update of updates) whole.add(update);
        for (const update of updates.slice(0, cut)) first.add(update);
        second.restore(structuredClone(first.stored(position)));
        for (const update of updates.slice(cut)) second.add(update);
        expect(second.stored(position)).toEqual(whole.stored(position));
      }),
      fcOptions(),
    );
  });
});

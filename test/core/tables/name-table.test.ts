import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { filled, NameSet, NameTable, NO_SLOT } from '../../../src/core/tables/name-table.ts';
import { fcOptions } from '../../support/property.ts';

describe('a table of names', () => {
  it('gives every name its own slot as long as one of the sets contains it', () => {
    const name = fc.nat(60).map((n) => `n${n}`);
    const action = fc.record({ set: fc.nat(2), name, add: fc.boolean() });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 300, size: 'max' }), (actions) => {
        const table = new NameTable();
        const sets = [new NameSet(table), new NameSet(table), new NameSet(table)] as const;
        const models = [new Set<string>(), new Set<string>(), new Set<string>()] as const;
        const slots = new Map<string, number>();
        for (const one of actions) {
          const set = sets[one.set] as NameSet;
          const model = models[one.set] as Set<string>;
          if (one.add) {
            const slot = set.add(one.name);
            expect(slot).toBe(slots.get(one.name) ?? slot);
            slots.set(one.name, slot);
            model.add(one.name);
          } else {
            expect(set.delete(one.name)).toBe(model.delete(one.name) ? slots.get(one.name) : NO_SLOT);
            if (models.every((other) => !other.has(one.name))) slots.delete(one.name);
          }
          expect(table.size).toBe(slots.size);
          expect(new Set(slots.values()).size).toBe(slots.size);
        }
        for (const [index, set] of sets.entries()) {
          const model = models[index] as Set<string>;
          expect([...set.names()].sort()).toEqual([...model].sort());
          expect(set.size).toBe(model.size);
          for (const [known, slot] of slots) {
            expect([set.has(known), set.find(known)]).toEqual(model.has(known) ? [true, slot] : [false, NO_SLOT]);
            expect([table.find(known), table.nameAt(slot)]).toEqual([slot, known]);
          }
        }
        for (const set of sets) {
          set.clear();
          expect([set.size, [...set.names()]]).toEqual([0, []]);
        }
        expect(table.size).toBe(0);
      }),
      fcOptions(),
    );
  });

  it('finds exactly the names that it holds, and reuses freed slots', () => {
    const table = new NameTable();
    const set = new NameSet(table);
    const numbers = Array.from({ length: 20_000 }, (_, n) => n);
    expect(numbers.map((n) => set.add(`agent/${n}`))).toEqual(numbers);
    for (let n = 0; n < 20_000; n += 2) set.delete(`agent/${n}`);
    expect(numbers.map((n) => set.find(`agent/${n}`))).toEqual(numbers.map((n) => (n % 2 === 1 ? n : NO_SLOT)));
    const given = numbers.slice(10_000).map((n) => set.add(`more ${n}`));
    expect(given.sort((a, b) => a - b)).toEqual(numbers.filter((n) => n % 2 === 0));
    expect([set.size, table.size]).toEqual([20_000, 20_000]);
  });

  it('yields every name that stays in a set exactly once while the set changes', () => {
    const set = new NameSet(new NameTable());
    for (let n = 0; n < 3_000; n += 1) set.add(`stays ${n}`);
    for (let n = 0; n < 3_000; n += 1) set.add(`goes ${n}`);
    const met: string[] = [];
    let turn = 0;
    for (const name of set.names()) {
      met.push(name);
      set.delete(`goes ${2_999 - turn}`);
      set.add(`comes ${turn}`);
      turn += 1;
      if (turn > 3_000) set.delete(`comes ${turn - 1}`);
    }
    const stayed = met.filter((name) => name.startsWith('stays'));
    expect([stayed.length, new Set(stayed).size]).toEqual([3_000, 3_000]);
  });

  it('releases the names if columns cannot be filled', async () => {
    const table = new NameTable();
    const failing = filled(new NameSet(table), async (set) => {
      set.add('a');
      throw new Error('no more');
    });
    await expect(failing).rejects.toThrow('no more');
    expect(table.size).toBe(0);
  });
});

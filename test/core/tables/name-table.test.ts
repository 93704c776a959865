import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { filled, NameSet, NameTable, NOWHERE } from '../../../src/core/tables/name-table.ts';
import { fcOptions } from '../../support/property.ts';

describe('a table of names', () => {
  it('gives every name a place of its own for as long as one of its sets holds it', () => {
    const name = fc.nat(60).map((n) => `n${n}`);
    const action = fc.record({ set: fc.nat(2), name, add: fc.boolean() });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 300, size: 'max' }), (actions) => {
        const table = new NameTable();
        const sets = [new NameSet(table), new NameSet(table), new NameSet(table)] as const;
        const models = [new Set<string>(), new Set<string>(), new Set<string>()] as const;
        const places = new Map<string, number>();
        for (const one of actions) {
          const set = sets[one.set] as NameSet;
          const model = models[one.set] as Set<string>;
          if (one.add) {
            const place = set.add(one.name);
            expect(place).toBe(places.get(one.name) ?? place);
            places.set(one.name, place);
            model.add(one.name);
          } else {
            expect(set.delete(one.name)).toBe(model.delete(one.name) ? places.get(one.name) : NOWHERE);
            if (models.every((other) => !other.has(one.name))) places.delete(one.name);
          }
          expect(table.size).toBe(places.size);
          expect(new Set(places.values()).size).toBe(places.size);
        }
        for (const [index, set] of sets.entries()) {
          const model = models[index] as Set<string>;
          expect([...set.names()].sort()).toEqual([...model].sort());
          expect(set.size).toBe(model.size);
          for (const [known, place] of places) {
            expect([set.has(known), set.find(known)]).toEqual(model.has(known) ? [true, place] : [false, NOWHERE]);
            expect([table.find(known), table.nameAt(place)]).toEqual([place, known]);
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

  it('holds many names, and finds none but those', () => {
    const table = new NameTable();
    const set = new NameSet(table);
    const numbers = Array.from({ length: 20_000 }, (_, n) => n);
    expect(numbers.map((n) => set.add(`agent/${n}`))).toEqual(numbers);
    for (let n = 0; n < 20_000; n += 2) set.delete(`agent/${n}`);
    expect(numbers.map((n) => set.find(`agent/${n}`))).toEqual(numbers.map((n) => (n % 2 === 1 ? n : NOWHERE)));
    // The places that were given up are given again.
    const given = numbers.slice(10_000).map((n) => set.add(`more ${n}`));
    expect(given.sort((a, b) => a - b)).toEqual(numbers.filter((n) => n % 2 === 0));
    expect([set.size, table.size]).toEqual([20_000, 20_000]);
  });

  it('may be changed while a set is walked: what is there all the while is met exactly once', () => {
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

  it('lets go of the names where columns could not be filled', async () => {
    const table = new NameTable();
    const failing = filled(new NameSet(table), async (set) => {
      set.add('a');
      throw new Error('no more');
    });
    await expect(failing).rejects.toThrow('no more');
    expect(table.size).toBe(0);
  });
});

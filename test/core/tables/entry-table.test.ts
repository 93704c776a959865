import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type EntryRecord, EntryTable } from '../../../src/core/tables/entry-table.ts';
import { fcOptions } from '../../support/property.ts';

function record(n: number): EntryRecord {
  return {
    value: n % 5 === 0 ? undefined : { n },
    version: n,
    createdAt: n - 1,
    updatedAt: n + 0.5,
    expiresAt: n % 3 === 0 ? n + 10 : null,
    agent: n % 4 === 0 ? `agent ${n}` : null,
    bytes: n * 2,
    meta: n % 7 === 0 ? { reason: n } : undefined,
  };
}

function put(table: EntryTable, key: string, entry: EntryRecord): void {
  const { value, version, createdAt, updatedAt, expiresAt, agent, bytes, meta } = entry;
  const at = expiresAt ?? Number.POSITIVE_INFINITY;
  const slot = table.find(key);
  if (slot < 0) {
    table.add(key, value, version, createdAt, updatedAt, at, agent, bytes, meta);
    return;
  }
  table.replace(slot, value, version, updatedAt, at, agent, bytes, meta);
  table.setCreatedAt(slot, createdAt);
}

describe('a table of entries', () => {
  // With few keys there is no index yet, or it has just been created.
  it.each([5, 40])('behaves like a Map of records with %i keys', (last) => {
    const key = fc.nat(last).map((n) => `k${n}`);
    const action = fc.oneof(
      { weight: 3, arbitrary: fc.record({ put: key, n: fc.nat(1000) }) },
      { weight: 2, arbitrary: fc.record({ delete: key }) },
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 200, size: 'max' }), (actions) => {
        const table = new EntryTable();
        const model = new Map<string, EntryRecord>();
        for (const one of actions) {
          if ('put' in one) {
            put(table, one.put, record(one.n));
            model.set(one.put, record(one.n));
          } else {
            const slot = table.find(one.delete);
            expect(slot >= 0).toBe(model.delete(one.delete));
            if (slot >= 0) table.delete(one.delete, slot);
          }
          expect(table.size).toBe(model.size);
          expect(table.bytes).toBe([...model.values()].reduce((sum, { bytes }) => sum + bytes, 0));
        }
        expect(new Map(table)).toEqual(model);
        expect([...table.keys()].sort()).toEqual([...model.keys()].sort());
        for (let n = 0; n <= last; n += 1) {
          const slot = table.find(`k${n}`);
          const expected = model.get(`k${n}`);
          expect([table.has(`k${n}`), table.get(`k${n}`)]).toEqual([expected !== undefined, expected]);
          if (expected === undefined) continue;
          expect([
            table.valueAt(slot),
            table.versionAt(slot),
            table.createdAt(slot),
            table.expiresAt(slot),
            table.bytesAt(slot),
          ]).toEqual([
            expected.value,
            expected.version,
            expected.createdAt,
            expected.expiresAt ?? Number.POSITIVE_INFINITY,
            expected.bytes,
          ]);
        }
      }),
      fcOptions(300),
    );
  });

  it('holds many keys while its Maps are split, and releases all of them', () => {
    const table = new EntryTable();
    const count = 70_000;
    const keyOf = (n: number) => (n % 2 === 0 ? `user:${n}:profile` : `${n}`);
    for (let n = 0; n < count; n += 1) put(table, keyOf(n), record(n));
    expect(table.size).toBe(count);
    for (let n = 0; n < count; n += 1) expect(table.versionAt(table.find(keyOf(n)))).toBe(n);
    expect(new Set(table.keys()).size).toBe(count);
    expect(table.find('user:1:profile')).toBe(-1);
    for (let n = 0; n < count; n += 1) if (n % 3 !== 0) table.delete(keyOf(n), table.find(keyOf(n)));
    for (let n = 0; n < count; n += 1) expect(table.get(keyOf(n))?.version).toBe(n % 3 === 0 ? n : undefined);
    for (let n = 0; n < count; n += 3) table.delete(keyOf(n), table.find(keyOf(n)));
    expect([table.size, [...table]]).toEqual([0, []]);
    put(table, 'again', record(7));
    expect([...table]).toEqual([['again', record(7)]]);
  });

  it('yields every unchanged entry exactly once, however slowly it is iterated', () => {
    const action = fc.oneof(
      fc.record({ put: fc.nat(3_000), many: fc.nat(200), n: fc.nat(1000) }),
      fc.record({ delete: fc.nat(2_000), upTo: fc.nat(300) }),
      fc.record({ step: fc.nat(500) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40, size: 'max' }), (actions) => {
        const table = new EntryTable();
        for (let n = 0; n < 1_000; n += 1) put(table, `k${n}`, record(n));
        const untouched = new Set(table.keys());
        const walk = table[Symbol.iterator]();
        const met: string[] = [];
        const step = () => {
          const { value, done } = walk.next();
          if (done) return false;
          met.push(value[0]);
          expect(table.get(value[0])).toEqual(value[1]);
          return true;
        };
        for (const one of actions) {
          if ('step' in one) for (let i = 0; i < one.step; i += 1) step();
          else if ('put' in one) {
            for (let n = one.put; n < one.put + one.many; n += 1) {
              put(table, `k${n}`, record(one.n));
              untouched.delete(`k${n}`);
            }
          } else {
            for (let n = one.delete; n < one.delete + one.upTo; n += 1) {
              const slot = table.find(`k${n}`);
              if (slot >= 0) table.delete(`k${n}`, slot);
              untouched.delete(`k${n}`);
            }
          }
        }
        while (step());
        const times = new Map<string, number>();
        for (const key of met) times.set(key, (times.get(key) ?? 0) + 1);
        for (const key of untouched) expect(times.get(key)).toBe(1);
      }),
      fcOptions(30),
    );
  });
});

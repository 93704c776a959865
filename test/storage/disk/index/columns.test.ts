import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NameTable } from '../../../../src/core/tables/name-table.ts';
import { PastColumns } from '../../../../src/storage/disk/index/past/past-columns.ts';
import type { PastSummary } from '../../../../src/storage/disk/index/records/past-records.ts';
import type { StoredNamespace } from '../../../../src/storage/disk/index/records/state-records.ts';
import { StateColumns } from '../../../../src/storage/disk/index/state/state-columns.ts';
import { fcOptions } from '../../../support/property.ts';

const name = fc.nat(30).map((n) => `n${n}`);
const count = fc.oneof(fc.nat(300), fc.maxSafeNat());
const digest = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex'));

const stored: fc.Arbitrary<StoredNamespace> = fc.record({
  name,
  version: count,
  position: count,
  count,
  bytes: count,
  pages: count,
  nextExpiryAt: fc.option(count),
  digest,
});

const summary: fc.Arbitrary<PastSummary> = fc.record({
  name,
  count,
  last: count,
  frames: count,
  framedAt: count,
  weight: count,
  lives: fc.array(count, { maxLength: 3 }),
  livedBefore: fc.boolean(),
  firstChunk: count,
  firstFrame: count,
  keyframe: fc.option(
    fc.record({
      generation: count,
      ordinal: count,
      version: count,
      position: count,
      pages: count,
      entries: count,
    }),
    { nil: undefined },
  ),
});

/** A change to a table: a namespace is added or removed. */
function changes<Row>(row: fc.Arbitrary<Row>) {
  const change = fc.oneof(
    { weight: 3, arbitrary: row.map((put) => ({ put })) },
    { weight: 1, arbitrary: name.map((remove) => ({ remove })) },
  );
  return fc.array(change, { maxLength: 80, size: 'max' });
}

interface Columns<Row> {
  get(name: string): Row | undefined;
  set(row: Row): void;
  delete(name: string): void;
  names(): Iterable<string>;
  clear(): void;
}

/** Two tables over one table of names, each compared with a Map. */
function holdAgainstMap<Row extends { readonly name: string }>(
  row: fc.Arbitrary<Row>,
  make: (names: NameTable) => Columns<Row>,
  also: (columns: Columns<Row>, model: ReadonlyMap<string, Row>) => void,
): void {
  fc.assert(
    fc.property(changes(row), changes(row), (first, second) => {
      const names = new NameTable();
      const pairs = [first, second].map((own) => ({ own, columns: make(names), model: new Map<string, Row>() }));
      for (let i = 0; i < Math.max(first.length, second.length); i += 1) {
        for (const { own, columns, model } of pairs) {
          const one = own[i];
          if (one === undefined) continue;
          if ('put' in one) {
            columns.set(one.put);
            model.set(one.put.name, one.put);
          } else {
            columns.delete(one.remove);
            model.delete(one.remove);
          }
        }
      }
      for (const { columns, model } of pairs) {
        for (let n = 0; n <= 30; n += 1) expect(columns.get(`n${n}`)).toEqual(model.get(`n${n}`));
        expect([...columns.names()].sort()).toEqual([...model.keys()].sort());
        also(columns, model);
      }
      for (const { columns } of pairs) {
        columns.clear();
        expect([...columns.names()]).toEqual([]);
      }
      expect(names.size).toBe(0);
      // A namespace that gets a reused slot finds nothing of the one before.
      const fresh = make(names);
      for (const { own } of pairs) for (const one of own) if ('put' in one) fresh.set(one.put);
      for (const { own } of pairs.slice(1)) {
        const last = own.findLast((one) => 'put' in one);
        if (last !== undefined && 'put' in last) expect(fresh.get(last.put.name)).toEqual(last.put);
      }
    }),
    fcOptions(),
  );
}

describe('columns of namespaces', () => {
  it('of the state behave like a Map of summaries', () => {
    holdAgainstMap(
      stored,
      (names) => new StateColumns(names),
      (columns, model) => {
        if (!(columns instanceof StateColumns)) return;
        expect(columns.size).toBe(model.size);
        expect(new Map(columns.positions())).toEqual(new Map([...model].map(([of, { position }]) => [of, position])));
        for (const [of, { count: entries, pages }] of model) {
          expect(columns.has(of)).toBe(true);
          expect(columns.paged(of)).toEqual({ name: of, count: entries, pages });
        }
        expect([columns.has('another'), columns.paged('another')]).toEqual([false, undefined]);
      },
    );
  });

  it('of the past behave like a Map of summaries', () => {
    holdAgainstMap(
      summary,
      (names) => new PastColumns(names),
      (columns, model) => {
        if (!(columns instanceof PastColumns)) return;
        expect(new Map(Array.from(columns.values(), (one) => [one.name, one]))).toEqual(model);
        for (const [of, { last }] of model) expect(columns.last(of)).toBe(last);
        expect(columns.last('another')).toBe(undefined);
      },
    );
  });

  it('of the past return a keyframe unchanged', () => {
    const columns = new PastColumns(new NameTable());
    const keyframe = { generation: 1, ordinal: 2, version: 3, position: 4, pages: 5, entries: 6 };
    const counts = { count: 1, last: 1, frames: 0, framedAt: 0, weight: 0, firstChunk: 0, firstFrame: 0 };
    columns.set({ name: 'a', ...counts, lives: [1], livedBefore: false, keyframe });
    expect(columns.get('a')?.keyframe).toBe(keyframe);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Capture, type EntryRecord, NamespaceState } from '../../src/core/namespace-state.ts';
import { fcOptions } from '../support/property.ts';

let serial = 0;

function record(expiresAt: number | null = null): EntryRecord {
  serial += 1;
  return {
    value: serial,
    version: serial,
    createdAt: 0,
    updatedAt: 0,
    expiresAt,
    agent: null,
    meta: undefined,
    bytes: (serial % 7) + 1,
  };
}

interface Reader {
  readonly capture: Capture;
  readonly expected: Map<string, EntryRecord>;
  readonly walk: Iterator<readonly [string, EntryRecord]>;
  readonly met: Map<string, EntryRecord>;
  readonly once: Iterator<readonly [string, EntryRecord]>;
  readonly metOnce: (readonly [string, EntryRecord])[];
}

function read({ walk, met, once, metOnce }: Reader, count: number): void {
  for (let i = 0; i < count; i += 1) {
    const next = once.next();
    if (!next.done) metOnce.push(next.value);
    const { value, done } = walk.next();
    if (!done) met.set(value[0], value[1]);
    if (done && next.done) return;
  }
}

function expectMoment({ capture, met, metOnce, expected }: Reader): void {
  expect(met).toEqual(expected);
  expect(metOnce).toHaveLength(expected.size);
  expect(new Map(metOnce)).toEqual(expected);
  for (const key of ['a', 'b', 'c', 'd', 'e', 'f']) expect(capture.get(key)).toEqual(expected.get(key));
}

describe('a capture', () => {
  const keys = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
  const action = fc.oneof(
    fc.record({ do: fc.constant('put' as const), key: keys }),
    fc.record({ do: fc.constant('remove' as const), key: keys }),
    fc.record({ do: fc.constant('clear' as const) }),
    fc.record({ do: fc.constant('open' as const) }),
    fc.record({ do: fc.constant('read' as const), which: fc.nat(3), count: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ do: fc.constant('close' as const), which: fc.nat(3) }),
  );

  it('returns the captured state, however slowly it is read and whatever is written meanwhile', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const state = new NamespaceState('n');
        const readers: Reader[] = [];
        for (const one of actions) {
          if (one.do === 'put') state.put(one.key, record());
          else if (one.do === 'remove') state.remove(one.key);
          else if (one.do === 'clear') state.clear();
          else if (one.do === 'open') {
            const capture = state.capture();
            expect(capture.count).toBe(state.entries.size);
            const [walk, once] = [capture.entries(), capture.entriesOnce()];
            readers.push({ capture, expected: new Map(state.entries), walk, met: new Map(), once, metOnce: [] });
          } else {
            const reader = readers[one.which];
            if (reader !== undefined && one.do === 'read') read(reader, one.count);
            else if (reader !== undefined) {
              // Read it to the end before closing it: a closed capture does not record further changes.
              read(reader, Number.POSITIVE_INFINITY);
              reader.capture.close();
              expectMoment(reader);
              readers.splice(one.which, 1);
            }
          }
        }
        for (const reader of readers) {
          read(reader, Number.POSITIVE_INFINITY);
          expectMoment(reader);
          expect(new Map(reader.capture.entries())).toEqual(reader.expected);
        }
      }),
      fcOptions(1000),
    );
  });
});

describe('expiry', () => {
  it('is due at the earliest deadline that still holds', () => {
    const action = fc.oneof(
      fc.record({ key: fc.nat(20), at: fc.option(fc.nat(100)) }),
      fc.record({ remove: fc.nat(20) }),
      fc.record({ clear: fc.constant(true) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 300, size: 'max' }), (actions) => {
        const state = new NamespaceState('n');
        for (const one of actions) {
          if ('key' in one) state.put(String(one.key), record(one.at));
          else if ('remove' in one) state.remove(String(one.remove));
          else if (serial % 5 === 0) state.clear();
          const deadlines = [...state.entries].flatMap(([, { expiresAt }]) => expiresAt ?? []);
          expect(state.nextExpiryAt()).toBe(Math.min(...deadlines));
        }
      }),
      fcOptions(100),
    );
  });

  it('removes entries of the same instant in the same order, however they were written', () => {
    const order = (keys: readonly string[]) => {
      const state = new NamespaceState('n');
      for (const key of keys) state.put(key, record(5));
      const taken: string[] = [];
      for (let key = state.nextExpired(5); key !== undefined; key = state.nextExpired(5)) {
        taken.push(key);
        state.remove(key);
      }
      return taken;
    };
    const keys = ['a', 'b', 'c', 'd', 'e', '\uFFFF', '\u{1F98A}'];
    fc.assert(
      fc.property(fc.shuffledSubarray(keys, { minLength: keys.length }), (shuffled) => {
        expect(order(shuffled)).toEqual(keys);
      }),
      fcOptions(50),
    );
  });

  it('keeps a small and correct queue when one key gets new deadlines again and again', () => {
    const state = new NamespaceState('n');
    for (let i = 0; i < 10_000; i += 1) state.put('a', record(1_000_000 - i));
    for (let i = 0; i < 10; i += 1) state.put(`k${i}`, record(2_000_000 + i));
    expect(state.nextExpiryAt()).toBe(1_000_000 - 9_999);
    expect(state.nextExpired(1_000_000 - 10_000)).toBeUndefined();
    expect(state.nextExpired(1_000_000 - 9_999)).toBe('a');
    state.remove('a');
    expect(state.nextExpiryAt()).toBe(2_000_000);
  });

  it('hides expired entries, and shows entries that never expire', () => {
    const state = new NamespaceState('n');
    state.put('a', record(10));
    state.put('b', record(null));
    expect(state.isLive('a', 9)).toBe(true);
    expect(state.isLive('a', 10)).toBe(false);
    expect(state.isLive('b', Number.MAX_SAFE_INTEGER)).toBe(true);
    expect(state.isLive('none', 0)).toBe(false);
  });

  it('counts the bytes of the values', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(5), fc.boolean()), { maxLength: 50 }), (actions) => {
        const state = new NamespaceState('n');
        for (const [key, put] of actions) {
          if (put) state.put(String(key), record());
          else state.remove(String(key));
          expect(state.bytes).toBe([...state.entries].reduce((sum, [, { bytes }]) => sum + bytes, 0));
        }
        state.clear();
        expect(state.bytes).toBe(0);
      }),
      fcOptions(100),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fcOptions } from '../../support/property.ts';
import type { Answer, Ask, Operation } from './history.ts';
import { checkLinearizable } from './linearizable.ts';
import { checkAgainstLog, type LoggedUpdate } from './witness.ts';

const set = (value: string, ifVersion?: number): Ask => ({
  type: 'set',
  value,
  ...(ifVersion === undefined ? {} : { ifVersion }),
});
const LOCAL: Ask = { type: 'get', isAfterBarrier: false };
const BARRIER: Ask = { type: 'get', isAfterBarrier: true };
const done = (version: number): Answer => ({ type: 'done', version, isChanged: true });
const conflict = (version: number): Answer => ({ type: 'conflict', version });
const read = (value?: string, version?: number): Answer => ({ type: 'read', value, version });
const UNKNOWN: Answer = { type: 'unknown' };
const REFUSED: Answer = { type: 'refused' };

/** `[session, call, return, ask, answer, key?]` */
type Row = readonly [string, number, number, Ask, Answer, string?];

const history = (...rows: readonly Row[]): Operation[] =>
  rows.map(([session, calledAt, returnedAt, ask, answer, key = 'k']) => ({
    ...{ session, calledAt, returnedAt, ask, answer, key },
  }));

const log = (...values: readonly (string | undefined | readonly [string, string])[]): LoggedUpdate[] => {
  const versions = new Map<string, number>();
  return values.map((each, index) => {
    const [key, value] = typeof each === 'object' ? each : ['k', each];
    const version = (versions.get(key) ?? 0) + 1;
    versions.set(key, version);
    return { position: index + 1, key, version, value };
  });
};

describe('the search for an order of the operations on a key', () => {
  it.each<[string, Operation[]]>([
    [
      'writes and reads one after the other',
      history(['a', 0, 1, set('x'), done(1)], ['b', 2, 3, BARRIER, read('x', 1)]),
    ],
    [
      'a read during a write that sees the old value',
      history(['a', 0, 9, set('x'), done(1)], ['b', 2, 3, BARRIER, read()]),
    ],
    [
      'a read during a write that sees the new value',
      history(['a', 0, 9, set('x'), done(1)], ['b', 1, 2, BARRIER, read('x', 1)]),
    ],
    [
      'a write without an answer that was done',
      history(['a', 0, Infinity, set('x'), UNKNOWN], ['b', 5, 6, BARRIER, read('x', 1)]),
    ],
    [
      'a write without an answer that was not done',
      history(['a', 0, Infinity, set('x'), UNKNOWN], ['b', 5, 6, BARRIER, read()]),
    ],
    [
      'two writes with the same condition, of which one is refused',
      history(['a', 0, 3, set('x', 0), done(1)], ['b', 0, 3, set('y', 0), conflict(1)]),
    ],
    ['a refused write that was not done', history(['a', 0, 1, set('x'), REFUSED], ['b', 2, 3, BARRIER, read()])],
    [
      'a value that has expired',
      history(
        ['a', 0, 1, { type: 'set', value: 'x', ttl: 6 }, done(1)],
        ['b', 6, 7, BARRIER, read()],
        ['b', 8, 9, set('y'), done(3)],
      ),
    ],
    [
      'an expiry that is not applied yet',
      history(['a', 0, 1, { type: 'set', value: 'x', ttl: 6 }, done(1)], ['b', 6, 7, BARRIER, read('x', 1)]),
    ],
  ])('accepts %s', (_, operations) => {
    expect(checkLinearizable(operations)).toBeUndefined();
  });

  it.each<[string, Operation[]]>([
    ['a lost write', history(['a', 0, 1, set('x'), done(1)], ['b', 2, 3, BARRIER, read()])],
    [
      'a stale read',
      history(['a', 0, 1, set('x'), done(1)], ['a', 2, 3, set('y'), done(2)], ['b', 4, 5, BARRIER, read('x', 1)]),
    ],
    [
      'a write that was applied twice',
      history(['a', 0, 1, set('x'), done(1)], ['b', 2, 3, set('y'), done(3)], ['b', 4, 5, BARRIER, read('y', 3)]),
    ],
    [
      'an increment that was applied twice, over another one',
      history(['a', 0, 1, set('x', 0), done(1)], ['b', 2, 3, set('y', 1), done(2)], ['c', 4, 5, BARRIER, read('x', 3)]),
    ],
    [
      'two writes that both met the same condition',
      history(['a', 0, 3, set('x', 0), done(1)], ['b', 0, 3, set('y', 0), done(2)]),
    ],
    [
      'a conflict with a condition that held',
      history(['a', 0, 1, set('x'), done(1)], ['b', 2, 3, set('y', 1), conflict(1)]),
    ],
    ['a value that was never written', history(['a', 0, 1, set('x'), done(1)], ['b', 2, 3, BARRIER, read('z', 1)])],
    ['a refused write that was done', history(['a', 0, 1, set('x'), REFUSED], ['b', 2, 3, BARRIER, read('x', 1)])],
    [
      'two reads that see two writes in different orders',
      history(
        ['a', 0, 9, set('x'), done(1)],
        ['b', 0, 9, set('y'), done(2)],
        ['c', 1, 2, BARRIER, read('y', 2)],
        ['c', 3, 4, BARRIER, read('x', 1)],
      ),
    ],
    [
      'an expiry before its time',
      history(['a', 0, 1, { type: 'set', value: 'x', ttl: 6 }, done(1)], ['b', 2, 3, BARRIER, read()]),
    ],
    [
      'a value that came back after it had expired',
      history(
        ['a', 0, 1, { type: 'set', value: 'x', ttl: 6 }, done(1)],
        ['b', 6, 7, BARRIER, read()],
        ['c', 8, 9, BARRIER, read('x', 1)],
      ),
    ],
  ])('refuses %s', (_, operations) => {
    expect(checkLinearizable(operations)).toMatch(/No order of the/);
  });

  it('accepts any history of a register that is written and read at an instant between call and return', () => {
    const holds = fc.property(atomicHistories(), ({ operations }) => checkLinearizable(operations) === undefined);
    fc.assert(holds, fcOptions(300));
  });

  it('refuses such a history once an answer gives another version', () => {
    fc.assert(
      fc.property(atomicHistories(), fc.nat(), ({ operations }, pick) => {
        const changeable = operations.filter(({ answer }) => answer.type === 'done');
        const changed = changeable[pick % Math.max(1, changeable.length)];
        fc.pre(changed !== undefined && changed.answer.type === 'done');
        const answer = { ...changed.answer, version: changed.answer.version + operations.length };
        const wrong = operations.map((each) => (each === changed ? { ...each, answer } : each));
        return checkLinearizable(wrong) !== undefined;
      }),
      fcOptions(300),
    );
  });
});

describe('the check against the log', () => {
  it.each<[string, Operation[], LoggedUpdate[]]>([
    ['a write without an answer that is in the log', history(['a', 0, Infinity, set('x'), UNKNOWN]), log('x')],
    ['a write without an answer that is not', history(['a', 0, Infinity, set('x'), UNKNOWN]), log()],
    [
      'a local read of another session that is stale',
      history(['a', 0, 1, set('x'), done(1)], ['a', 2, 3, set('y'), done(2)], ['b', 4, 5, LOCAL, read('x', 1)]),
      log('x', 'y'),
    ],
    [
      'a read after a barrier that sees a write which has not returned',
      history(['a', 0, 9, set('x'), done(1)], ['b', 1, 2, BARRIER, read('x', 1)]),
      log('x'),
    ],
    [
      'a deletion',
      history(['a', 0, 1, set('x'), done(1)], ['a', 2, 3, { type: 'delete' }, done(2)]),
      log('x', undefined),
    ],
  ])('accepts %s', (_, operations, updates) => {
    expect(checkAgainstLog(operations, updates)).toBeUndefined();
  });

  it.each<[string, RegExp, Operation[], LoggedUpdate[]]>([
    ['a lost write', /acknowledged, and the log/, history(['a', 0, 1, set('x'), done(1)]), log()],
    ['an increment that was applied twice', /applied twice/, history(['a', 0, 1, set('x'), done(1)]), log('x', 'x')],
    [
      'a refused write that was done',
      /not done, and it is in the log/,
      history(['a', 0, 1, set('x'), REFUSED]),
      log('x'),
    ],
    [
      'a conflict that was done',
      /not done, and it is in the log/,
      history(['a', 0, 1, set('x', 3), conflict(0)]),
      log('x'),
    ],
    [
      'a write whose condition did not hold',
      /condition did not hold/,
      history(['a', 0, 1, set('x'), done(1)], ['b', 0, 1, set('y', 0), done(2)]),
      log('x', 'y'),
    ],
    [
      'a stale read after a barrier',
      /returned before .* and comes after it/,
      history(['a', 0, 1, set('x'), done(1)], ['a', 2, 3, set('y'), done(2)], ['b', 4, 5, BARRIER, read('x', 1)]),
      log('x', 'y'),
    ],
    [
      'two reads after barriers that go back',
      /returned before .* and comes after it/,
      history(
        ['a', 0, 1, set('x'), done(1)],
        ['a', 2, 30, set('y'), done(2)],
        ['b', 4, 5, BARRIER, read('y', 2)],
        ['c', 6, 7, BARRIER, read('x', 1)],
      ),
      log('x', 'y'),
    ],
    [
      'writes to two keys in an order against time',
      /returned before .* and comes after it/,
      history(['a', 0, 1, set('x'), done(1)], ['b', 2, 3, set('y'), done(1), 'other']),
      log(['other', 'y'], ['k', 'x']),
    ],
    [
      'a session that does not read its own write',
      /and then .* stands before it/,
      history(['b', 0, 1, set('x'), done(1)], ['a', 2, 3, set('y'), done(2)], ['a', 4, 5, LOCAL, read('x', 1)]),
      log('x', 'y'),
    ],
    [
      'a session whose local reads of two keys go back',
      /and then .* stands before it/,
      history(
        ['a', 0, 9, set('x'), done(1)],
        ['b', 0, 9, set('y'), done(2)],
        ['c', 0, 9, set('z'), done(1), 'other'],
        ['d', 10, 11, LOCAL, read('z', 1), 'other'],
        ['d', 12, 13, LOCAL, read('x', 1)],
      ),
      log('x', 'y', ['other', 'z']),
    ],
    [
      'a read of a write that was called later',
      /was called later/,
      history(['b', 0, 1, LOCAL, read('x', 1)], ['a', 2, 3, set('x'), done(1)]),
      log('x'),
    ],
    ['a value that was never written', /never written/, history(['a', 0, 1, LOCAL, read('z', 1)]), log('x')],
    [
      'a hole in the versions of a key',
      /Version 3 of k follows 1/,
      [],
      [log('x')[0], { ...log('x', 'y')[1], version: 3 }] as LoggedUpdate[],
    ],
  ])('refuses %s', (_, verdict, operations, updates) => {
    expect(checkAgainstLog(operations, updates)).toMatch(verdict);
  });

  it('accepts any history of registers, and refuses it without one of its updates', () => {
    fc.assert(
      fc.property(atomicHistories(), fc.nat(), ({ operations, updates }, pick) => {
        expect(checkAgainstLog(operations, updates)).toBeUndefined();
        fc.pre(updates.length > 0);
        const missing = pick % updates.length;
        const rest = updates.filter((_each, index) => index !== missing);
        expect(checkAgainstLog(operations, rest)).toBeDefined();
      }),
      fcOptions(300),
    );
  });
});

/** Histories of sessions on one key whose operations take effect at an instant between call and return. */
function atomicHistories() {
  const operation = fc.record({
    session: fc.nat({ max: 3 }),
    kind: fc.constantFrom('set', 'condition', 'delete', 'get'),
    before: fc.nat({ max: 3 }),
    after: fc.nat({ max: 3 }),
  });
  return fc.array(operation, { maxLength: 24 }).map((plan) => {
    const operations: Operation[] = [];
    const updates: LoggedUpdate[] = [];
    const freeAt = [0, 0, 0, 0];
    let state: { version: number; value: string | undefined } = { version: 0, value: undefined };
    plan.forEach(({ session, kind, before, after }, index) => {
      // Instants of effect are 4 apart; a call may lie before the effects of others.
      const at = 100 + index * 4;
      const calledAt = Math.max(at - before * 4 - 1, freeAt[session] ?? 0);
      const returnedAt = at + after * 4 + 1;
      if (calledAt > at) return;
      freeAt[session] = returnedAt + 0.5;
      const value = `v${index}`;
      const entryVersion = state.value === undefined ? 0 : state.version;
      const base = { session: `s${session}`, key: 'k', calledAt, returnedAt };
      const change = (next: string | undefined) => {
        state = { version: state.version + 1, value: next };
        updates.push({ position: updates.length + 1, key: 'k', ...state });
        return done(state.version);
      };
      if (kind === 'get') {
        const version = state.value === undefined ? undefined : state.version;
        operations.push({ ...base, ask: BARRIER, answer: read(state.value, version) });
      } else if (kind === 'delete') {
        const isChanged = state.value !== undefined;
        const answer: Answer = isChanged ? change(undefined) : { type: 'done', version: state.version, isChanged };
        operations.push({ ...base, ask: { type: 'delete' }, answer });
      } else if (kind === 'condition' && index % 2 === 0) {
        operations.push({ ...base, ask: set(value, entryVersion + 1), answer: conflict(entryVersion) });
      } else {
        const ask = kind === 'condition' ? set(value, entryVersion) : set(value);
        operations.push({ ...base, ask, answer: change(value) });
      }
    });
    return { operations, updates };
  });
}

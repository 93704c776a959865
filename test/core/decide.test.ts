import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { apply } from '../../src/core/apply.ts';
import type { BatchOperation, Conditions, DataCommand, Duration } from '../../src/core/command.ts';
import { VersionConflictError } from '../../src/core/conflict.ts';
import { decide, expired } from '../../src/core/decide.ts';
import { ContextCacheError } from '../../src/core/errors.ts';
import { NamespaceState } from '../../src/core/namespace-state.ts';
import type { PendingUpdate, Update } from '../../src/core/update.ts';
import { createUpdate } from '../../src/core/update.ts';
import { fcOptions } from '../support/property.ts';
import { door } from '../support/request.ts';

interface ModelEntry {
  value: unknown;
  version: number;
  expiresAt: number | null;
}

/** The expected behaviour of a namespace, in its simplest form. */
class Model {
  /** Goes on over drops: with one namespace the floor is its last version. */
  version = 0;
  exists = false;
  log: string[] = [];
  entries = new Map<string, ModelEntry>();

  run(at: number, command: DataCommand): 'conflict' | 'no number' | 'ok' {
    this.expire(at);
    const before = { version: this.version, exists: this.exists, log: [...this.log], entries: new Map(this.entries) };
    if (command.type === 'context.increment') return this.increment(at, command);
    if (command.type === 'context.append') {
      const digits = String(this.version + 1);
      this.set(at, { ...command, key: `${command.prefix ?? ''}${'abc'[digits.length - 1]}${digits}` });
      return 'ok';
    }
    const operations: BatchOperation[] =
      command.type === 'context.batch'
        ? [...command.operations]
        : 'key' in command
          ? [{ ...command, operation: command.type.slice('context.'.length) } as unknown as BatchOperation]
          : [];
    if (command.type === 'context.clear') this.clear(command.prefix ?? '');
    if (command.type === 'context.drop' && this.exists) {
      this.empty();
      this.exists = false;
    }
    for (const operation of operations) {
      if (this.step(at, operation) === 'ok') continue;
      Object.assign(this, before);
      return 'conflict';
    }
    return 'ok';
  }

  expire(at: number): void {
    const due = [...this.entries].filter(([, { expiresAt }]) => expiresAt !== null && expiresAt <= at);
    due.sort(([x, a], [y, b]) => (a.expiresAt ?? 0) - (b.expiresAt ?? 0) || (x < y ? -1 : 1));
    for (const [key] of due) {
      this.note(`expire ${key}`);
      this.entries.delete(key);
    }
  }

  private step(at: number, operation: BatchOperation): 'conflict' | 'ok' {
    const { key, onConflict } = operation;
    const present = this.entries.get(key);
    if (!this.holds(operation)) return onConflict === 'skip' ? 'ok' : 'conflict';
    const expiresAt = 'ttl' in operation && operation.ttl !== undefined ? at + Number(operation.ttl) : null;
    if (operation.operation === 'set') {
      const isSame = present !== undefined && JSON.stringify(present.value) === JSON.stringify(operation.value);
      if (operation.ifDifferent !== true || !isSame) this.set(at, operation);
    } else if (present !== undefined) {
      this.note(`${operation.operation} ${key}`);
      if (operation.operation === 'delete') this.entries.delete(key);
      else this.entries.set(key, { ...present, version: this.version, expiresAt });
    }
    return 'ok';
  }

  private holds({ key, ifVersion, ifPresent, ...rest }: Conditions & { key: string }): boolean {
    const version = this.entries.get(key)?.version ?? 0;
    if (rest.ifAbsent === true && version !== 0) return false;
    return (ifPresent !== true || version > 0) && (ifVersion === undefined || ifVersion === version);
  }

  private set(at: number, { key, value, ttl }: { key: string; value: unknown; ttl?: Duration | undefined }): void {
    this.note(`set ${key}`);
    const expiresAt = ttl === undefined ? null : at + Number(ttl);
    this.entries.set(key, { value, version: this.version, expiresAt });
  }

  private increment(
    at: number,
    command: Extract<DataCommand, { type: 'context.increment' }>,
  ): 'conflict' | 'no number' | 'ok' {
    const { key, by = 1, ttl } = command;
    if (!this.holds(command)) return 'conflict';
    const { value = 0, expiresAt = null } = this.entries.get(key) ?? {};
    if (typeof value !== 'number') return 'no number';
    this.set(at, { key, value: value + by, ttl });
    if (ttl === undefined) Object.assign(this.entries.get(key) ?? {}, { expiresAt });
    return 'ok';
  }

  private clear(prefix: string): void {
    const keys = [...this.entries.keys()].filter((each) => each.startsWith(prefix)).sort();
    if (keys.length === 0) return;
    this.note(prefix === '' ? 'clear_namespace null' : `clear ${keys}`);
    for (const each of keys) this.entries.delete(each);
  }

  private empty(): void {
    this.note('clear_namespace null');
    this.entries.clear();
  }

  private note(what: string): void {
    this.version += 1;
    this.exists = true;
    this.log.push(`${this.version} ${what}`);
  }
}

const key = fc.constantFrom('a', 'b', '__proto__');
const ifVersion = fc.option(fc.integer({ min: 0, max: 6 }), { nil: undefined, freq: 3 });
const ttl = fc.option(fc.constantFrom(1, 3, 10), { nil: undefined });
const value = fc.constantFrom<unknown>(null, 1, 'x', { a: [1] });
const condition = fc.oneof(
  { weight: 3, arbitrary: ifVersion.map((version) => (version === undefined ? {} : { ifVersion: version })) },
  { weight: 1, arbitrary: fc.constantFrom({ ifPresent: true }, { ifPresent: false }) },
);
const absent = fc.constantFrom({ ifAbsent: true }, { ifAbsent: false, ifDifferent: true }, { ifDifferent: true });
const onSet = fc.oneof({ weight: 3, arbitrary: condition }, { weight: 1, arbitrary: absent });
const step = fc.oneof(
  fc
    .tuple(fc.record({ operation: fc.constant('set' as const), key, value, ttl }), onSet)
    .map(([set, given]) => ({ ...set, ...given })),
  fc
    .tuple(fc.record({ operation: fc.constant('delete' as const), key }), condition)
    .map(([remove, given]) => ({ ...remove, ...given })),
  fc
    .tuple(fc.record({ operation: fc.constant('touch' as const), key, ttl: fc.constantFrom(2, 5) }), condition)
    .map(([touch, given]) => ({ ...touch, ...given })),
);
/** In a batch a step that has a condition may be left out. */
const inBatch = fc.tuple(step, fc.constantFrom('fail', 'skip', undefined)).map(([each, onConflict]) => {
  const isConditional =
    'ifVersion' in each || ('ifPresent' in each && each.ifPresent) || ('ifAbsent' in each && each.ifAbsent);
  return isConditional ? { ...each, onConflict } : each;
}) as fc.Arbitrary<BatchOperation>;
const command: fc.Arbitrary<DataCommand> = fc.oneof(
  {
    weight: 4,
    arbitrary: step.map(({ operation, ...rest }) => ({ type: `context.${operation}`, ...rest }) as DataCommand),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('context.batch' as const),
      operations: fc.array(inBatch, { maxLength: 5 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.record({ type: fc.constant('context.increment' as const), key, by: fc.integer(), ttl }), condition)
      .map(([increment, given]) => ({ ...increment, ...given })),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('context.append' as const),
      value,
      prefix: fc.constantFrom('', 'a', 'message:'),
      ttl,
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constantFrom('context.clear' as const, 'context.drop' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('context.clear' as const), prefix: fc.constantFrom('', 'a', '__', 'no') }),
  },
);

function execute(
  state: NamespaceState,
  at: number,
  asked: DataCommand,
  positions: { next: number; floor?: number },
): { outcome: string; updates: Update[] } {
  const updates: Update[] = [];
  const take = (some: PendingUpdate[]) => {
    for (const update of some) {
      update.position = positions.next;
      positions.next += 1;
      apply(state, update);
      if (update.drop) positions.floor = Math.max(positions.floor ?? 0, update.version);
      updates.push(update);
    }
  };
  for (let update = expired(state, at); update !== undefined; update = expired(state, at)) take([update]);
  try {
    take(decide(state, door.request(at, asked), positions.floor ?? 0));
    return { outcome: 'ok', updates };
  } catch (error) {
    expect(error).toBeInstanceOf(ContextCacheError);
    if ((error as ContextCacheError).code === 'INVALID_VALUE') return { outcome: 'no number', updates };
    expect(error).toBeInstanceOf(VersionConflictError);
    return { outcome: 'conflict', updates };
  }
}

describe('decide and apply', () => {
  it('match the model: conditions, batches, clears, drops, expiry, versions', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 4 }), command), { maxLength: 30 }), (steps) => {
        const model = new Model();
        const state = new NamespaceState('n');
        const folded = new NamespaceState('n');
        const positions = { next: 1 };
        const log: string[] = [];
        let at = 0;
        for (const [wait, asked] of steps) {
          at += wait;
          const { outcome, updates } = execute(state, at, asked, positions);
          expect(outcome).toBe(model.run(at, asked));
          for (const update of updates) {
            log.push(`${update.version} ${update.operation} ${update.keys ?? update.key}`);
            apply(folded, update);
          }
          expect(state.version).toBe(model.exists ? model.version : 0);
          const held = new Map(
            [...state.entries].map(([name, entry]) => [
              name,
              { value: entry.value, version: entry.version, expiresAt: entry.expiresAt },
            ]),
          );
          expect(held).toEqual(model.entries);
        }
        expect(log).toEqual(model.log);
        expect(new Map(folded.entries)).toEqual(new Map(state.entries));
        expect(folded).toMatchObject({ version: state.version, position: state.position, bytes: state.bytes });
        expect(folded.nextExpiryAt()).toBe(state.nextExpiryAt());
        expect(state.bytes).toBe([...state.entries].reduce((sum, [, { bytes }]) => sum + bytes, 0));
      }),
      fcOptions(500),
    );
  });

  it('records the replaced version, and keeps the instant of creation', () => {
    const state = new NamespaceState('n');
    const positions = { next: 1 };
    execute(state, 10, { type: 'context.set', key: 'a', value: 1, agent: 'x' }, positions);
    const { updates } = execute(state, 20, { type: 'context.set', key: 'a', value: 2, agent: 'y', ttl: 5 }, positions);
    expect(updates).toEqual([
      {
        position: 2,
        namespace: 'n',
        version: 2,
        operation: 'set',
        key: 'a',
        value: 2,
        at: 20,
        agent: 'y',
        expiresAt: 25,
        replaced: 1,
        drop: false,
        bytes: 8,
      },
    ]);
    expect(state.entries.get('a')).toMatchObject({ createdAt: 10, updatedAt: 20, agent: 'y' });
    const touched = execute(state, 21, { type: 'context.touch', key: 'a', expiresAt: null }, positions);
    expect(touched.updates).toMatchObject([
      { operation: 'touch', value: null, expiresAt: null, replaced: 2, bytes: 0 },
    ]);
    expect(state.entries.get('a')).toMatchObject({
      value: 2,
      createdAt: 10,
      updatedAt: 21,
      version: 3,
      agent: null,
      expiresAt: null,
    });
  });

  it('carries the current entry in a conflict, frozen', () => {
    const state = new NamespaceState('n');
    execute(state, 1, { type: 'context.set', key: 'a', value: { b: 'a secret' } }, { next: 1 });
    const request = door.request(2, { type: 'context.set', key: 'a', value: 2, ifVersion: 0 });
    const thrown = (() => {
      try {
        decide(state, request, 0);
      } catch (error) {
        return error as VersionConflictError;
      }
      return undefined;
    })();
    expect(thrown).toMatchObject({
      code: 'VERSION_CONFLICT',
      namespace: 'n',
      key: 'a',
      expected: 0,
      current: { value: { b: 'a secret' }, version: 1 },
    });
    expect(Object.isFrozen(thrown?.current)).toBe(true);
    expect(thrown?.message).not.toContain('secret');
  });

  it('executes no step of a batch whose last condition fails', () => {
    const state = new NamespaceState('n');
    const operations: BatchOperation[] = [
      { operation: 'set', key: 'a', value: 1 },
      { operation: 'set', key: 'a', value: 2, ifVersion: 1 },
      { operation: 'delete', key: 'b', ifVersion: 3 },
    ];
    expect(() => decide(state, door.batch(1, 'n', operations, undefined), 0)).toThrow(VersionConflictError);
    expect(state).toMatchObject({ version: 0, position: 0, bytes: 0 });
    expect(state.entries.size).toBe(0);
  });

  it('shows earlier steps of a batch to later ones', () => {
    const state = new NamespaceState('n');
    const { updates } = execute(
      state,
      1,
      {
        type: 'context.batch',
        operations: [
          { operation: 'set', key: 'a', value: 1, ifVersion: 0 },
          { operation: 'set', key: 'a', value: 2, ifVersion: 1 },
          { operation: 'delete', key: 'a', ifVersion: 2 },
          { operation: 'delete', key: 'a' },
          { operation: 'touch', key: 'a', ttl: 5 },
          { operation: 'set', key: 'a', value: 3, ifVersion: 0 },
        ],
      },
      { next: 1 },
    );
    expect(updates.map(({ version, operation, replaced }) => [version, operation, replaced])).toEqual([
      [1, 'set', 0],
      [2, 'set', 1],
      [3, 'delete', 2],
      [4, 'set', 0],
    ]);
  });

  it('begins again above the last version after a drop', () => {
    const state = new NamespaceState('n');
    const positions = { next: 1 };
    for (const asked of [
      { type: 'context.set', key: 'a', value: 1 },
      { type: 'context.drop' },
      { type: 'context.drop' },
      { type: 'context.set', key: 'a', value: 2 },
    ] as DataCommand[])
      execute(state, 1, asked, positions);
    expect(state).toMatchObject({ version: 3, position: 3 });
  });

  it.each([0, 2, 3])('refuses an update of version %i if 1 is due, and changes nothing', (version) => {
    const state = new NamespaceState('n');
    const update = {
      ...createUpdate({ namespace: 'n', version, operation: 'set', key: 'a', value: 1, at: 0, bytes: 8 }),
      position: 9,
    };
    expect(() => apply(state, update)).toThrow(expect.objectContaining({ code: 'INVARIANT' }));
    expect(state).toMatchObject({ version: 0, position: 0 });
    expect(state.entries.size).toBe(0);
  });
});

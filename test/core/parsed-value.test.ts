import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Admission } from '../../src/core/admission.ts';
import type { DataCommand } from '../../src/core/command.ts';
import { InvalidValueError } from '../../src/core/errors.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import { ParsedValueDoor } from '../../src/core/parsed-value.ts';
import { createValueCheck, type NamespaceSchemas } from '../../src/core/schemas.ts';
import { DEFAULT_VALUE_LIMITS, ValueDoor } from '../../src/core/value.ts';
import { fcOptions } from '../support/property.ts';

interface Door {
  admit(value: unknown): unknown;
  readonly bytes: number;
}

/** Returns the admitted value and its size, or the message of the refusal. */
function outcome(door: Door, text: string): { text?: string; bytes?: number; value?: unknown; refusal?: string } {
  try {
    const value = door.admit(JSON.parse(text));
    return { text: JSON.stringify(value), bytes: door.bytes, value };
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidValueError);
    return { refusal: (error as Error).message };
  }
}

function isDeepFrozen(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return Object.isFrozen(value) && Object.values(value).every(isDeepFrozen);
}

/** JSON texts, among them those that need a check: numbers beyond all numbers, -0, half an emoji, awkward names. */
const texts: fc.Arbitrary<string> = fc.letrec<{ text: string }>((tie) => {
  const name = fc.constantFrom(
    '"a"',
    '"b c"',
    '"__proto__"',
    '"constructor"',
    '"1"',
    '""',
    '"\\ud83d"',
    '"\\ud83d\\ude00"',
  );
  const leaf = fc.constantFrom('0', '-0', '-0.0', '1', '1e999', '-1e999', 'true', 'null', '"x"', '"\\ude00"', '"é😀"');
  return {
    text: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      { weight: 3, arbitrary: leaf },
      { weight: 1, arbitrary: fc.array(tie('text'), { maxLength: 4 }).map((some) => `[${some.join(',')}]`) },
      {
        weight: 2,
        arbitrary: fc
          .array(fc.tuple(name, tie('text')), { maxLength: 4 })
          .map((some) => `{${some.map(([each, value]) => `${each}:${value}`).join(',')}}`),
      },
    ),
  };
}).text;

describe('a value that was parsed from text', () => {
  it('is admitted, measured and refused like a value of a caller', () => {
    const limits = fc.record({ maxDepth: fc.integer({ min: 1, max: 4 }), maxBytes: fc.integer({ min: 1, max: 60 }) });
    const given = fc.oneof(fc.constant(DEFAULT_VALUE_LIMITS), limits);
    const property = fc.property(fc.array(texts, { minLength: 1, maxLength: 4 }), given, (some, limits) => {
      const [copying, own] = [new ValueDoor(limits), new ParsedValueDoor(limits)];
      for (const text of some) {
        const found = outcome(own, text);
        expect(found).toEqual(outcome(copying, text));
        expect(isDeepFrozen(found.value)).toBe(true);
      }
    });
    fc.assert(property, fcOptions(1_000));
  });

  it('is refused if it is nested deeper than the stack, like a value of a caller', () => {
    const limits = { maxDepth: 1_000_000, maxBytes: 16 * 1024 * 1024 };
    let nested: unknown = 1;
    for (let depth = 0; depth < 200_000; depth += 1) nested = [nested];
    for (const door of [new ValueDoor(limits), new ParsedValueDoor(limits)]) {
      expect(() => door.admit(nested)).toThrow(InvalidValueError);
    }
  });

  it('is the parsed value itself', () => {
    const parsed = JSON.parse('{"a":[{"b":-0}],"c":null}');
    const value = new ParsedValueDoor().admit(parsed);
    expect(value).toBe(parsed);
    expect(value).toEqual({ a: [{ b: 0 }], c: null });
  });

  it('has no name that a program has added to every object', () => {
    const added = { value: 0, enumerable: true, configurable: true, writable: true };
    let names: string[];
    Object.defineProperty(Object.prototype, 'added', added);
    try {
      names = Object.keys(new ParsedValueDoor().admit(JSON.parse('{"a":[1]}')) as object);
    } finally {
      Reflect.deleteProperty(Object.prototype, 'added');
    }
    expect(names).toEqual(['a']);
  });
});

describe('a command that was parsed from text', () => {
  const commands: readonly DataCommand[] = [
    { type: 'context.set', key: 'k', value: { a: [1, 'x'] } },
    { type: 'context.set', namespace: 'n', key: 'k', value: null, ttl: '5m', ifVersion: 3, agent: 'planner' },
    { type: 'context.set', namespace: 'n', key: 'k', value: 1, expiresAt: 5_000 },
    { type: 'context.delete', namespace: 'n', key: 'k', ifVersion: 1 },
    { type: 'context.touch', key: 'k', ttl: 1_000 },
    { type: 'context.clear', namespace: 'n', agent: 'planner' },
    { type: 'context.drop', namespace: 'n' },
    { type: 'context.batch', operations: [{ operation: 'set', key: 'k', value: { a: 1 } }] },
  ];
  const refused: readonly unknown[] = [
    { type: 'context.set', namespace: '', key: 'k', value: 1 },
    { type: 'context.set', key: '\ud83d', value: 1 },
    { type: 'context.set', key: 'k'.repeat(8_193), value: 1 },
    { type: 'context.set', key: 'k', value: 1, agent: '' },
    { type: 'context.set', key: 'k', value: 1, ttl: 1, expiresAt: 1 },
    { type: 'context.set', key: 'k', value: 1, ifVersion: -1 },
    { type: 'context.set', key: 'k', value: { a: '\ud83d' } },
  ];
  const admission = (schemas?: NamespaceSchemas) => new Admission(DEFAULT_LIMITS, createValueCheck(schemas));

  it.each(commands)('becomes the same request as any command: $type', (command) => {
    const parsed = JSON.parse(JSON.stringify(command)) as DataCommand;
    expect(admission().ofParsed(1_000, parsed)).toEqual(admission().request(1_000, command));
  });

  it.each(refused)('is refused as any command is: %j', (command) => {
    const message = (run: () => unknown): string => {
      try {
        run();
      } catch (error) {
        return String(error);
      }
      throw new Error('It was accepted.');
    };
    const parsed = structuredClone(command) as DataCommand;
    expect(message(() => admission().ofParsed(1_000, parsed))).toBe(
      message(() => admission().request(1_000, command as DataCommand)),
    );
  });

  it('stores a copy if there are schemas, which may keep what they validate', () => {
    const kept: unknown[] = [];
    const schema = {
      '~standard': {
        version: 1 as const,
        vendor: 'test',
        validate: (value: unknown) => {
          kept.push(value);
          return { value };
        },
      },
    };
    const command = { type: 'context.set' as const, key: 'k', value: { a: 1 } };
    const { value } = admission({ default: schema }).ofParsed(0, command);
    expect(value).toEqual({ a: 1 });
    expect(kept).toEqual([{ a: 1 }]);
    expect(kept[0]).not.toBe(value);
    expect(Object.isFrozen(kept[0])).toBe(false);
  });
});

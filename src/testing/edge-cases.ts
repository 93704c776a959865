import assert from 'node:assert/strict';
import { DEFAULT_LIMITS } from '../core/limits.ts';
import { MAX_NAMESPACE_BYTES } from '../core/names.ts';
import type { JsonValue } from '../core/value.ts';

/** Valid namespaces and keys that careless code mishandles. */
export const AWKWARD_NAMES: readonly string[] = [
  'plain',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'a:b',
  'a',
  ':',
  '::',
  ':keys:a',
  ':namespaces',
  '%',
  '%3A',
  '%25',
  '*',
  '>',
  '?',
  '[a-z]',
  '{tag}',
  '.',
  '..',
  '../../etc/passwd',
  'a/b',
  'a\\b',
  '"quoted"',
  "it's",
  ' ',
  ' leading and trailing ',
  'two\nlines\r\n',
  'tab\tand nul\0',
  '0',
  '1',
  '-1',
  'null',
  'undefined',
  'true',
  'ä',
  'a\u0308',
  '\u202Eright to left',
  '\uFEFFmark',
  '日本語',
  '🦊',
  '👩‍👩‍👧',
  'x'.repeat(MAX_NAMESPACE_BYTES),
  `${'€'.repeat((MAX_NAMESPACE_BYTES - 1) / 3)}.`,
];

/** Those, and keys that cannot be namespaces. */
export const AWKWARD_KEYS: readonly string[] = [
  '',
  ...AWKWARD_NAMES,
  'k'.repeat(DEFAULT_LIMITS.maxKeyBytes),
  '🦊'.repeat(DEFAULT_LIMITS.maxKeyBytes / 4),
];

/** JSON values that a careless codec changes. */
export const AWKWARD_VALUES: readonly JsonValue[] = [
  null,
  true,
  false,
  0,
  -1,
  0.1,
  1e-7,
  5e-324,
  1.7976931348623157e308,
  2 ** 31,
  2 ** 32,
  2 ** 53 - 1,
  -(2 ** 53) + 1,
  2 ** 64,
  '',
  ' ',
  '0',
  'null',
  'two\nlines',
  'nul\0inside',
  '\u2028\u2029',
  '🦊',
  'x'.repeat(70_000),
  [],
  {},
  [[]],
  [null, [null]],
  { '': '' },
  JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":1},"toString":null}'),
  { nested: JSON.parse('{"__proto__":1}') },
  { 'a.b': 1, 'a:b': 2, '🦊': 3, '1': 4, '-1': 5 },
  Array.from({ length: 1000 }, (_, index) => index),
  Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`property ${index}`, index])),
  nestedArrays(200),
];

/** Returns whether two values are equal to the last property, including own `__proto__` and order. */
export function sameValue(actual: unknown, expected: unknown): void {
  assert.equal(JSON.stringify(actual), JSON.stringify(expected));
}

function nestedArrays(depth: number): JsonValue {
  return depth === 0 ? 'the bottom' : [nestedArrays(depth - 1)];
}

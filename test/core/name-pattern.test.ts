import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { escapePattern, MAX_PATTERN_SEGMENTS, NamePattern } from '../../src/core/name-pattern.ts';
import { fcOptions } from '../support/property.ts';

/** A naive matcher: tries every way in which a pattern can take a name. */
function naive(pattern: readonly string[], name: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return name.length === 0;
  if (first === '**')
    return Array.from({ length: name.length + 1 }, (_, taken) => taken).some((n) => naive(rest, name.slice(n)));
  const [segment, ...others] = name;
  return segment !== undefined && naiveSegment([...tokens(first)], [...segment]) && naive(rest, others);
}

function* tokens(segment: string): Generator<string> {
  for (let i = 0; i < segment.length; i += 1) {
    if (segment[i] === '*') yield 'any';
    else if (segment[i] === '\\') yield `=${segment[++i]}`;
    else yield `=${segment[i]}`;
  }
}

function naiveSegment(pattern: readonly string[], name: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return name.length === 0;
  if (first === 'any') return naiveSegment(rest, name) || (name.length > 0 && naiveSegment(pattern, name.slice(1)));
  return name.length > 0 && first === `=${name[0]}` && naiveSegment(rest, name.slice(1));
}

const letter = fc.constantFrom('a', 'b', ':', '.', 'é', 'e', '\u0301', ' ');
const patternSegment = fc.oneof(
  { weight: 1, arbitrary: fc.constant('**') },
  {
    weight: 4,
    arbitrary: fc
      .array(fc.oneof(letter, fc.constantFrom('*', '\\*', '\\\\')), { maxLength: 5 })
      .map((parts) => parts.join(''))
      .filter((text) => !text.replaceAll(/\\./g, 'x').includes('**')),
  },
);
const patternText = fc
  .array(patternSegment, { minLength: 1, maxLength: 5 })
  .map((segments) => segments.join('/'))
  .filter((text) => text !== '');
const nameText = fc
  .array(
    fc.array(fc.oneof(letter, fc.constantFrom('*', '\\')), { maxLength: 4 }).map((parts) => parts.join('')),
    {
      minLength: 1,
      maxLength: 5,
    },
  )
  .map((segments) => segments.join('/'));

describe('a pattern', () => {
  test('matches what a naive matcher matches, and nothing else', () => {
    fc.assert(
      fc.property(patternText, nameText, (text, name) => {
        expect(new NamePattern(text).matches(name)).toBe(naive(text.split('/'), name.split('/')));
      }),
      fcOptions(1_000),
    );
  });

  test('matches a prefix or a continued name only if it matches every name that begins so', () => {
    fc.assert(
      fc.property(patternText, nameText, nameText, fc.integer({ min: 1, max: 1e9 }), (text, prefix, rest, count) => {
        const pattern = new NamePattern(text);
        if (pattern.matchesPrefix(prefix)) expect(pattern.matches(prefix + rest)).toBe(true);
        const digits = String(count);
        const continued = `${prefix}${String.fromCharCode(96 + digits.length)}${digits}`;
        if (pattern.matchesContinued(prefix)) expect(pattern.matches(continued)).toBe(true);
      }),
      fcOptions(1_000),
    );
  });

  test('that is an escaped name matches that name alone', () => {
    fc.assert(
      fc.property(fc.oneof(nameText, fc.string({ unit: 'binary', minLength: 1 })), nameText, (name, other) => {
        fc.pre(name !== '' && name.isWellFormed() && name.split('/').length <= MAX_PATTERN_SEGMENTS);
        const pattern = new NamePattern(escapePattern(name));
        expect(pattern.literal).toBe(name);
        expect(pattern.matches(name)).toBe(true);
        expect(pattern.matches(other)).toBe(other === name);
      }),
      fcOptions(1_000),
    );
  });

  test.each([
    ['trip/**', ['trip', 'trip/', 'trip/plan', 'trip//', 'trip/a/b/'], ['trips', 'tri', 'a/trip', '', 'Trip']],
    ['trip/*', ['trip/', 'trip/plan'], ['trip', 'trip/a/b', 'trip/a/']],
    ['trip:*', ['trip:', 'trip:7'], ['trip:7/x', 'trip', 'xtrip:7']],
    ['**', ['', 'a', 'a/b', '**'], []],
    ['**/secret', ['secret', 'a/secret', 'a/b/secret'], ['a/secret/', 'asecret', 'secret/a']],
    ['a/**/b', ['a/b', 'a/x/b', 'a/x/y/b'], ['ab', 'a/', 'a/xb']],
    ['\\*', ['*'], ['a', '\\*', '']],
    ['a\\\\b', ['a\\b'], ['ab', 'a\\\\b']],
    ['a*b*c', ['abc', 'axbxc', 'abbc'], ['ab', 'a/b/c', 'bc']],
  ])('%s matches what its documentation says', (text, matching, others) => {
    const pattern = new NamePattern(text);
    expect(matching.filter((name) => !pattern.matches(name))).toEqual([]);
    expect(others.filter((name) => pattern.matches(name))).toEqual([]);
  });

  test.each([
    ['', 'is not well-formed'],
    ['a**', 'has "**" beside other characters'],
    ['**a/b', 'has "**" beside other characters'],
    ['***', 'has "**" beside other characters'],
    ['a\\b', 'has a "\\" that is not before'],
    ['a\\', 'has a "\\" that is not before'],
    ['\ud800', 'is not well-formed'],
    ['a'.repeat(1_025), 'has 1025'],
    ['a/'.repeat(64), 'has 65 segments'],
    [7, 'is a number'],
    [null, 'is null'],
    [['a'], 'is an array'],
  ])('%j is refused', (text, problem) => {
    expect(() => new NamePattern(text as string)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    expect(() => new NamePattern(text as string)).toThrow(problem);
  });

  test('takes time in proportion to the name, whatever the name is', () => {
    const pattern = new NamePattern(`**/${'*a*'.repeat(1)}/**/${'*a*b*a*'}/**/x`);
    const begin = process.cpuUsage();
    pattern.matches('a/'.repeat(32_000));
    pattern.matches('ab'.repeat(32_000));
    const { user } = process.cpuUsage(begin);
    expect(user).toBeLessThan(2_000_000);
  });
});

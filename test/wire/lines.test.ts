import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Line, LineSplitter } from '../../src/wire/lines.ts';
import { fcOptions } from '../support/property.ts';

/** Splits bytes that arrive in pieces of these sizes. */
function split(bytes: Uint8Array, sizes: readonly number[], splitter = new LineSplitter()): Line[] {
  const lines: Line[] = [];
  let start = 0;
  for (const size of [...sizes, bytes.length]) {
    const piece = Uint8Array.from(bytes.subarray(start, start + size));
    lines.push(...splitter.push(piece));
    // A stream may reuse its buffer.
    piece.fill(0x78);
    start += size;
  }
  return [...lines, ...splitter.end()];
}

const line = fc.string({ unit: fc.constantFrom('a', '\r', 'é', '😀', ' ') });

it('splits a text into the same lines, however its bytes arrive', () => {
  const property = fc.property(fc.array(line), fc.array(fc.nat({ max: 9 })), fc.boolean(), (lines, sizes, ended) => {
    const text = lines.join('\n') + (ended ? '\n' : '');
    const expected = text.split('\n');
    if (expected.at(-1) === '') expected.pop();
    const found = split(Buffer.from(text), sizes);
    expect(found.map(({ text }) => text)).toEqual(expected);
    expect(found.map(({ number }) => number)).toEqual(expected.map((_, index) => index + 1));
  });
  fc.assert(property, fcOptions(300));
});

it('splits a chunk of many parts into the same lines, with long, short and blank lines at their borders', () => {
  const part = 64 * 1024;
  const length = fc.oneof(fc.constantFrom(0, 1, part - 1, part, part + 1, 2 * part + 1), fc.nat({ max: 300 }));
  const property = fc.property(fc.array(length, { minLength: 1, maxLength: 40 }), fc.boolean(), (lengths, ended) => {
    const lines = lengths.map((length, index) => String.fromCharCode(0x61 + (index % 26)).repeat(length));
    const found = split(Buffer.from(lines.join('\n') + (ended ? '\n' : '')), [Number.POSITIVE_INFINITY]);
    const expected = lines.at(-1) === '' && !ended ? lines.slice(0, -1) : lines;
    expect(found.map(({ text }) => text)).toEqual(expected);
    expect(found.map(({ number }) => number)).toEqual(expected.map((_, index) => index + 1));
  });
  fc.assert(property, fcOptions(200));
});

it('reports the lines of a part that are not UTF-8 and keeps the parts around it', () => {
  const good = 'x'.repeat(40 * 1024);
  const bytes = Buffer.concat([
    Buffer.from(`${good}\n${good}\n`),
    Uint8Array.of(0xff, 0x0a),
    Buffer.from(`${good}\n${good}`),
  ]);
  expect(split(bytes, [bytes.length]).map(({ text, problem }) => problem ?? text?.length)).toEqual([
    good.length,
    good.length,
    'not UTF-8',
    good.length,
    good.length,
  ]);
});

it('reports a line that is not UTF-8 and keeps the others', () => {
  const bytes = Buffer.concat([Buffer.from('a\n'), Uint8Array.of(0xff, 0x0a), Buffer.from('b\n'), Uint8Array.of(0xc3)]);
  for (const sizes of [[], [1], [3], [2, 1, 1, 1]]) {
    expect(split(bytes, sizes)).toEqual([
      { number: 1, text: 'a' },
      { number: 2, text: undefined, problem: 'not UTF-8' },
      { number: 3, text: 'b' },
      { number: 4, text: undefined, problem: 'not UTF-8' },
    ]);
  }
});

it('reports a line that is too long and does not keep it', () => {
  const found = split(Buffer.from(`${'x'.repeat(100)}\nb\n`), Array(20).fill(5), new LineSplitter(50));
  expect(found).toMatchObject([
    { number: 1, text: undefined, problem: 'too long' },
    { number: 2, text: 'b' },
  ]);
});

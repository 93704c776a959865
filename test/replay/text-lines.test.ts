import fc from 'fast-check';
import { expect, it } from 'vitest';
import { LineCutter, type TextLine } from '../../src/replay/text-lines.ts';
import { fcOptions } from '../support/property.ts';

/** The lines of bytes that come in pieces of these sizes. */
function cut(bytes: Uint8Array, sizes: readonly number[], cutter = new LineCutter()): TextLine[] {
  const lines: TextLine[] = [];
  let start = 0;
  for (const size of [...sizes, bytes.length]) {
    const piece = Uint8Array.from(bytes.subarray(start, start + size));
    lines.push(...cutter.push(piece));
    // A stream may use its buffer again.
    piece.fill(0x78);
    start += size;
  }
  return [...lines, ...cutter.end()];
}

const line = fc.string({ unit: fc.constantFrom('a', '\r', 'é', '😀', ' ') });

it('however a text is cut into pieces, its lines are the same', () => {
  const property = fc.property(fc.array(line), fc.array(fc.nat({ max: 9 })), fc.boolean(), (lines, sizes, ended) => {
    const text = lines.join('\n') + (ended ? '\n' : '');
    const expected = text.split('\n');
    if (expected.at(-1) === '') expected.pop();
    const found = cut(Buffer.from(text), sizes);
    expect(found.map(({ text }) => text)).toEqual(expected);
    expect(found.map(({ number }) => number)).toEqual(expected.map((_, index) => index + 1));
  });
  fc.assert(property, fcOptions(300));
});

it('a line that is not UTF-8 spoils no other', () => {
  const bytes = Buffer.concat([Buffer.from('a\n'), Uint8Array.of(0xff, 0x0a), Buffer.from('b\n'), Uint8Array.of(0xc3)]);
  for (const sizes of [[], [1], [3], [2, 1, 1, 1]]) {
    expect(cut(bytes, sizes)).toEqual([
      { number: 1, text: 'a' },
      { number: 2, text: undefined, problem: 'It is not UTF-8.' },
      { number: 3, text: 'b' },
      { number: 4, text: undefined, problem: 'It is not UTF-8.' },
    ]);
  }
});

it('a line that is too long is not kept', () => {
  const found = cut(Buffer.from(`${'x'.repeat(100)}\nb\n`), Array(20).fill(5), new LineCutter(50));
  expect(found).toMatchObject([
    { number: 1, text: undefined, problem: expect.stringContaining('longer') },
    { number: 2, text: 'b' },
  ]);
});

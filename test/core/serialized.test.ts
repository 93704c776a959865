import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AgentContextCache, packSerialized, unpackSerialized } from '../../src/index.ts';
import { fcOptions } from '../support/property.ts';

describe('packSerialized', () => {
  test.each([
    ['{"name":"Ada"}', { name: 'Ada' }],
    ['[1,null,true]', [1, null, true]],
    ['0', 0],
    ['null', null],
    ['Ada', 'Ada'],
    ['"Ada"', '"Ada"'],
    ['', ''],
    ['{"n":9223372036854775807}', '{"n":9223372036854775807}'],
    ['{ "n": 1 }', '{ "n": 1 }'],
    ['{"b":1,"1":2}', '{"b":1,"1":2}'],
    ['-0', '-0'],
    ['nothing', 'nothing'],
    ['{"$raw":1}', '{"$raw":1}'],
    ['{"$bytes":"AA=="}', { $entries: [['$bytes', 'AA==']] }],
    ['{"text":"\\ud83d"}', { text: { $text: '"\\ud83d"' } }],
    ['half \ud83d', { $text: '"half \\ud83d"' }],
    [new Uint8Array([0, 1, 2]), { $bytes: 'AAEC' }],
    [{ name: 'Ada' }, { $raw: { name: 'Ada' } }],
    [7, { $raw: 7 }],
    [{ $raw: 7 }, { $raw: { $raw: 7 } }],
  ])('stores %j as %j', (given, stored) => {
    expect(packSerialized(given)).toEqual(stored);
    expect(unpackSerialized(packSerialized(given))).toEqual(given);
  });

  test('returns every text and every value again, also through a cache', async () => {
    await using cache = new AgentContextCache({ natsUrl: null });
    const names = fc.constantFrom('$raw', '$bytes', '$text', '$entries', '__proto__', 'a', '1', '\ud83d');
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        fc.constantFrom(null, true, 0, 1.5, 'a', '\ud83d', 'AA==', '"a"'),
        fc.array(tie('tree'), { maxLength: 2 }),
        fc.dictionary(names, tie('tree'), { maxKeys: 2 }),
      ),
    }));
    const texts = fc.oneof(
      tree.map((value) => JSON.stringify(value)),
      fc.json(),
      fc.string({ unit: 'binary' }),
    );
    await fc.assert(
      fc.asyncProperty(fc.oneof(texts, tree, fc.uint8Array()), async (given) => {
        await cache.set('key', packSerialized(given));
        expect(unpackSerialized(cache.get('key') ?? null)).toEqual(given);
      }),
      fcOptions(500),
    );
  });
});

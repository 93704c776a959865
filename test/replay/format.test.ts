import { describe, expect, it } from 'vitest';
import { checkFormat, type RawRecord } from '../../src/replay/record.ts';
import { logOf } from '../support/cache.ts';
import { exported, linesOf, replayed, smallCache } from '../support/replay.ts';

describe('the format of a record', () => {
  it.each([0, 2, -1, 0.5, '1', null, Number.NaN])('is refused if it is %s', (format) => {
    expect(() => checkFormat(format)).toThrow(
      expect.objectContaining({
        code: 'FORMAT_UNSUPPORTED',
        message: expect.stringMatching(/reads format 1.*Update the package/),
      }),
    );
  });

  it('may be given by each record, by the first line, or by neither', async () => {
    const { cache, updates } = await smallCache();
    const records = linesOf(await exported(cache)).map((line) => JSON.parse(line) as RawRecord);
    const each = records.map((record) => ({ ...record, format: 1 }));
    const headed = [{ format: 1, log: 'log-1' }, ...records];
    const neither = records.map(({ format, ...record }) => record);
    for (const source of [each, headed, neither]) {
      const lines = source.map((record) => JSON.stringify(record));
      for (const form of [source, lines, [lines.join('\n')]]) {
        expect(await logOf((await replayed(form)).cache)).toEqual(updates);
      }
    }
  });
});

import { describe, expect, it } from 'vitest';
import { type RawRecord, RECORD_FORMATS, RecordFormats, type Upcast } from '../../src/replay/upcast.ts';
import { logOf } from '../support/cache.ts';
import { exported, linesOf, replayed, smallCache } from '../support/replay.ts';

/** Formats that there never were: 0 wrote `ns`, -1 wrote seconds. */
const formats = new RecordFormats(
  1,
  new Map<number, Upcast>([
    [0, ({ ns, format, ...record }: RawRecord) => ({ ...record, namespace: ns })],
    [-1, ({ seconds, ...record }: RawRecord) => ({ ...record, at: Number(seconds) * 1_000 })],
  ]),
);

function asFormat0({ namespace, ...record }: RawRecord): RawRecord {
  return { ...record, ns: namespace };
}

function asFormatMinus1({ at, ...record }: RawRecord): RawRecord {
  return { ...asFormat0(record), seconds: Number(at) / 1_000 };
}

describe('records of an older format', () => {
  it('go through every step from their version on', () => {
    const record = { ns: 'n', seconds: 2, key: 'k' };
    expect(formats.upcast(record, -1)).toEqual({ namespace: 'n', at: 2_000, key: 'k' });
    expect(formats.upcast({ ns: 'n', at: 5 }, 0)).toEqual({ namespace: 'n', at: 5 });
    expect(record).toEqual({ ns: 'n', seconds: 2, key: 'k' });
  });

  it('are not touched where they are current', () => {
    const record = { namespace: 'n' };
    expect(formats.upcast(record, 1)).toBe(record);
    expect(RECORD_FORMATS.upcast(record, 1)).toBe(record);
  });

  it.each([2, -2, 0.5, '0', null, Number.NaN, Number.POSITIVE_INFINITY])('of format %s are refused', (format) => {
    expect(() => formats.upcast({}, format)).toThrow(expect.objectContaining({ code: 'FORMAT_UNSUPPORTED' }));
  });

  it('are replayed, whether each says its format or the first line does, and mixed with newer ones', async () => {
    const { cache, updates } = await smallCache();
    const records = linesOf(await exported(cache)).map((line) => JSON.parse(line) as RawRecord);
    const each = records.map((record, index) => {
      if (index % 3 === 0) return record;
      return index % 3 === 1 ? { ...asFormat0(record), format: 0 } : { ...asFormatMinus1(record), format: -1 };
    });
    const headed = [{ format: -1, log: 'log-1' }, ...records.map(asFormatMinus1)];
    const current = [{ format: 1, log: 'log-1' }, ...records];
    for (const source of [each, headed, current]) {
      const lines = source.map((record) => JSON.stringify(record));
      for (const form of [source, lines, [lines.join('\n')]]) {
        expect(await logOf((await replayed(form, { formats })).cache)).toEqual(updates);
      }
    }
  });
});

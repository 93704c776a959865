import { describe, expect, it } from 'vitest';
import { admitBasis, type Reading } from '../../src/core/basis.ts';
import { joinedBasis } from '../../src/core/read-set.ts';

const entries = (namespace: string, count: number, prefix = 'key-'): Reading[] =>
  Array.from({ length: count }, (_, index) => ({ namespace, key: `${prefix}${index}`, version: index + 1 }));

describe('joined readings', () => {
  it('are those that were given, if they are a valid basis', () => {
    const all = [...entries('n', 200), { position: 3 }, { namespace: 'm', prefix: 'k', from: 1, to: 2 }];
    expect(joinedBasis(all, { position: 9 })).toEqual(all);
  });

  it('become a range of the namespace with the most of them, if there are too many', () => {
    const range = { namespace: 'n', prefix: 'kettle', from: 0, to: 900 };
    const all = [...entries('m', 100), ...entries('n', 200), range, { position: 3 }];
    const joined = joinedBasis(all, { position: 9 });
    expect(joined).toEqual([...entries('m', 100), { position: 3 }, { namespace: 'n', prefix: 'ke', from: 0, to: 900 }]);
    expect(admitBasis(joined)).toEqual(joined);
  });

  it('become everything, if ranges do not suffice', () => {
    const all = Array.from({ length: 300 }, (_, index) => entries(`n-${index}`, 1)).flat();
    expect(joinedBasis(all, { position: 9 })).toEqual([{ position: 9 }]);
    const long = entries('n', 1, 'x'.repeat(70_000));
    expect(joinedBasis(long, { position: 9 })).toEqual([{ position: 9 }]);
  });
});

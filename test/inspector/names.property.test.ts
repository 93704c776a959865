import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareNames } from '../../src/core/names.ts';
import { sortInSlices, TimeSlice } from '../../src/core/time-slice.ts';
import { systemClock } from '../../src/index.ts';
import { compareNaturally } from '../../src/inspector/reads/natural-order.ts';
import { SortedNames } from '../../src/inspector/reads/sorted-names.ts';
import { glob } from '../../src/inspector/reads/update-pages.ts';
import { fcOptions } from '../support/property.ts';

const piece = fc.constantFrom('a', 'b', ':', '/', 'trip', '\u{1f600}', '\u{ff5e}', 'z', '::', '1', '2', '10', '01');
const names = fc.uniqueArray(
  fc.array(piece, { minLength: 1, maxLength: 6 }).map((pieces) => pieces.join('')),
  {
    maxLength: 60,
  },
);

/** The expected page, found by testing every name. */
function modelled(all: readonly string[], prefix: string, separators: readonly string[]) {
  const below = all.filter((name) => name.startsWith(prefix));
  const groups = new Map<string, string[]>();
  for (const name of below) {
    const cuts = separators.map((separator) => ({ at: name.indexOf(separator, prefix.length), separator }));
    const first = cuts.filter(({ at }) => at >= 0).sort((a, b) => a.at - b.at)[0];
    const group = first === undefined ? undefined : name.slice(0, first.at + first.separator.length);
    const sharing = group === undefined ? [name] : below.filter((other) => other.startsWith(group));
    const id = sharing.length > 1 ? `group ${group}` : `item ${name}`;
    groups.set(id, [...(groups.get(id) ?? []), name]);
  }
  return [...groups].map(([id, members]) => `${id} ${members.length}`).sort();
}

function pages(sorted: SortedNames, prefix: string, separators: readonly string[], limit: number): string[] {
  const found: string[] = [];
  for (let after: string | null | undefined; after !== null; ) {
    const page = sorted.tree({ prefix, separators, after: after ?? undefined, limit });
    expect(page.nodes.length).toBeLessThanOrEqual(limit);
    for (const node of page.nodes) {
      found.push(node.kind === 'group' ? `group ${node.prefix} ${node.count}` : `item ${node.name} 1`);
      expect(node.kind === 'group' ? node.prefix : node.name).toBe(prefix + node.label);
    }
    after = page.next;
  }
  return found;
}

test('the pages of a tree hold every group and name once', () => {
  fc.assert(
    fc.property(
      names,
      fc.constantFrom('', 'a', ':', 'trip', 'trip:', '1', 'trip1'),
      fc.integer({ min: 1, max: 7 }),
      (all, prefix, limit) => {
        const sorted = new SortedNames([...all].sort(compareNaturally));
        for (const separators of [[':'], [':', '/'], [], ['1'], ['/', '01']]) {
          expect(pages(sorted, prefix, separators, limit).sort()).toEqual(modelled(all, prefix, separators));
        }
      },
    ),
    fcOptions(200),
  );
});

/** Splits a name as the comparison reads it: each number is one part. */
const parts = (name: string): string[] => name.match(/\d+|[^\d]/gu) ?? [];

function compareParts(a: string, b: string): number {
  const [x, y] = [parts(a), parts(b)];
  for (const [at, one] of x.entries()) {
    const other = y[at];
    if (other === undefined) return 1;
    if (one === other) continue;
    const areNumbers = /^\d/.test(one) && /^\d/.test(other);
    if (!areNumbers) return compareNames(one, other);
    return Number(one) - Number(other) || one.length - other.length;
  }
  return x.length - y.length;
}

describe('the natural order', () => {
  test('reads digits as one number', () => {
    const sorted = ['task-0', 'task-1/a', 'task-01', 'task-2', 'task-10', 'task-10/b', 'task-a', 'task2', 'tasks'];
    expect(['task-01', ...sorted.filter((name) => name !== 'task-01')].sort(compareNaturally)).toEqual(sorted);
  });

  test('equals the order of the lists of parts, for any two names', () => {
    fc.assert(
      fc.property(names, (all) => {
        for (const a of all) {
          for (const b of all) {
            expect(Math.sign(compareNaturally(a, b)), `${a} ${b}`).toBe(Math.sign(compareParts(a, b)));
          }
        }
      }),
      fcOptions(100),
    );
  });
});

test('a search finds every name once, in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      names,
      fc.constantFrom('a', 'TRIP', ':'),
      fc.integer({ min: 1, max: 7 }),
      async (all, q, limit) => {
        const sorted = new SortedNames([...all].sort(compareNaturally));
        const found: string[] = [];
        for (let after: string | null | undefined; after !== null; ) {
          const slice = new TimeSlice(systemClock);
          const page = await sorted.search({ prefix: '', after: after ?? undefined, limit }, q, slice);
          for (const node of page.nodes) if (node.kind === 'item') found.push(node.name);
          after = page.next;
        }
        expect(found).toEqual(sorted.names.filter((name) => name.toLowerCase().includes(q.toLowerCase())));
      },
    ),
    fcOptions(50),
  );
});

describe('sorting in slices', () => {
  test('gives the result of sort, and yields in between', async () => {
    const many = Array.from({ length: 50_000 }, (_, index) => (index * 7_919) % 50_021);
    let turns = 0;
    const tick = () => {
      turns += 1;
      timer = setImmediate(tick);
    };
    let timer = setImmediate(tick);
    const sorted = await sortInSlices(many, (a, b) => a - b, new TimeSlice(systemClock));
    clearImmediate(timer);
    expect(sorted).toEqual([...many].sort((a, b) => a - b));
    expect(turns).toBeGreaterThan(0);
    expect(await sortInSlices([], () => 0, new TimeSlice(systemClock))).toEqual([]);
  });

  test('rejects with the reason of its signal', async () => {
    const ended = AbortSignal.abort(new Error('gone'));
    let now = 0;
    const tick = () => {
      now += 5;
      return now;
    };
    const late = { now: tick, setTimeout: () => 0, clearTimeout: () => {} };
    await expect(sortInSlices([2, 1], (a, b) => a - b, new TimeSlice(late, ended))).rejects.toThrow('gone');
  });
});

test('a pattern matches like an expression with .*', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 8 });
  fc.assert(
    fc.property(text, text, (pattern, candidate) => {
      const parts = pattern.split('*').map((part) => part.replace(/[^ab]/g, ''));
      expect(glob(pattern)(candidate)).toBe(new RegExp(`^${parts.join('.*')}$`, 's').test(candidate));
    }),
    fcOptions(1000),
  );
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Box, pictureOf } from '../../../src/inspector/page/statechart/layout.ts';
import { changesBetween } from '../../../src/inspector/page/ui/difference.tsx';
import type { MachineGraph, MachineState, MachineTransition } from '../../../src/inspector/protocol.ts';
import { fcOptions } from '../../support/property.ts';

const state = (id: string, parent: string | null, type: MachineState['type'] = 'atomic', initial = false) => ({
  ...{ id, label: id.split('.').at(-1) ?? id, parent, type, initial, description: null },
  ...{ entry: [], exit: [], invokes: [] },
});

const transition = (id: number, source: string, target: string | null): MachineTransition => ({
  ...{ id: String(id), source, target, event: `event.${id}`, guard: null, actions: [] },
});

const inside = (inner: Box, outer: Box) =>
  Math.abs(inner.x - outer.x) <= (outer.width - inner.width) / 2 &&
  Math.abs(inner.y - outer.y) <= (outer.height - inner.height) / 2;

const apart = (a: Box, b: Box) =>
  Math.abs(a.x - b.x) >= (a.width + b.width) / 2 || Math.abs(a.y - b.y) >= (a.height + b.height) / 2;

describe('a statechart', () => {
  test('is drawn with states inside of states, and lines to groups end in them', () => {
    const machine: MachineGraph = {
      id: 'nested',
      states: [
        state('idle', null, 'atomic', true),
        state('busy', null, 'compound'),
        state('busy.a', 'busy', 'atomic', true),
        state('busy.b', 'busy'),
        state('busy.both', 'busy', 'parallel'),
        state('busy.both.x', 'busy.both'),
        state('busy.both.y', 'busy.both'),
      ],
      transitions: [
        transition(1, 'idle', 'busy'),
        transition(2, 'busy', 'idle'),
        transition(3, 'busy.a', 'busy.both'),
        transition(4, 'busy.a', 'busy.b'),
        transition(5, 'busy.b', null),
      ],
    };
    const { boxes, edges, starts } = pictureOf(machine);
    const box = (id: string) => boxes.find((each) => each.state.id === id) as Box;
    for (const id of ['busy.a', 'busy.b', 'busy.both']) expect(inside(box(id), box('busy')), id).toBe(true);
    expect(inside(box('busy.both.x'), box('busy.both'))).toBe(true);
    expect(edges.flatMap(({ transitions }) => transitions.map(({ id }) => id)).sort()).toEqual(['1', '2', '3', '4']);
    expect(starts.map((each) => each.state.id)).toEqual(['idle', 'busy.a']);
    expect(box('busy.b').lines).toEqual(['event.5']);
  });

  test('of any shape is drawn, and no state covers another', () => {
    const shape = fc.record({
      count: fc.integer({ min: 1, max: 12 }),
      lines: fc.array(fc.tuple(fc.nat(11), fc.nat(12)), { maxLength: 30 }),
    });
    fc.assert(
      fc.property(shape, ({ count, lines }) => {
        const states = Array.from({ length: count }, (_, at) => state(`s${at}`, null, 'atomic', at === 0));
        const transitions = lines.map(([from, to], at) =>
          transition(at, `s${from % count}`, to === 12 ? null : `s${to % count}`),
        );
        const { boxes, edges, width } = pictureOf({ id: 'any', states, transitions });
        expect(boxes).toHaveLength(count);
        for (const [at, a] of boxes.entries()) for (const b of boxes.slice(at + 1)) expect(apart(a, b)).toBe(true);
        for (const { points } of edges) expect(points.length).toBeGreaterThan(1);
        for (const { x, width: own } of boxes) expect(x - own / 2 >= 0 && x + own / 2 <= width).toBe(true);
      }),
      fcOptions(60),
    );
  });
});

describe('what differs between two values', () => {
  test('is told place by place', () => {
    const before = { a: 1, list: [1, { deep: true }], gone: null };
    const after = { a: 1, list: [2, { deep: false }, 'new'], come: {} };
    expect(changesBetween(before, after)).toEqual([
      { path: 'list[0]', kind: 'changed', before: 1, after: 2 },
      { path: 'list[1].deep', kind: 'changed', before: true, after: false },
      { path: 'list[2]', kind: 'added', after: 'new' },
      { path: 'come', kind: 'added', after: {} },
      { path: 'gone', kind: 'removed', before: null },
    ]);
    expect(changesBetween([1], { 0: 1 })).toEqual([{ path: '', kind: 'changed', before: [1], after: { 0: 1 } }]);
    expect(changesBetween(undefined, null)).toEqual([{ path: '', kind: 'added', after: null }]);
  });

  test('is nothing between equal values only', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        const copy: unknown = JSON.parse(JSON.stringify(a));
        expect(changesBetween(JSON.parse(JSON.stringify(a)), copy)).toEqual([]);
        const other: unknown = JSON.parse(JSON.stringify(b));
        expect(changesBetween(copy, other).length === 0).toBe(isSame(copy, other));
      }),
      fcOptions(200),
    );
  });
});

/** The order of properties tells nothing. */
function isSame(a: unknown, b: unknown): boolean {
  try {
    expect(a).toStrictEqual(b);
    return true;
  } catch {
    return false;
  }
}

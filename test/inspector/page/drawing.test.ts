import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Box, pictureOf } from '../../../src/inspector/page/statechart/layout.ts';
import { changesBetween } from '../../../src/inspector/page/ui/difference.tsx';
import { jsonProblem } from '../../../src/inspector/page/ui/json-problem.ts';
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
  test('draws states inside of states, and ends lines to groups in them', () => {
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

  test('draws a machine of any shape, and no state covers another', () => {
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

test('breaks long labels instead of cutting them', () => {
  const long = { ...transition(1, 'a', 'b'), event: 'namespace.expire', guard: 'primaryIsAsynchronousAndStillWaiting' };
  const stays = { ...transition(2, 'a', null), event: 'context.set', actions: ['enqueue', 'reportFailure', 'gather'] };
  const machine = {
    id: 'long',
    states: [state('a', null, 'atomic', true), state('b', null)],
    transitions: [long, stays],
  };
  const { boxes, edges } = pictureOf(machine);
  const lines = [...edges.flatMap(({ label }) => label), ...boxes.flatMap((box) => box.lines)];
  expect(
    lines.every((line) => line.length <= 26 && !line.includes('…')),
    lines.join('|'),
  ).toBe(true);
  expect(edges[0]?.label.slice(0, 2)).toEqual(['namespace.expire', '[primaryIsAsynchronousAnd']);
  expect(edges[0]?.label.join('')).toBe('namespace.expire[primaryIsAsynchronousAndStillWaiting]');
  expect(boxes.find((box) => box.state.id === 'a')?.lines.join(' ')).toBe(
    'context.set / enqueue, reportFailure, gather',
  );
});

describe('the first error in a JSON text', () => {
  test.each([
    ['', 1, 1, 'there is no value'],
    ['{ "step": ', 1, 11, 'a value is missing at the end'],
    ['{\n  "a": 1\n  "b": 2\n}', 3, 3, 'a comma or } is missing'],
    ['{ "a": 1, }', 1, 11, 'a name is missing after the last comma'],
    ['[1, 2', 1, 6, '] is missing at the end'],
    ["{ 'a': 1 }", 1, 3, 'a name in double quotes is expected'],
    ['{ "a": yes }', 1, 8, 'text needs double quotes'],
    ['{ "a" 1 }', 1, 7, 'a colon is missing after the name'],
    ['"open', 1, 1, 'the quote that begins here is not closed'],
    ['"\\x"', 1, 2, 'this escape does not exist in JSON'],
    ['1 2', 1, 3, 'the value has ended here already'],
  ])('of %j is at line %i, column %i: %s', (text, line, column, message) => {
    expect(jsonProblem(text)).toMatchObject({ line, column, message });
  });

  test('is found in exactly the texts that are not JSON', () => {
    const texts = fc.tuple(
      fc.json(),
      fc.nat(40),
      fc.constantFrom('', '"', ',', '}', ']', '\\', '1', '\n', '0', 'e'),
      fc.nat(2),
    );
    fc.assert(
      fc.property(texts, ([json, at, put, cut]) => {
        const text = json.slice(0, at) + put + json.slice(at + cut);
        let isJson = true;
        try {
          JSON.parse(text);
        } catch {
          isJson = false;
        }
        const problem = jsonProblem(text);
        expect(problem === undefined).toBe(isJson);
        if (problem === undefined) return;
        expect(problem.offset).toBeLessThanOrEqual(text.length);
        expect(problem.message).not.toMatch(/JSON\.parse|Unexpected|Expected/);
      }),
      fcOptions(500),
    );
  });
});

test('JSON in strings is compared by its parts', () => {
  const [before, after] = [JSON.stringify({ a: 1, b: [1] }), JSON.stringify({ a: 2, b: [1] })];
  expect(changesBetween({ result: before }, { result: after })).toEqual([
    { path: 'result.a', kind: 'changed', before: 1, after: 2 },
  ]);
  expect(changesBetween('{}', '{ }')).toEqual([{ path: '', kind: 'changed', before: '{}', after: '{ }' }]);
});

describe('the differences between two values', () => {
  test('lists each difference with its path', () => {
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

  test('is empty for equal values only', () => {
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

/** Compares without regard to the order of properties. */
function isSame(a: unknown, b: unknown): boolean {
  try {
    expect(a).toStrictEqual(b);
    return true;
  } catch {
    return false;
  }
}

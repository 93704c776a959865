import { graphlib, layout } from '@dagrejs/dagre';
import type { MachineGraph, MachineState, MachineTransition } from '../../protocol.ts';

/** A drawn state; `x` and `y` are its middle. */
export interface Box {
  readonly state: MachineState;
  /** Lines under the name: what runs in the state, and its transitions that stay in it. */
  readonly lines: readonly string[];
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly isGroup: boolean;
}

/** A drawn transition. */
export interface Edge {
  readonly transitions: readonly MachineTransition[];
  readonly points: readonly { readonly x: number; readonly y: number }[];
  readonly label: readonly string[];
  readonly x: number;
  readonly y: number;
}

export interface Picture {
  readonly boxes: readonly Box[];
  readonly edges: readonly Edge[];
  /** First states, of the machine and of each group: a dot is drawn above them. */
  readonly starts: readonly Box[];
  readonly width: number;
  readonly height: number;
}

/** Width of a letter of the labels (11 px and 12 px monospaced) and of a state's name (13 px). */
const LETTER = 7.2;
const NAME_LETTER = 7.6;
const LINE = 16;
const MARGIN = 18;
/** Characters of a line. A longer one goes on below, so that nothing is cut and the chart stays narrow. */
const LONGEST_LINE = 26;

/** Lays out a machine in layers, starting with its first state. */
export function pictureOf(machine: MachineGraph): Picture {
  const groups = new Set(machine.states.map(({ parent }) => parent).filter((parent) => parent !== null));
  const states = machine.states.filter(({ id }) => id !== '');
  const known = new Set(states.map(({ id }) => id));
  const graph = new graphlib.Graph({ compound: true, multigraph: true });
  graph.setGraph({ rankdir: 'TB', nodesep: 22, ranksep: 26, edgesep: 10, marginx: MARGIN, marginy: MARGIN + 14 });
  graph.setDefaultEdgeLabel(() => ({}));
  const lines = new Map(states.map((state) => [state.id, linesOf(state, machine)]));
  for (const state of states) graph.setNode(state.id, sizeOf(state, lines.get(state.id) ?? []));
  for (const { id, parent } of states) if (parent && known.has(parent)) graph.setParent(id, parent);
  const leaf = (id: string) => leafOf(id, machine.states);
  const bundles = bundlesOf(machine, leaf, known);
  for (const [key, { from, to, transitions }] of bundles) {
    const label = labelOf(transitions);
    const width = Math.max(...label.map((line) => line.length)) * LETTER * 0.93 + 8;
    graph.setEdge(from, to, { width, height: label.length * 14 + 4, labelpos: 'c' }, key);
  }
  layout(graph);
  const placed = states.map((state): Box => {
    const { x = 0, y = 0, width = 0, height = 0 } = graph.node(state.id) as Partial<Box>;
    return { state, lines: lines.get(state.id) ?? [], x, y, width, height, isGroup: groups.has(state.id) };
  });
  const edges = [...bundles].map(([key, { from, to, transitions }]): Edge => {
    const { points = [], x = 0, y = 0 } = graph.edge(from, to, key) as Partial<Edge>;
    return { transitions, points, label: labelOf(transitions), x, y };
  });
  const { width = 0, height = 0 } = graph.graph() as { width?: number; height?: number };
  const starts = placed.filter(({ state, isGroup }) => state.initial && !isGroup);
  return { boxes: placed.sort((a, b) => Number(b.isGroup) - Number(a.isGroup)), edges, starts, width, height };
}

interface Bundle {
  readonly from: string;
  readonly to: string;
  readonly transitions: MachineTransition[];
}

/** Transitions between the same two states share a line. Edges end at leaves because the layout requires it. */
function bundlesOf(
  { transitions }: MachineGraph,
  leaf: (id: string) => string,
  known: ReadonlySet<string>,
): Map<string, Bundle> {
  const bundles = new Map<string, Bundle>();
  for (const transition of transitions) {
    const { source, target } = transition;
    if (target === null || target === source || !known.has(source) || !known.has(target)) continue;
    const [from, to] = [leaf(source), leaf(target)];
    const key = `${from}\n${to}`;
    const bundle = bundles.get(key) ?? { from, to, transitions: [] };
    bundle.transitions.push(transition);
    bundles.set(key, bundle);
  }
  return bundles;
}

/** Returns the state itself, or the one inside of it that is entered. */
function leafOf(id: string, states: readonly MachineState[]): string {
  const inside = states.filter(({ parent }) => parent === id);
  const first = inside.find(({ initial }) => initial) ?? inside[0];
  return first === undefined ? id : leafOf(first.id, states);
}

function linesOf(state: MachineState, { transitions }: MachineGraph): string[] {
  const stays = transitions.filter(
    ({ source, target }) => source === state.id && (target === null || target === state.id),
  );
  return [
    ...state.invokes.map((name) => `↻ ${name}`),
    ...(state.entry.length === 0 ? [] : [`entry / ${state.entry.join(', ')}`]),
    ...(state.exit.length === 0 ? [] : [`exit / ${state.exit.join(', ')}`]),
    ...new Set(stays.map(sentence)),
  ].flatMap(wrapped);
}

/** Returns the transitions of the root, which are taken in any state. */
export function linesOfRoot({ transitions }: MachineGraph): string[] {
  const ofRoot = transitions.filter(({ source }) => source === '');
  return ofRoot.map((each) => (each.target === null ? sentence(each) : `${sentence(each)} → ${each.target}`));
}

const labelOf = (transitions: readonly MachineTransition[]): string[] =>
  [...new Set(transitions.map(headOf))].flatMap(wrapped);

function sentence(transition: MachineTransition): string {
  const { actions } = transition;
  return actions.length === 0 ? headOf(transition) : `${headOf(transition)} / ${actions.join(', ')}`;
}

function headOf({ event, guard }: MachineTransition): string {
  const condition = guard === null ? '' : `[${guard}]`;
  return event === '' ? condition || 'always' : [event, condition].filter(Boolean).join(' ');
}

/** Breaks a long line between words, and a word that is too long by itself after a dot or before a capital. */
function wrapped(line: string): string[] {
  const lines: string[] = [];
  for (const word of line.split(/(?<= )/)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.trimEnd().length <= LONGEST_LINE)
      lines[lines.length - 1] = last + word;
    else lines.push(...brokenWord(word));
  }
  return lines.map((each) => each.trimEnd());
}

function brokenWord(word: string): string[] {
  const lines = [''];
  for (const part of word.split(/(?<=\.)|(?<=[a-z])(?=[A-Z])/)) {
    const last = lines.at(-1) ?? '';
    if (last.length + part.trimEnd().length <= LONGEST_LINE) lines[lines.length - 1] = last + part;
    else lines.push(part);
  }
  return lines.filter((each) => each !== '');
}

function sizeOf({ label, type }: MachineState, lines: readonly string[]): { width: number; height: number } {
  if (type === 'compound' || type === 'parallel') return { width: 0, height: 0 };
  const width = Math.max(label.length * NAME_LETTER, ...lines.map((line) => line.length * LETTER));
  return { width: Math.max(84, width + 24), height: 36 + lines.length * LINE + (lines.length > 0 ? 6 : 0) };
}

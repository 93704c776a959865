import { graphlib, layout } from '@dagrejs/dagre';
import type { MachineGraph, MachineState, MachineTransition } from '../../protocol.ts';

/** A state where it is drawn; `x` and `y` are its middle. */
export interface Box {
  readonly state: MachineState;
  /** What it does without leaving: a line each, under its name. */
  readonly lines: readonly string[];
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly isGroup: boolean;
}

/** A transition where it is drawn. */
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
  /** From which each group's first state is entered: a dot above it. */
  readonly starts: readonly Box[];
  readonly width: number;
  readonly height: number;
}

/** Width of a letter of the labels (11 px and 12 px monospaced) and of a state's name (13 px). */
const LETTER = 7.2;
const NAME_LETTER = 7.6;
const LINE = 16;
const MARGIN = 18;
const LONGEST_LINE = 34;

/** Lays a machine out in layers from its first state on. */
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

/** Transitions between the same two states share a line. Edges end at leaves, as the layout wants them. */
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

/** The state itself, or the one that is entered inside of it. */
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
  ].map(cut);
}

/** A transition of the root: taken in whatever state it is. */
export function linesOfRoot({ transitions }: MachineGraph): string[] {
  const ofRoot = transitions.filter(({ source }) => source === '');
  return ofRoot.map((each) => (each.target === null ? sentence(each) : `${sentence(each)} → ${each.target}`));
}

const labelOf = (transitions: readonly MachineTransition[]): string[] => [
  ...new Set(transitions.map((transition) => cut(headOf(transition)))),
];

function sentence(transition: MachineTransition): string {
  const { actions } = transition;
  return actions.length === 0 ? headOf(transition) : `${headOf(transition)} / ${actions.join(', ')}`;
}

function headOf({ event, guard }: MachineTransition): string {
  const condition = guard === null ? '' : `[${guard}]`;
  return event === '' ? condition || 'always' : [event, condition].filter(Boolean).join(' ');
}

const cut = (line: string): string => (line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE - 1)}…` : line);

function sizeOf({ label, type }: MachineState, lines: readonly string[]): { width: number; height: number } {
  if (type === 'compound' || type === 'parallel') return { width: 0, height: 0 };
  const width = Math.max(label.length * NAME_LETTER, ...lines.map((line) => line.length * LETTER));
  return { width: Math.max(84, width + 24), height: 36 + lines.length * LINE + (lines.length > 0 ? 6 : 0) };
}

import type { JSX } from 'preact';
import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { MachineGraph } from '../../protocol.ts';
import { type Box, type Edge, linesOfRoot, pictureOf } from './layout.ts';

/** Scrolls to the current state if it is out of sight. */
function reveal(frame: HTMLElement | null): void {
  const lit = frame?.querySelector('.is-current')?.getBoundingClientRect();
  if (frame === null || lit === undefined) return;
  const { left, right } = frame.getBoundingClientRect();
  if (lit.left < left || lit.right > right) frame.scrollLeft += (lit.left + lit.right - left - right) / 2;
}

interface StatechartProps {
  readonly machine: MachineGraph;
  /** Dotted paths of the states it is in. */
  readonly current: readonly string[];
  /** Transitions taken last. A new `turn` lights them again. */
  readonly taken?: { readonly ids: readonly string[]; readonly turn: number } | undefined;
}

/** Below this scale the words are too small to read, so that the chart offers its full size. */
const LEGIBLE = 0.8;

/** A statechart in layers. The current state is highlighted, and a transition glows when it is taken. */
export function Statechart({ machine, current, taken }: StatechartProps): JSX.Element {
  const picture = useMemo(() => pictureOf(machine), [machine]);
  const always = linesOfRoot(machine);
  const isCurrent = (id: string) => current.some((path) => path === id || path.startsWith(`${id}.`));
  const { width, height } = picture;
  const frame = useRef<HTMLDivElement>(null);
  const [isLarge, setLarge] = useState(false);
  const [scale, setScale] = useState(1);
  useLayoutEffect(() => reveal(frame.current), [machine, current.join(), isLarge]);
  useLayoutEffect(() => {
    const box = frame.current;
    if (box === null) return;
    const observer = new ResizeObserver(() => setScale(Math.min(1, box.clientWidth / width)));
    observer.observe(box);
    return () => observer.disconnect();
  }, [width]);
  const name = `Statechart ${machine.id}; ${current.length === 0 ? 'no actor' : `now in ${current.join(', ')}`}`;
  return (
    <div class="statechart-frame" ref={frame}>
      {scale < LEGIBLE && (
        <button
          type="button"
          class="button small statechart-size"
          aria-pressed={isLarge}
          onClick={() => setLarge(!isLarge)}
        >
          {isLarge ? 'Fit the width' : 'Full size'}
        </button>
      )}
      {always.length > 0 && (
        <p class="muted statechart-always">
          In any state: <code>{always.join(' · ')}</code>
        </p>
      )}
      <svg
        class="statechart"
        viewBox={`0 0 ${width} ${height}`}
        width={width}
        style={isLarge ? { maxWidth: 'none' } : {}}
        height={height}
        role="img"
        aria-label={name}
      >
        <defs>
          <marker
            id="arrow"
            viewBox="0 0 8 8"
            refX="7"
            refY="4"
            markerWidth="9"
            markerHeight="9"
            markerUnits="userSpaceOnUse"
            orient="auto"
          >
            <path class="arrow" d="M0 0.5 L8 4 L0 7.5 z" />
          </marker>
        </defs>
        {picture.boxes
          .filter(({ isGroup }) => isGroup)
          .map((box) => (
            <State key={box.state.id} box={box} isCurrent={isCurrent(box.state.id)} />
          ))}
        {picture.edges.map((edge) => (
          <Transition key={edge.transitions[0]?.id} edge={edge} taken={taken} />
        ))}
        {picture.boxes
          .filter(({ isGroup }) => !isGroup)
          .map((box) => (
            <State key={box.state.id} box={box} isCurrent={isCurrent(box.state.id)} />
          ))}
        {picture.starts.map((box) => (
          <Start key={box.state.id} box={box} />
        ))}
        {picture.edges.map((edge) => (
          <EdgeLabel key={edge.transitions[0]?.id} edge={edge} />
        ))}
      </svg>
    </div>
  );
}

function State({ box, isCurrent }: { readonly box: Box; readonly isCurrent: boolean }): JSX.Element {
  const { x, y, width, height, state, lines, isGroup } = box;
  const [left, top] = [x - width / 2, y - height / 2];
  const classes = [isCurrent ? 'is-current' : '', state.type === 'final' ? 'is-final' : ''].join(' ');
  return (
    <g class={classes} data-state={state.id}>
      {state.description !== null && <title>{state.description}</title>}
      <rect class={isGroup ? 'state-group' : 'state-box'} x={left} y={top} width={width} height={height} rx={8} />
      <text class="state-name" x={x} y={top + (isGroup ? 16 : 23)} text-anchor="middle">
        {state.label}
      </text>
      {lines.map((line, place) => (
        <text key={`${place}`} x={x} y={top + 43 + place * 16} text-anchor="middle">
          {line}
        </text>
      ))}
    </g>
  );
}

/** The dot above a first state. */
function Start({ box: { x, y, width, height } }: { readonly box: Box }): JSX.Element {
  const [dotX, top] = [x - width / 2 + 12, y - height / 2];
  return (
    <g>
      <circle class="initial" cx={dotX} cy={top - 16} r={4.5} />
      <path class="edge" d={`M${dotX} ${top - 12}V${top - 1}`} marker-end="url(#arrow)" />
    </g>
  );
}

type Taken = StatechartProps['taken'];

function Transition({ edge, taken }: { readonly edge: Edge; readonly taken: Taken }): JSX.Element {
  const isTaken = taken !== undefined && edge.transitions.some(({ id }) => taken.ids.includes(id));
  return (
    <g key={isTaken ? taken.turn : 'still'} class={isTaken ? 'just-taken' : ''}>
      <path class="edge" d={curve(edge.points)} marker-end="url(#arrow)" />
    </g>
  );
}

/** Drawn above the lines, so that none crosses the words. */
function EdgeLabel({ edge: { label, x, y } }: { readonly edge: Edge }): JSX.Element {
  const top = y - (label.length - 1) * 7 + 4;
  return (
    <g>
      {label.map((line, place) => (
        <text key={`${place}`} class="edge-label" x={x} y={top + place * 14} text-anchor="middle">
          {line}
        </text>
      ))}
    </g>
  );
}

/** Returns a smooth path through the middles between the points. */
function curve(points: Edge['points']): string {
  const [first, ...rest] = points;
  if (first === undefined) return '';
  let path = `M${first.x} ${first.y}`;
  rest.forEach((point, place) => {
    const next = rest[place + 1];
    if (next === undefined) path += `L${point.x} ${point.y}`;
    else path += `Q${point.x} ${point.y} ${(point.x + next.x) / 2} ${(point.y + next.y) / 2}`;
  });
  return path;
}

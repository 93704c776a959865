import type { JSX } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { UpdateRow } from '../../data-protocol.ts';
import { count, time } from '../format.ts';

/** So many of the newest updates are drawn, between so many agents and namespaces; the others share a line each. */
const ROWS = 60;
const AGENTS = 4;
const NAMESPACES = 4;
const ROW = 30;
const HEAD = 52;
/** Room for instant and position. */
const LEFT = 132;
const LEAST_WIDTH = 680;
/** Where none of them is meant alone. */
const OTHERS = '\u0000';
const NOBODY = 'nobody named';

/** Whose life line an arrow begins or ends at. */
interface Lane {
  readonly name: string;
  readonly x: number;
}

interface SequenceProps {
  /** Newest first. */
  readonly rows: readonly UpdateRow[];
  readonly chosen: number | undefined;
  readonly onSelect: (row: UpdateRow) => void;
}

/** Who sent what to whom: agents at the left, namespaces at the right, an arrow for each update, newest on top. */
export function Sequence({ rows: all, chosen, onSelect }: SequenceProps): JSX.Element {
  const frame = useRef<HTMLDivElement>(null);
  const [room, setRoom] = useState(900);
  useLayoutEffect(() => {
    const box = frame.current;
    if (box === null) return;
    const observer = new ResizeObserver(() => setRoom(box.clientWidth));
    observer.observe(box);
    return () => observer.disconnect();
  }, []);
  const width = Math.max(LEAST_WIDTH, room);
  const rows = all.slice(0, ROWS);
  const { agents, namespaces, step } = lanesOf(rows, width);
  const height = HEAD + rows.length * ROW + 12;
  const heads = [
    ...agents.map((lane) => ({ lane, isAgent: true })),
    ...namespaces.map((lane) => ({ lane, isAgent: false })),
  ];
  return (
    <section class="sequence-frame" ref={frame} aria-label={`Who sent the last ${rows.length} updates to whom`}>
      {/* biome-ignore lint/a11y/noSvgWithoutTitle: the section is named; a title would follow the pointer everywhere */}
      <svg class="sequence" viewBox={`0 0 ${width} ${height}`} width={width} height={height}>
        {heads.map(({ lane, isAgent }) => (
          <LaneHead key={`${isAgent}${lane.name}`} lane={lane} isAgent={isAgent} bottom={height} room={step} />
        ))}
        {rows.map((row, place) => (
          <Arrow
            key={row.position}
            row={row}
            y={HEAD + place * ROW + 20}
            from={laneOf(agents, row.agent ?? NOBODY)}
            to={laneOf(namespaces, row.namespace)}
            isChosen={row.position === chosen}
            onSelect={onSelect}
          />
        ))}
      </svg>
    </section>
  );
}

function lanesOf(rows: readonly UpdateRow[], width: number): { agents: Lane[]; namespaces: Lane[]; step: number } {
  const agents = named(rows, ({ agent }) => agent ?? NOBODY, AGENTS);
  const namespaces = named(rows, ({ namespace }) => namespace, NAMESPACES);
  // Between both sides a lane is left free: what was sent is written there.
  const step = (width - LEFT) / (agents.length + namespaces.length + 0.6);
  const at = (place: number) => LEFT + (place + 0.5) * step;
  return {
    agents: agents.map((name, place) => ({ name, x: at(place) })),
    namespaces: namespaces.map((name, place) => ({ name, x: at(agents.length + 0.6 + place) })),
    step,
  };
}

/** Those that were seen most, in the order of their names; the rest is one lane. */
function named(rows: readonly UpdateRow[], nameOf: (row: UpdateRow) => string, most: number): string[] {
  const seen = new Map<string, number>();
  for (const row of rows) seen.set(nameOf(row), (seen.get(nameOf(row)) ?? 0) + 1);
  const byCount = [...seen].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).map(([name]) => name);
  if (byCount.length <= most) return byCount.sort();
  return [...byCount.slice(0, most - 1).sort(), OTHERS];
}

const laneOf = (lanes: readonly Lane[], name: string): Lane =>
  lanes.find((lane) => lane.name === name) ?? (lanes.at(-1) as Lane);

interface HeadProps {
  readonly lane: Lane;
  readonly isAgent: boolean;
  readonly bottom: number;
  readonly room: number;
}

function LaneHead({ lane: { name, x }, isAgent, bottom, room }: HeadProps): JSX.Element {
  return (
    <g>
      <title>{name === OTHERS ? 'others' : name}</title>
      <text class="lane-kind" x={x} y={16} text-anchor="middle">
        {isAgent ? 'agent' : 'namespace'}
      </text>
      <text class="lane-name" x={x} y={34} text-anchor="middle">
        {name === OTHERS ? 'others' : tail(name, Math.max(8, Math.floor(room / 7.3)))}
      </text>
      <path class="lane" d={`M${x} 42V${bottom}`} />
    </g>
  );
}

interface ArrowProps {
  readonly row: UpdateRow;
  readonly y: number;
  readonly from: Lane;
  readonly to: Lane;
  readonly isChosen: boolean;
  readonly onSelect: (row: UpdateRow) => void;
}

function Arrow({ row, y, from, to, isChosen, onSelect }: ArrowProps): JSX.Element {
  const key = row.key ?? 'all keys';
  const operation = row.operation === 'clear_namespace' ? 'clear' : row.operation;
  const where = to.name === OTHERS ? `${row.namespace} · ${key}` : key;
  const room = Math.floor((to.x - from.x - 26) / 7.3) - operation.length - 1;
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' && event.key !== ' ') return;
    event.preventDefault();
    onSelect(row);
  };
  return (
    // biome-ignore lint/a11y/useSemanticElements: there are no buttons inside of a drawing
    <g
      class={`arrow-row ${row.operation} ${isChosen ? 'is-chosen' : ''}`}
      role="button"
      tabIndex={0}
      aria-label={`${row.agent ?? 'Somebody'}: ${operation} ${key} in ${row.namespace}, position ${row.position}`}
      onClick={() => onSelect(row)}
      onKeyDown={onKeyDown}
    >
      <rect class="arrow-back" x={0} y={y - 19} width="100%" height={ROW} />
      <text class="arrow-at" x={12} y={y}>
        {time(row.at)}
      </text>
      <text class="arrow-at" x={LEFT - 12} y={y} text-anchor="end">
        {count(row.position)}
      </text>
      <path class="sent" d={`M${from.x} ${y + 3}H${to.x - 8}`} />
      <path class="sent-head" d={`M${to.x - 9} ${y - 1}L${to.x - 1} ${y + 3}L${to.x - 9} ${y + 7}z`} />
      <circle cx={from.x} cy={y + 3} r={3} />
      <text class="arrow-text" x={to.x - 16} y={y - 3} text-anchor="end">
        <tspan class="arrow-op">{operation}</tspan> {tail(where, Math.max(10, room))}
      </text>
    </g>
  );
}

/** The end of a long name tells more than its beginning. */
const tail = (name: string, most: number): string => (name.length > most ? `…${name.slice(1 - most)}` : name);

import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { TraceDetail, TraceNode } from '../../data-protocol.ts';
import { get } from '../api.ts';
import { count, dateTime } from '../format.ts';
import { useLoaded } from '../load.ts';
import { hrefOf } from '../router.ts';
import { Card, Empty, Failed, Loading } from '../ui/parts.tsx';
import { NO_AGENT } from './agents-card.tsx';

/** Writes that are drawn in each direction. */
const LIMIT = 60;
/** Size of a write and of the gaps between writes, pixels. */
const BOX = { width: 168, height: 58, gapX: 44, gapY: 12 };

interface ConnectionsProps {
  readonly namespace: string;
  readonly entryKey: string;
  readonly turn: number;
}

/** What an entry was based on, and what was based on it. Loads when it is opened: the first time reads the whole log. */
export function ConnectionsCard({ namespace, entryKey, turn }: ConnectionsProps): JSX.Element {
  const [open, setOpen] = useState(false);
  return (
    <Card
      title="Connections"
      side={
        <button type="button" class="button small" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? 'Hide' : 'Show what it is based on'}
        </button>
      }
      flush
    >
      {open && <Connections namespace={namespace} entryKey={entryKey} turn={turn} />}
    </Card>
  );
}

function Connections({ namespace, entryKey, turn }: ConnectionsProps): JSX.Element {
  const { value, error, reload } = useLoaded(
    (signal) => get('GET /api/trace', { namespace, key: entryKey, limit: LIMIT }, signal),
    [namespace, entryKey],
    turn,
  );
  if (error) return <Failed message={error.message} retry={reload} />;
  if (value === undefined) return <Loading what="Reading the log" />;
  if (value.writes.length === 0) return <Empty title="No write is known">The log no longer holds it.</Empty>;
  const isAlone = value.writes.length === 1;
  return (
    <>
      <Graph of={value} />
      <p class="trace-note muted small-text">
        {isAlone && 'Its writer named no reading, and no later write names it. '}
        {value.open > 0 && `${count(value.open)} readings cannot be followed. `}
        {value.more && `Only ${LIMIT} writes in each direction are drawn. `}
        {!isAlone && 'An arrow leads from a write to one that is based on it; a dashed one is not certain.'}
      </p>
    </>
  );
}

interface Placed extends TraceNode {
  readonly x: number;
  readonly y: number;
}

function Graph({ of: { writes, links } }: { readonly of: TraceDetail }): JSX.Element {
  const placed = placedOf(writes);
  const at = new Map(placed.map((node) => [node.position, node]));
  const width = Math.max(...placed.map(({ x }) => x)) + BOX.width;
  const height = Math.max(...placed.map(({ y }) => y)) + BOX.height;
  return (
    <div class="trace">
      <div class="trace-field" style={{ width: `${width}px`, height: `${height}px` }}>
        <svg width={width} height={height} aria-hidden="true">
          <defs>
            <marker id="trace-tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">
              <path d="M0 0 8 4 0 8z" />
            </marker>
          </defs>
          {links.map(({ cause, effect, certain }) => {
            const [from, to] = [at.get(cause), at.get(effect)];
            if (from === undefined || to === undefined) return null;
            return <path key={`${cause} ${effect}`} class={certain ? '' : 'uncertain'} d={curve(from, to)} />;
          })}
        </svg>
        <ol aria-label="Writes, from the earliest that it is based on to the latest that is based on it">
          {placed.map((node) => (
            <Write key={node.position} node={node} />
          ))}
        </ol>
      </div>
    </div>
  );
}

function Write({ node }: { readonly node: Placed }): JSX.Element {
  const { position, namespace, key, operation, agent, at, column, certain, retracts, staleSince, x, y } = node;
  const marks = [
    ...(retracts === null ? [] : [`retracts #${count(retracts)}`]),
    ...(staleSince === null ? [] : [`stale since #${count(staleSince)}`]),
    ...(certain ? [] : ['not certain']),
  ];
  const name = key ?? operation.replace('_', ' ');
  const way = column === 0 ? 'this entry' : column < 0 ? 'it is based on this' : 'is based on it';
  return (
    <li
      class="trace-place"
      style={{ left: `${x}px`, top: `${y}px`, width: `${BOX.width}px`, height: `${BOX.height}px` }}
    >
      <a
        class={`trace-write${column === 0 ? ' is-start' : ''}${staleSince === null ? '' : ' is-stale'}`}
        href={key === null ? hrefOf('time', { at: position }) : hrefOf('data', { ns: namespace, key })}
        title={`${namespace} ${name}, ${dateTime(at)}`}
        aria-label={`${way}: ${operation} ${name} in ${namespace} by ${agent ?? NO_AGENT}, position ${position}${marks.length === 0 ? '' : `, ${marks.join(', ')}`}`}
      >
        <span class="ellipsis">
          <b>{name}</b> <span class="muted">{namespace}</span>
        </span>
        <span class="ellipsis small-text soft">{agent ?? NO_AGENT}</span>
        <span class="ellipsis small-text muted num">
          #{count(position)}
          {operation !== 'set' && ` ${operation}`}
          {marks.length > 0 && <strong class="trace-mark"> {marks.join(', ')}</strong>}
        </span>
      </a>
    </li>
  );
}

/** Gives each column of links its place from left to right, and centres its writes. */
function placedOf(writes: readonly TraceNode[]): Placed[] {
  const columns = new Map<number, TraceNode[]>();
  for (const write of writes) columns.set(write.column, [...(columns.get(write.column) ?? []), write]);
  const numbers = [...columns.keys()].sort((a, b) => a - b);
  const tallest = Math.max(...[...columns.values()].map(({ length }) => length));
  const step = BOX.height + BOX.gapY;
  return numbers.flatMap((number, index) => {
    const nodes = columns.get(number) ?? [];
    const top = ((tallest - nodes.length) * step) / 2;
    return nodes.map((node, row) => ({ ...node, x: index * (BOX.width + BOX.gapX), y: top + row * step }));
  });
}

function curve(from: Placed, to: Placed): string {
  const middle = BOX.height / 2;
  const [x1, y1, x2, y2] = [from.x + BOX.width, from.y + middle, to.x, to.y + middle];
  if (x2 > x1) {
    const half = (x2 - x1) / 2;
    return `M${x1} ${y1} C${x1 + half} ${y1} ${x2 - half} ${y2} ${x2} ${y2}`;
  }
  // Both are in one column, or the later one is further left: around their right side.
  const out = Math.max(x1, x2 + BOX.width) + BOX.gapX / 2;
  return `M${x1} ${y1} C${out} ${y1} ${out} ${y2} ${to.x + BOX.width} ${y2}`;
}

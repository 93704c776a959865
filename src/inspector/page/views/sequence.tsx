import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import type { UpdateRow } from '../../data-protocol.ts';
import { count, keysText, time } from '../format.ts';
import { useNarrow } from '../ui/hooks.ts';
import { VirtualList } from '../ui/virtual-list.tsx';
import { NO_AGENT } from './agents-card.tsx';

/** Lanes that fit beside each other, agents and namespaces together; the rest share one lane on each side. */
const MOST_LANES = 8;
const LEAST_ON_A_SIDE = 3;
/** Stands for all names that have no lane of their own. No name contains it. */
const OTHERS = '\u0000';
const ROW = 32;
const NARROW_ROW = 68;

interface Lanes {
  readonly agents: readonly string[];
  readonly namespaces: readonly string[];
}

interface SequenceProps {
  /** Newest first. */
  readonly rows: readonly UpdateRow[];
  readonly list: {
    readonly count: number;
    readonly prepended: number;
    readonly keyOf: (index: number) => number;
    readonly selected: number;
    readonly onSelect: (index: number) => void;
    readonly onSight: (first: number, last: number) => void;
  };
}

/**
 * Shows which agent sent what to which namespace: agents on the left, namespaces on the right, an arrow for each update,
 * newest on top. The lanes are those of the visible rows. A narrow page has no room for lanes: each row names both ends.
 */
export function Sequence({ rows, list }: SequenceProps): JSX.Element {
  const isNarrow = useNarrow();
  const [[top, bottom], setVisible] = useState<readonly [number, number]>([0, 20]);
  const visible = rows.slice(top, Math.max(bottom, top + 1));
  const names = visible.map((row) => `${row.agent ?? ''}\n${row.namespace}`).join('\n\n');
  const lanes = useMemo(() => lanesOf(visible), [names]);
  return (
    <section class="sequence" aria-label="Which agent sent what to which namespace">
      {!isNarrow && <LaneHeads lanes={lanes} />}
      <VirtualList
        {...list}
        label="Updates as arrows, newest first"
        rowHeight={isNarrow ? NARROW_ROW : ROW}
        onSight={(first, last, from, to) => {
          list.onSight(first, last);
          if (from !== top || to !== bottom) setVisible([from, to]);
        }}
        rowAttributes={(index) => ({ 'aria-label': sentence(rows[index]) })}
        row={(index) => {
          const row = rows[index];
          if (row === undefined) return null;
          return isNarrow ? <NarrowRow row={row} /> : <ArrowRow row={row} lanes={lanes} />;
        }}
      />
    </section>
  );
}

function sentence(row: UpdateRow | undefined): string {
  if (row === undefined) return '';
  const { agent, namespace, position } = row;
  return `${agent ?? NO_AGENT}: ${wordOf(row)} ${keysText(row)} in ${namespace}, position ${position}`;
}

const wordOf = ({ operation }: UpdateRow): string => (operation === 'clear_namespace' ? 'clear' : operation);

function lanesOf(rows: readonly UpdateRow[]): Lanes {
  const agents = byCount(rows.map(({ agent }) => agent ?? NO_AGENT));
  const namespaces = byCount(rows.map(({ namespace }) => namespace));
  const half = MOST_LANES / 2;
  const mostAgents = Math.max(LEAST_ON_A_SIDE, half, MOST_LANES - namespaces.length);
  const left = limited(agents, Math.min(mostAgents, MOST_LANES - LEAST_ON_A_SIDE));
  return { agents: left, namespaces: limited(namespaces, MOST_LANES - left.length) };
}

/** Returns the distinct names, the most frequent first. */
function byCount(names: readonly string[]): string[] {
  const seen = new Map<string, number>();
  for (const name of names) seen.set(name, (seen.get(name) ?? 0) + 1);
  return [...seen].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).map(([name]) => name);
}

const natural = new Intl.Collator('en', { numeric: true });

/** Sorts by name, so that lanes move as little as possible. */
function limited(names: readonly string[], most: number): string[] {
  if (names.length <= most) return names.toSorted(natural.compare);
  return [...names.slice(0, most - 1).toSorted(natural.compare), OTHERS];
}

/** Between agents and namespaces half a lane stays free. */
const FREE = 0.5;

/** Middle of a lane, in percent of the width. */
function middle({ agents, namespaces }: Lanes, side: 'agent' | 'namespace', name: string): number {
  const own = side === 'agent' ? agents : namespaces;
  const found = own.indexOf(name);
  const index = found < 0 ? own.length - 1 : found;
  const before = side === 'agent' ? 0 : agents.length + FREE;
  return (100 * (before + index + 0.5)) / (agents.length + namespaces.length + FREE);
}

function LaneHeads({ lanes }: { readonly lanes: Lanes }): JSX.Element {
  const { agents, namespaces } = lanes;
  return (
    <div class="lane-heads">
      <span class="seq-at" />
      <div
        class="lane-names"
        style={{ gridTemplateColumns: `repeat(${agents.length}, 1fr) ${FREE}fr repeat(${namespaces.length}, 1fr)` }}
      >
        {agents.map((name) => (
          <LaneHead key={name} kind="agent" name={name} />
        ))}
        <span />
        {namespaces.map((name) => (
          <LaneHead key={name} kind="namespace" name={name} />
        ))}
      </div>
    </div>
  );
}

function LaneHead({ kind, name }: { readonly kind: string; readonly name: string }): JSX.Element {
  const shown = name === OTHERS ? 'others' : name;
  return (
    <span class="lane-head" title={shown}>
      <span class="muted">{kind}</span>
      <strong>{breakable(shown)}</strong>
    </span>
  );
}

/** Lets a long name break after its separators, not inside a word. */
export function breakable(name: string): (JSX.Element | string)[] {
  return name
    .split(/(?<=[:/.\-_])/)
    .flatMap((part, index) => (index === 0 ? [part] : [<wbr key={`${index}`} />, part]));
}

function ArrowRow({ row, lanes }: { readonly row: UpdateRow; readonly lanes: Lanes }): JSX.Element {
  const from = middle(lanes, 'agent', row.agent ?? NO_AGENT);
  const to = middle(lanes, 'namespace', row.namespace);
  const isOther = !lanes.namespaces.includes(row.namespace);
  const key = keysText(row);
  return (
    <>
      <span class="seq-at mono muted num">
        <span>{time(row.at)}</span>
        <span>{count(row.position)}</span>
      </span>
      <span class={`seq-field ${row.operation}`}>
        {lanes.agents.map((name) => (
          <span key={`a${name}`} class="lane" style={{ left: `${middle(lanes, 'agent', name)}%` }} />
        ))}
        {lanes.namespaces.map((name) => (
          <span key={`n${name}`} class="lane" style={{ left: `${middle(lanes, 'namespace', name)}%` }} />
        ))}
        <span class="arrow" style={{ left: `${from}%`, width: `${to - from}%` }}>
          <span class="arrow-text ellipsis">
            <b>{wordOf(row)}</b> {isOther ? `${row.namespace} ${key}` : key}
          </span>
        </span>
      </span>
    </>
  );
}

/** Both ends by name, and the arrow between them. */
function NarrowRow({ row }: { readonly row: UpdateRow }): JSX.Element {
  return (
    <span class={`seq-narrow ${row.operation}`}>
      <span class="seq-ends">
        <strong class="seq-name">{breakable(row.agent ?? NO_AGENT)}</strong>
        <span class="seq-line" />
        <span class="seq-name">{breakable(row.namespace)}</span>
      </span>
      <span class="seq-what">
        <span class="mono ellipsis grow">
          <b>{wordOf(row)}</b> {keysText(row)}
        </span>
        <span class="muted num small-text">{time(row.at)}</span>
      </span>
    </span>
  );
}

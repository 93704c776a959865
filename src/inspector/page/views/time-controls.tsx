import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { UpdateFilter, UpdatePage, ViewDetail } from '../../data-protocol.ts';
import { get } from '../api.ts';
import { clock } from '../clock.ts';
import { count } from '../format.ts';
import { subscribe } from '../live.ts';
import { route, setParams } from '../router.ts';
import { Icon } from '../ui/icons.tsx';
import { Badge, IconButton } from '../ui/parts.tsx';
import { isFiltered, TimeFilter, timeFilterOf } from './time-filter.tsx';
import { Timeline, TimelineAxis, useTimeline } from './timeline.tsx';

/** Updates per second. */
const SPEEDS = [1, 5, 20, 100, 1_000] as const;
/** Shortest time between two steps while playing, milliseconds. */
const FRAME_MS = 100;

interface ControlsProps {
  readonly range: ViewDetail;
  readonly at: number;
  readonly other: number | undefined;
  readonly onMove: (to: number) => void;
  /** The log has grown. */
  readonly onGrow: () => void;
}

/** The slider over the log, with its buttons and filter. */
export function TimeControls({ range, at, other, onMove, onGrow }: ControlsProps): JSX.Element {
  const { first, last } = range;
  const [speed, setSpeed] = useState<number>(20);
  const [isPlaying, setPlaying] = useState(false);
  const isAtEnd = at >= last;
  const { params } = route.value;
  const points = useTimeline(range);
  const filter = timeFilterOf(params);
  const isOn = isFiltered(filter);
  const step = useStep(at, filter, onMove);
  usePlaying(isPlaying, speed, at, last, onMove, () => setPlaying(false));
  useGrowth(last, onGrow);
  const play = () => {
    if (!isPlaying && isAtEnd) onMove(first);
    setPlaying(!isPlaying);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== ' ') return;
    event.preventDefault();
    play();
  };
  return (
    <section class="card time-controls" aria-label="Position">
      <div class="row wrap">
        <div class="row">
          <IconButton label="To the beginning" icon="first" disabled={at <= first} onClick={() => onMove(first)} />
          <IconButton
            label={isOn ? 'Previous matching update' : 'One update back'}
            icon="back"
            disabled={at <= first}
            onClick={() => step.go(-1)}
          />
          <button type="button" class="button primary square" aria-label={isPlaying ? 'Pause' : 'Play'} onClick={play}>
            <Icon name={isPlaying ? 'pause' : 'play'} />
          </button>
          <IconButton
            label={isOn ? 'Next matching update' : 'One update on'}
            icon="next"
            disabled={isAtEnd}
            onClick={() => step.go(1)}
          />
          <IconButton label="To the end" icon="last" disabled={isAtEnd} onClick={() => onMove(last)} />
        </div>
        <select
          class="input"
          aria-label="Speed, updates per second"
          value={speed}
          onChange={(event) => setSpeed(Number(event.currentTarget.value))}
        >
          {SPEEDS.map((each) => (
            <option key={each} value={each}>
              {count(each)}/s
            </option>
          ))}
        </select>
        <label class="row position-field">
          <span class="muted">Position</span>
          <input
            class="input num"
            type="number"
            min={first}
            max={last}
            value={at}
            aria-label="Position"
            onChange={(event) => onMove(Number(event.currentTarget.value))}
          />
          <span class="muted num">of {count(last)}</span>
        </label>
        <span class="grow" />
        <CompareButton at={at} other={other} />
      </div>
      <Timeline range={range} points={points} at={at} other={other} />
      <input
        class="slider"
        type="range"
        min={first}
        max={last}
        step={1}
        value={at}
        aria-label="Position in the log"
        style={{ '--filled': `${(100 * (at - first)) / Math.max(1, last - first)}%` }}
        onInput={(event) => onMove(Number(event.currentTarget.value))}
        onKeyDown={onKeyDown}
      />
      <TimelineAxis range={range} points={points} />
      <TimeFilter params={params} />
      {step.message !== undefined && (
        <p class="muted small-text" role="status">
          {step.message}
        </p>
      )}
    </section>
  );
}

/** Goes to the neighbouring update, or with a filter to the nearest one that matches. */
function useStep(
  at: number,
  filter: UpdateFilter,
  onMove: (to: number) => void,
): { readonly go: (direction: 1 | -1) => void; readonly message: string | undefined } {
  const [message, setMessage] = useState<string | undefined>(undefined);
  useEffect(() => setMessage(undefined), [at, filter.namespace, filter.agent]);
  const find = async (direction: 1 | -1) => {
    try {
      const found = await neighbour(at, direction, filter);
      if (found !== undefined) return onMove(found);
      setMessage(direction < 0 ? 'No earlier update matches the filter.' : 'No later update matches the filter.');
    } catch (error) {
      setMessage((error as Error).message);
    }
  };
  return { go: (direction) => (isFiltered(filter) ? void find(direction) : onMove(at + direction)), message };
}

async function neighbour(at: number, direction: 1 | -1, filter: UpdateFilter): Promise<number | undefined> {
  if (direction > 0) {
    const { items } = await get('GET /api/updates', { ...filter, around: at, limit: 2 });
    return items.findLast(({ position }) => position > at)?.position;
  }
  for (let before: string | number | null = at; before !== null; ) {
    const page: UpdatePage = await get('GET /api/updates', { ...filter, before, limit: 1 });
    const [found] = page.items;
    if (found !== undefined) return found.position;
    before = page.next;
  }
  return undefined;
}

/** Plays on until the end. Above ten updates a second it takes several at a time. */
function usePlaying(
  isPlaying: boolean,
  speed: number,
  at: number,
  last: number,
  onMove: (to: number) => void,
  onEnd: () => void,
): void {
  const now = useRef({ at, last });
  now.current = { at, last };
  useEffect(() => {
    if (!isPlaying) return;
    const wait = Math.max(FRAME_MS, 1_000 / speed);
    const step = Math.max(1, Math.round((speed * wait) / 1_000));
    return clock.every(wait, () => {
      const next = Math.min(now.current.last, now.current.at + step);
      onMove(next);
      if (next >= now.current.last) onEnd();
    });
  }, [isPlaying, speed]);
}

/** Extends the slider when the log has grown, once a second. */
function useGrowth(last: number, onGrow: () => void): void {
  const known = useRef(last);
  known.current = last;
  useEffect(() => subscribe({ feed: 'overview' }, ({ sample }) => sample.position > known.current && onGrow()), []);
}

function CompareButton({ at, other }: { readonly at: number; readonly other: number | undefined }): JSX.Element {
  if (other === undefined) {
    return (
      <button type="button" class="button" onClick={() => setParams({ b: at })}>
        Compare from here
      </button>
    );
  }
  return (
    <div class="row wrap">
      <Badge tone="accent">compared with {count(other)}</Badge>
      <button type="button" class="button small" onClick={() => setParams({ at: other, b: at })}>
        Swap
      </button>
      <button type="button" class="button small" onClick={() => setParams({ b: undefined })}>
        Stop comparing
      </button>
    </div>
  );
}

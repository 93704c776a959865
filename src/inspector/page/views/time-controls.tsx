import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ViewDetail } from '../../data-protocol.ts';
import { get } from '../api.ts';
import { clock } from '../clock.ts';
import { count, dateTime, time } from '../format.ts';
import { subscribe } from '../live.ts';
import { useLoaded } from '../load.ts';
import { setParams } from '../router.ts';
import { Icon } from '../ui/icons.tsx';
import { Badge, IconButton } from '../ui/parts.tsx';

/** Updates a second. */
const SPEEDS = [1, 5, 20, 100, 1_000] as const;
/** A step of what plays is never shorter. */
const FRAME_MS = 100;
/** Bars above the slider. */
const BARS = 120;

interface ControlsProps {
  readonly range: ViewDetail;
  readonly at: number;
  readonly other: number | undefined;
  readonly onMove: (to: number) => void;
  /** The log has grown. */
  readonly onGrow: () => void;
}

/** The slider over the log, and what moves it. */
export function TimeControls({ range, at, other, onMove, onGrow }: ControlsProps): JSX.Element {
  const { first, last } = range;
  const [speed, setSpeed] = useState<number>(20);
  const [isPlaying, setPlaying] = useState(false);
  const isAtEnd = at >= last;
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
    <section class="card time-controls" aria-label="The moment">
      <div class="row wrap">
        <div class="row">
          <IconButton label="To the beginning" icon="first" disabled={at <= first} onClick={() => onMove(first)} />
          <IconButton label="One update back" icon="back" disabled={at <= first} onClick={() => onMove(at - 1)} />
          <button type="button" class="button primary square" aria-label={isPlaying ? 'Pause' : 'Play'} onClick={play}>
            <Icon name={isPlaying ? 'pause' : 'play'} />
          </button>
          <IconButton label="One update on" icon="next" disabled={isAtEnd} onClick={() => onMove(at + 1)} />
          <IconButton label="To the end" icon="last" disabled={isAtEnd} onClick={() => onMove(last)} />
        </div>
        <select
          class="input"
          aria-label="Speed, updates a second"
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
      <Timeline range={range} />
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
      <div class="row slider-ends muted small-text num">
        <span>{range.firstAt === null ? `position ${count(first)}` : dateTime(range.firstAt)}</span>
        <span class="grow" />
        <span>{range.lastAt === null ? `position ${count(last)}` : dateTime(range.lastAt)}</span>
      </div>
    </section>
  );
}

/** Moves on while it plays; what is faster than the frames goes several updates at a time. */
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

/** The slider's end moves with the log, once a second. */
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
        Exchange
      </button>
      <button type="button" class="button small" onClick={() => setParams({ b: undefined })}>
        End comparing
      </button>
    </div>
  );
}

/** How busy it was: the higher a bar, the more updates a second there were in its part of the log. */
function Timeline({ range }: { readonly range: ViewDetail }): JSX.Element {
  const { value } = useLoaded((signal) => get('GET /api/timeline', { points: BARS }, signal), ['timeline']);
  const points = value?.points ?? [];
  const rates = points.slice(1).map((point, place) => {
    const before = points[place];
    const seconds = before === undefined ? 1 : Math.max(0.001, (point.at - before.at) / 1_000);
    return before === undefined ? 0 : (point.position - before.position) / seconds;
  });
  const highest = Math.log1p(Math.max(1, ...rates));
  const span = Math.max(1, range.last - range.first);
  return (
    <svg
      class="timeline"
      viewBox="0 0 1000 44"
      preserveAspectRatio="none"
      role="img"
      aria-label="Updates a second over the log"
    >
      {rates.map((rate, place) => {
        const [from, to] = [points[place], points[place + 1]];
        if (from === undefined || to === undefined) return null;
        const x = ((from.position - range.first) / span) * 1_000;
        const width = ((to.position - from.position) / span) * 1_000;
        const height = 3 + (Math.log1p(rate) / highest) * 40;
        return (
          <rect key={from.position} x={x} y={44 - height} width={Math.max(0.5, width - 1)} height={height}>
            <title>{`${time(from.at)}, position ${count(from.position)}: ${count(Math.round(rate))} updates a second`}</title>
          </rect>
        );
      })}
    </svg>
  );
}

import type { JSX } from 'preact';
import type { ViewDetail } from '../../data-protocol.ts';
import { get } from '../api.ts';
import { count, dateTime, short, time } from '../format.ts';
import { useLoaded } from '../load.ts';

/** Bars at most. */
const BARS = 120;
const HEIGHT = 64;
/** Parts of the log's length at which the axis has a label. */
const TICKS = [0, 0.25, 0.5, 0.75, 1];

interface Point {
  readonly position: number;
  readonly at: number;
}

/** Loads when positions were written, and again whenever the log has grown by about a tenth. */
export function useTimeline({ last }: ViewDetail): readonly Point[] {
  const { value } = useLoaded(
    (signal) => get('GET /api/timeline', { points: BARS }, signal),
    ['timeline'],
    Math.round(Math.log2(last + 1) * 8),
  );
  return value?.points ?? [];
}

interface Bar {
  readonly from: Point;
  readonly to: Point;
  /** Updates per second. */
  readonly rate: number;
}

interface TimelineProps {
  readonly range: ViewDetail;
  readonly points: readonly Point[];
  readonly at: number;
  /** The position compared with. */
  readonly other: number | undefined;
}

/** Updates per second over the log, on a logarithmic scale, with a line at the position that is shown. */
export function Timeline({ range, points, at, other }: TimelineProps): JSX.Element {
  const bars = barsOf(points);
  const highest = Math.max(1, ...bars.map(({ rate }) => rate));
  const span = Math.max(1, range.last - range.first);
  const x = (position: number) => (100 * (position - range.first)) / span;
  const y = (rate: number) => HEIGHT - 2 - (Math.log1p(rate) / Math.log1p(highest)) * (HEIGHT - 8);
  const powers = [1, 10, 100, 1_000, 10_000, 100_000].filter((power) => power < highest && power * 200 > highest);
  return (
    <figure class="timeline bare-set" aria-label="Updates per second over the log">
      <figcaption class="timeline-legend small-text soft">
        <span>
          <span class="legend-bar" /> updates per second, logarithmic, at most {short(highest)}
        </span>
        <span>
          <span class="legend-line-mark" /> shown
        </span>
        {other !== undefined && (
          <span>
            <span class="legend-line-mark other" /> compared with
          </span>
        )}
      </figcaption>
      <div class="timeline-plot">
        <svg viewBox={`0 0 100 ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
          {other !== undefined && (
            <rect class="between" x={x(Math.min(at, other))} y={0} width={Math.abs(x(at) - x(other))} height={HEIGHT} />
          )}
          {bars.map(({ from, to, rate }) => (
            <rect
              key={from.position}
              class={from.position < at ? 'bar is-past' : 'bar'}
              x={x(from.position)}
              y={y(rate)}
              width={Math.max(0.05, (x(to.position) - x(from.position)) * 0.9)}
              height={HEIGHT - y(rate)}
            >
              <title>{`${time(from.at)}, position ${count(from.position)}: ${count(Math.round(rate))} updates per second`}</title>
            </rect>
          ))}
          {powers.map((power) => (
            <line key={power} class="grid" x1={0} x2={100} y1={y(power)} y2={y(power)} />
          ))}
        </svg>
        {powers.map((power) => (
          <span key={power} class="timeline-tick num" style={{ top: `${y(power)}px` }}>
            {short(power)}/s
          </span>
        ))}
        <span class="timeline-mark" style={{ left: `${x(at)}%` }} />
        {other !== undefined && <span class="timeline-mark other" style={{ left: `${x(other)}%` }} />}
      </div>
    </figure>
  );
}

/** Positions and times below the slider. */
export function TimelineAxis({ range, points }: Pick<TimelineProps, 'range' | 'points'>): JSX.Element {
  const ticks = range.last - range.first < TICKS.length ? [0, 1] : TICKS;
  return (
    <div class="timeline-axis small-text num" aria-hidden="true">
      {ticks.map((part) => {
        const position = Math.round(range.first + part * (range.last - range.first));
        const at = instantOf(position, points, range);
        return (
          <span key={part} class={part > 0 && part < 1 ? 'wide-only' : ''} style={{ left: `${part * 100}%` }}>
            <b>{count(position)}</b>
            <span class="muted">{at === null ? '' : part === 0 || part === 1 ? dateTime(at) : time(at)}</span>
          </span>
        );
      })}
    </div>
  );
}

/** Returns when a position was written, or the nearest known position before it. */
function instantOf(position: number, points: readonly Point[], { last, firstAt, lastAt }: ViewDetail): number | null {
  if (position >= last) return lastAt;
  return points.findLast((point) => point.position <= position)?.at ?? firstAt;
}

function barsOf(points: readonly Point[]): Bar[] {
  return points.slice(1).flatMap((to, index): Bar[] => {
    const from = points[index];
    if (from === undefined) return [];
    const seconds = Math.max(0.001, (to.at - from.at) / 1_000);
    return [{ from, to, rate: (to.position - from.position) / seconds }];
  });
}

import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { time } from '../format.ts';
import { colour, paint } from './theme.ts';

/** A line of a chart. */
export interface Series {
  readonly name: string;
  readonly values: readonly (number | null)[];
}

interface ChartProps {
  readonly label: string;
  /** Instants in epoch milliseconds, as many as each series has values. */
  readonly at: readonly number[];
  readonly series: readonly Series[];
  readonly format: (value: number) => string;
  /** Spans in which nothing was measured; they are shaded. */
  readonly gaps?: readonly Gap[];
  /** Explains something about the lines, below them. */
  readonly note?: string | undefined;
  readonly height?: number;
}

/** Epoch milliseconds. */
export interface Gap {
  readonly from: number;
  readonly to: number;
}

/** A chart over time. The legend shows the values under the pointer, or the last ones. */
export function Chart({ label, at, series, format, gaps = [], note, height = 150 }: ChartProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const [under, setUnder] = useState<number | undefined>(undefined);
  const repaint = paint.value;
  const names = series.map(({ name }) => name).join('\n');
  const shaded = useRef(gaps);
  shaded.current = gaps;

  useEffect(() => {
    const host = box.current;
    if (host === null) return;
    const options = optionsOf(series.length, format, host.clientWidth, height, setUnder, () => shaded.current);
    const made = new uPlot(options, dataOf(at, series), host);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: host.clientWidth, height }));
    observer.observe(host);
    return () => {
      observer.disconnect();
      made.destroy();
    };
  }, [repaint, names, height]);

  useEffect(() => plot.current?.setData(dataOf(at, series)), [at, series]);

  const shown = under ?? at.length - 1;
  return (
    <figure class="bare-set" aria-label={`${label}: ${sentence(series, at.length - 1, format)}`}>
      <div class="legend-line">
        <Legend series={series} index={shown} format={format} />
        <span class="muted num">{at[shown] === undefined ? '' : time(at[shown])}</span>
      </div>
      <div ref={box} class="chart" />
      {note !== undefined && <figcaption class="chart-note muted">{note}</figcaption>}
    </figure>
  );
}

interface LegendProps {
  readonly series: readonly Series[];
  readonly index: number;
  readonly format: (value: number) => string;
}

function Legend({ series, index, format }: LegendProps): JSX.Element {
  return (
    <div class="legend">
      {series.map(({ name, values }, place) => (
        <span key={name}>
          <span class={`legend-mark s${(place % 4) + 1}`} />
          {name} <b>{shownValue(values[index], format)}</b>
        </span>
      ))}
    </div>
  );
}

const shownValue = (value: number | null | undefined, format: (value: number) => string): string =>
  value === null || value === undefined ? '–' : format(value);

const sentence = (series: readonly Series[], index: number, format: (value: number) => string): string =>
  series.map(({ name, values }) => `${name} ${shownValue(values[index], format)}`).join(', ');

function dataOf(at: readonly number[], series: readonly Series[]): uPlot.AlignedData {
  return [at.map((ms) => ms / 1000), ...series.map(({ values }) => [...values])] as uPlot.AlignedData;
}

function optionsOf(
  lines: number,
  format: (value: number) => string,
  width: number,
  height: number,
  onPointer: (index: number | undefined) => void,
  gaps: () => readonly Gap[],
): uPlot.Options {
  const grid = { stroke: colour('border'), width: 1 };
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const axis: uPlot.Axis = { stroke: colour('text-3'), grid, ticks: { show: false }, font };
  const line = (index: number): uPlot.Series => {
    const stroke = colour(`series-${(index % 4) + 1}`);
    const fill = lines === 1 ? stroke.replace('rgb(', 'rgba(').replace(')', ', 0.10)') : undefined;
    return { stroke, width: 1.6, points: { show: false }, ...(fill === undefined ? {} : { fill }) };
  };
  return {
    width,
    height,
    padding: [10, 26, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 7 }, y: false },
    scales: { y: { range: (_, __, high) => [0, niceTop(high)] } },
    axes: [
      {
        ...axis,
        grid: { show: false },
        space: 70,
        size: 28,
        values: (_, ticks) => ticks.map((tick) => time(tick * 1000)),
      },
      { ...axis, size: 58, space: 34, values: (_, ticks) => ticks.map((tick) => (tick === 0 ? '0' : format(tick))) },
    ],
    series: [{}, ...Array.from({ length: lines }, (_, index) => line(index))],
    hooks: {
      setCursor: [({ cursor }) => onPointer(cursor.idx ?? undefined)],
      drawClear: [(plot) => shade(plot, gaps())],
    },
  };
}

/** Fills the spans in which nothing was measured, behind the lines; a wide one says so. */
function shade({ ctx, bbox, valToPos }: uPlot, gaps: readonly Gap[]): void {
  const label = 'not measured';
  ctx.save();
  ctx.font = `${Math.round(11 * devicePixelRatio)}px ${getComputedStyle(document.body).fontFamily}`;
  ctx.textAlign = 'center';
  for (const { from, to } of gaps) {
    const left = Math.max(bbox.left, valToPos(from / 1000, 'x', true));
    const width = Math.min(bbox.left + bbox.width, valToPos(to / 1000, 'x', true)) - left;
    if (width <= 0) continue;
    ctx.fillStyle = colour('sunken');
    ctx.fillRect(left, bbox.top, width, bbox.height);
    if (width < ctx.measureText(label).width + 12) continue;
    ctx.fillStyle = colour('text-3');
    ctx.fillText(label, left + width / 2, bbox.top + bbox.height / 2);
  }
  ctx.restore();
}

/** A little above the highest value, and never 0. */
function niceTop(high: number | null): number {
  return high === null || !Number.isFinite(high) || high <= 0 ? 1 : high * 1.12;
}

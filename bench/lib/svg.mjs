import { digits } from './numbers.mjs';

const WIDTH = 640;
const HEIGHT = 360;
const LEFT = 70;
const RIGHT = 190;
const TOP = 40;
const BOTTOM = 50;
const COLORS = ['#1f77b4', '#ff7f0e', '#2ca02c', '#d62728', '#9467bd', '#8c564b', '#17becf', '#7f7f7f'];

/**
 * Draws a curve for each of `lines` (`{ name, points: [[x, y], …] }`), both axes logarithmic; dashed if `limit` is set.
 */
export function plot({ title, x, y, lines }) {
  const points = lines.flatMap((line) => line.points);
  const across = axis(
    points.map((point) => point[0]),
    LEFT,
    WIDTH - RIGHT,
  );
  const up = axis(
    points.map((point) => point[1]),
    HEIGHT - BOTTOM,
    TOP,
  );
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="11">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    text(LEFT, 20, title, 'font-size="14"'),
    ...across.ticks.map((tick) => vertical(across.at(tick), tick)),
    ...up.ticks.map((tick) => horizontal(up.at(tick), tick)),
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x, 'text-anchor="middle"'),
    text(
      14,
      (TOP + HEIGHT - BOTTOM) / 2,
      y,
      `text-anchor="middle" transform="rotate(-90 14 ${(TOP + HEIGHT - BOTTOM) / 2})"`,
    ),
    ...lines.map((line, i) => curve(line, i, across, up)),
    '</svg>',
  ];
  return `${parts.join('\n')}\n`;
}

function axis(values, from, to) {
  const first = Math.floor(Math.log10(Math.min(...values)));
  const last = Math.max(first + 1, Math.ceil(Math.log10(Math.max(...values))));
  return {
    at: (value) => from + ((Math.log10(value) - first) / (last - first)) * (to - from),
    ticks: Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i)),
  };
}

function vertical(x, tick) {
  return `<path d="M${n(x)} ${TOP}V${HEIGHT - BOTTOM}" stroke="#ddd"/>${text(x, HEIGHT - BOTTOM + 16, short(tick), 'text-anchor="middle"')}`;
}

function horizontal(y, tick) {
  return `<path d="M${LEFT} ${n(y)}H${WIDTH - RIGHT}" stroke="#ddd"/>${text(LEFT - 6, y + 4, short(tick), 'text-anchor="end"')}`;
}

function curve({ name, points, limit }, i, across, up) {
  const color = COLORS[i % COLORS.length];
  const places = points.map(([px, py]) => [across.at(px), up.at(py)]);
  const path = places.map(([px, py], j) => `${j === 0 ? 'M' : 'L'}${n(px)} ${n(py)}`).join('');
  const [endX, endY] = [WIDTH - RIGHT + 12, TOP + 14 + i * 16];
  return [
    `<path d="${path}" fill="none" stroke="${color}" stroke-width="2"${limit ? ' stroke-dasharray="5 4"' : ''}/>`,
    ...places.map(([px, py]) => `<circle cx="${n(px)}" cy="${n(py)}" r="2.5" fill="${color}"/>`),
    text(endX, endY, name, `fill="${color}"`),
  ].join('');
}

function text(x, y, content, more = '') {
  return `<text x="${n(x)}" y="${n(y)}" ${more}>${escaped(content)}</text>`;
}

function escaped(content) {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

function n(value) {
  return String(Math.round(value * 10) / 10);
}

function short(value) {
  if (value >= 1e6) return `${digits(value / 1e6).replace(/\.0+$/, '')} M`;
  if (value >= 1e3) return `${digits(value / 1e3).replace(/\.0+$/, '')} k`;
  return String(Number(value.toPrecision(2)));
}

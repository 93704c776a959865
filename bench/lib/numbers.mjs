import { median } from './passes.mjs';

export function summary(samples) {
  return { median: median(samples), min: Math.min(...samples), max: Math.max(...samples), samples };
}

/** Formats a number by its unit. */
export function show(value, unit) {
  if (unit === 'ns')
    return scaled(value, [
      [1e9, 's'],
      [1e6, 'ms'],
      [1e3, 'µs'],
      [1, 'ns'],
    ]);
  if (unit === 'ms')
    return scaled(value, [
      [1e3, 's'],
      [1, 'ms'],
      [1e-3, 'µs'],
    ]);
  if (unit === 'bytes')
    return scaled(value, [
      [1e6, 'MB'],
      [1e3, 'KB'],
      [1, 'B'],
    ]);
  if (unit === '/s')
    return scaled(value, [
      [1e6, 'M/s'],
      [1e3, 'k/s'],
      [1, '/s'],
    ]);
  if (unit === 'tokens')
    return scaled(value, [
      [1e6, 'M tokens'],
      [1e3, 'k tokens'],
      [1, 'tokens'],
    ]);
  if (unit === 'share') return `${digits(value * 100)} %`;
  throw new Error(`There is no unit ${unit}.`);
}

function scaled(value, scales) {
  const [size, name] = scales.find(([least]) => Math.abs(value) >= least) ?? scales.at(-1);
  return `${digits(value / size)} ${name}`;
}

/** Formats with three significant digits. */
export function digits(value) {
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size >= 100) return value.toFixed(0);
  return size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** Formats a ratio. `times`: multiples of the limit (less is better). `share`: percentage of the limit (more is better). */
export function showRatio(ratio, style) {
  return style === 'times' ? `${digits(ratio)}×` : `${digits(ratio * 100)} %`;
}

/** Returns the ratio of a candidate to the limit in one round. */
export function ratioOf(own, limit, { better, style }) {
  const slowness = better === 'less' ? own / limit : limit / own;
  return style === 'times' ? slowness : 1 / slowness;
}

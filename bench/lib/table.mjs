import { show, showRatio } from './numbers.mjs';

/** Formats a result for a terminal: ratios first, then medians with minimum and maximum. */
export function printed(result) {
  const lines = [`${result.title}  (${result.about})`];
  if (result.quick) lines.push('  a quick run: it shows that the work is done, and nothing of speed');
  for (const oneCase of result.cases) {
    lines.push('', `  ${oneCase.name}`);
    const rows = oneCase.candidates.map((candidate) => rowOf(candidate, result));
    lines.push(...aligned(rows).map((row) => `    ${row}`));
    // Code is not warm in a quick run.
    for (const { text, shown, met } of result.quick ? [] : oneCase.verdicts) {
      lines.push(`    target: ${text} — ${met ? 'reached' : 'NOT reached'} (${shown})`);
    }
  }
  return lines.join('\n');
}

function rowOf(candidate, { metrics, ratioStyle }) {
  const name = `${candidate.name}${candidate.role === 'limit' ? ' (limit)' : ''}`;
  if (candidate.metrics === undefined) return ['', name, candidate.skipped ?? `FAILED: ${candidate.failed}`];
  const { ratio } = candidate;
  const shares =
    ratio === undefined
      ? ''
      : `${showRatio(ratio.median, ratioStyle)} ${range(ratio, (value) => showRatio(value, ratioStyle))}`;
  const values = Object.entries(candidate.metrics).map(([metric, found]) => {
    const { unit, what } = metrics[metric];
    return `${what} ${show(found.median, unit)} ${range(found, (value) => show(value, unit))}`.trim();
  });
  return [shares, name, ...values];
}

function range({ min, max }, shown) {
  return min === max ? '' : `(${shown(min)} – ${shown(max)})`;
}

function aligned(rows) {
  const count = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: count }, (_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]))
      .join('  ')
      .trimEnd(),
  );
}

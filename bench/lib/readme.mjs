import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bestRival } from './goals.mjs';
import { show, showRatio } from './numbers.mjs';

const BEGIN = '<!-- bench:begin -->';
const END = '<!-- bench:end -->';

/** The last full results in a folder, in the order of their names. */
export function readResults(folder) {
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return files.sort().map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')));
}

/** The README's table: of each question the cases that count most, and what was asked for. Made of the results alone. */
export function readmeTable(results) {
  const lines = [
    '| question | limit | here | to the limit | best rival | asked for, and where it stands |',
    '|---|---|---|---|---|---|',
  ];
  for (const result of inOrder(results)) {
    const counting = result.cases.filter(({ headline }) => headline);
    for (const oneCase of counting.length > 0 ? counting : result.cases) lines.push(rowOf(result, oneCase));
  }
  return `${lines.join('\n')}\n\n${measuredOn(results)}`;
}

function inOrder(results) {
  return [...results].sort((a, b) => a.order - b.order || (a.question < b.question ? -1 : 1));
}

function rowOf(result, oneCase) {
  const { main, metrics, ratioStyle } = result;
  const { unit, better } = metrics[main];
  const limit = oneCase.candidates.find(({ role, metrics: found }) => role === 'limit' && found !== undefined);
  const ours = oneCase.candidates.find(({ role, metrics: found }) => role === 'ours' && found !== undefined);
  const rival = bestRival(oneCase, result);
  const value = (candidate) => (candidate === undefined ? '–' : show(candidate.metrics[main].median, unit));
  const times = (candidate) => {
    const [mine, other] = [ours.metrics[main].median, candidate.metrics[main].median];
    return better === 'less' ? other / mine : mine / other;
  };
  const verdicts = oneCase.verdicts.map(({ text, shown, met }) => `${text}: ${met ? '**yes**' : 'not yet'} (${shown})`);
  const cells = [
    `${result.title}: ${oneCase.name}`,
    limit === undefined ? '–' : `${limit.name}, ${value(limit)}`,
    value(ours),
    ours?.ratio === undefined ? '–' : showRatio(ours.ratio.median, ratioStyle),
    rival === undefined || ours === undefined
      ? '–'
      : `${rival.name}, ${value(rival)} (we: ${showRatio(times(rival), 'times')})`,
    verdicts.join('; ') || '–',
  ];
  return `| ${cells.join(' | ')} |`;
}

function measuredOn(results) {
  const machines = new Set(
    results.map(
      ({ machine: { cpu, cores, memoryGb, node } }) => `${cpu}, ${cores} cores, ${memoryGb} GB, Node ${node}`,
    ),
  );
  const days = results.map(({ at }) => at.slice(0, 10)).sort();
  const busy = results.filter(({ machine: { load, cores } }) => load > cores).length;
  const noise =
    busy === 0 ? '' : ` Other programs kept the machine busy during ${busy} of the ${results.length} questions.`;
  const what = 'Medians of fresh processes; "we: 2×" is twice as good as that rival.';
  return `Measured on ${[...machines].join('; on ')}, until ${days.at(-1)}.${noise} ${what}`;
}

/** The text with the table between its marks. */
export function withTable(readme, table) {
  const [before, rest] = readme.split(`${BEGIN}\n`);
  const after = rest?.split(END)[1];
  if (after === undefined) throw new Error(`README.md has no ${BEGIN} … ${END}.`);
  return `${before}${BEGIN}\n${table}\n${END}${after}`;
}

/** Whether the README says what the results say. */
export function readmeAgrees(readmeFile, folder) {
  const readme = readFileSync(readmeFile, 'utf8');
  return withTable(readme, readmeTable(readResults(folder))) === readme;
}

export function writeReadme(readmeFile, folder) {
  writeFileSync(readmeFile, withTable(readFileSync(readmeFile, 'utf8'), readmeTable(readResults(folder))));
}

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bestRival } from './goals.mjs';
import { show, showRatio } from './numbers.mjs';

const BEGIN = '<!-- bench:begin -->';
const END = '<!-- bench:end -->';

/** Reads the last full results in a folder, sorted by name. */
export function readResults(folder) {
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return files.sort().map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')));
}

/** Rows of the short table in the project's README: what an agent project needs first, against what it would use otherwise. */
const SHORT = [
  { question: 'get', case: '1 million keys, 100 namespaces' },
  { question: 'set', case: '10 thousand keys, 1 namespace' },
  { question: 'durable', case: '256 in flight' },
  { question: 'start', case: '1 million keys in 1,000 namespaces' },
  { question: 'memory', case: 'a key, 1 million in a namespace' },
  { question: 'replay', case: 'of a data directory' },
];

/** Returns the full table: the headline cases of each question with limit, best rival and targets. Made from results alone. */
export function fullTable(results) {
  const lines = ['| question | limit | here | to the limit | best rival | targets |', '|---|---|---|---|---|---|'];
  for (const result of inOrder(results)) {
    const counting = result.cases.filter(({ headline }) => headline);
    for (const oneCase of counting.length > 0 ? counting : result.cases) lines.push(row(fullRow(result, oneCase)));
  }
  return `${lines.join('\n')}\n\n${measuredOn(results)}`;
}

/** Returns the short table. Throws if a result or a case of it is missing. */
export function shortTable(results) {
  const rows = SHORT.map(({ question, case: name }) => {
    const result = results.find((each) => each.question === question);
    const oneCase = result?.cases.find((each) => each.name === name);
    if (oneCase === undefined) throw new Error(`bench/results has no "${name}" of the question "${question}".`);
    const [title, limit, here, , rival] = fullRow(result, oneCase);
    return row([title, here, rival, limit]);
  });
  const lines = ['| question | here | best rival | physical limit |', '|---|---|---|---|', ...rows];
  return `${lines.join('\n')}\n\n${measuredOn(results)}`;
}

/** Returns the table of docs/cluster.md: all figures of the cluster itself. */
export function clusterTable(results) {
  const ofCluster = inOrder(results).filter(({ question }) => question.startsWith('cluster-'));
  if (ofCluster.length === 0) return 'There are no results yet.';
  const rows = ofCluster.flatMap(({ title, metrics, cases }) =>
    cases.flatMap(({ name, candidates }) => {
      const ours = candidates.find(({ role, metrics: found }) => role === 'ours' && found !== undefined);
      if (ours === undefined) return [];
      const figures = Object.entries(metrics).map(([key, { unit, what }]) =>
        `${what} ${show(ours.metrics[key].median, unit)}`.trim(),
      );
      return [row([`${title.replace('a cluster: ', '')}: ${name}`, figures.join('; ')])];
    }),
  );
  return `${['| question | figures |', '|---|---|', ...rows].join('\n')}\n\n${measuredOn(ofCluster, 'Medians of fresh processes.')}`;
}

const row = (cells) => `| ${cells.join(' | ')} |`;

function inOrder(results) {
  return [...results].sort((a, b) => a.order - b.order || (a.question < b.question ? -1 : 1));
}

/** The cells of a row: question, limit, here, ratio to the limit, best rival, targets. */
function fullRow(result, oneCase) {
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
  const verdicts = oneCase.verdicts.map(
    ({ text, shown, met }) => `${text}: ${met ? '**reached**' : 'not yet'} (${shown})`,
  );
  return [
    `${result.title}: ${oneCase.name}`,
    limit === undefined ? '–' : `${limit.name}, ${value(limit)}`,
    value(ours),
    ours?.ratio === undefined ? '–' : showRatio(ours.ratio.median, ratioStyle),
    rival === undefined || ours === undefined
      ? '–'
      : `${rival.name}, ${value(rival)} (here ${showRatio(times(rival), 'times')})`,
    verdicts.join('; ') || '–',
  ];
}

function measuredOn(results, what = 'Medians of fresh processes; "here 2×" is twice as good as that rival.') {
  const machines = new Set(
    results.map(
      ({ machine: { cpu, cores, memoryGb, node } }) => `${cpu}, ${cores} cores, ${memoryGb} GB, Node ${node}`,
    ),
  );
  const days = results.map(({ at }) => at.slice(0, 10)).sort();
  const busy = results.filter(({ machine: { load, cores } }) => load > cores).length;
  const noise =
    busy === 0 ? '' : ` Other programs kept the machine busy during ${busy} of the ${results.length} questions.`;
  return `Measured on ${[...machines].join('; on ')}, until ${days.at(-1)}.${noise} ${what}`;
}

/** Returns the page with the table between its marks. */
export function withTable(page, table) {
  const [before, rest] = page.split(`${BEGIN}\n`);
  const after = rest?.split(END)[1];
  if (after === undefined) throw new Error(`The page has no ${BEGIN} … ${END}.`);
  return `${before}${BEGIN}\n${table}\n${END}${after}`;
}

/** Returns the pages that do not say what the results say. */
export function staleTables(pages, folder) {
  return written(pages, folder)
    .filter(({ page, text }) => text !== readFileSync(page, 'utf8'))
    .map(({ page }) => page);
}

/** Writes the tables into their pages: `{ readme, bench, cluster }`, the files of the short, the full and the cluster's one. */
export function writeTables(pages, folder) {
  for (const { page, text } of written(pages, folder)) writeFileSync(page, text);
}

function written({ readme, bench, cluster }, folder) {
  const results = readResults(folder);
  return [
    { page: readme, text: withTable(readFileSync(readme, 'utf8'), shortTable(results)) },
    { page: bench, text: withTable(readFileSync(bench, 'utf8'), fullTable(results)) },
    { page: cluster, text: withTable(readFileSync(cluster, 'utf8'), clusterTable(results)) },
  ];
}

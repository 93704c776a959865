// The bench. `npm run bench [-- part of a question's name …] [-- --quick]`; see bench/README.md.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from '../scripts/build.mjs';
import { installRivals } from './lib/install.mjs';
import { machine, versions } from './lib/machine.mjs';
import { endChildren } from './lib/measure.mjs';
import { ask, questionNames } from './lib/question.mjs';
import { plot } from './lib/svg.mjs';
import { printed } from './lib/table.mjs';
import { staleTables, writeTables } from './lib/tables.mjs';
import { runDirectory } from './lib/temp.mjs';

const bench = import.meta.dirname;
const { values: options, positionals: filters } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    large: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    seed: { type: 'string', default: '1' },
    profile: { type: 'string' },
    case: { type: 'string' },
    list: { type: 'boolean', default: false },
    'write-tables': { type: 'boolean', default: false },
    'check-tables': { type: 'boolean', default: false },
    readme: { type: 'string', default: join(bench, '..', 'README.md') },
    'bench-readme': { type: 'string', default: join(bench, 'README.md') },
    'cluster-page': { type: 'string', default: join(bench, '..', 'docs/cluster.md') },
  },
});
const kept = join(bench, 'results');
/** The pages with the short table, the full one, and that of a cluster. */
const pages = { readme: options.readme, bench: options['bench-readme'], cluster: options['cluster-page'] };

async function main() {
  const names = questionNames(readdirSync(bench)).filter(isMeant);
  if (options['check-tables']) return checkTables();
  if (options['write-tables']) return writeTables(pages, kept);
  if (options.list) return console.log(names.join('\n'));
  if (names.length === 0) throw new Error(`No question is called ${filters.join(' ')}: see --list.`);
  if (!(await build({ ifNeeded: true }))) throw new Error('The library could not be built.');
  installRivals();
  await askAll(names);
}

/** A filter that is a whole name selects that question alone; any other selects all names that contain it. */
function isMeant(name, _, all) {
  return filters.length === 0 || filters.some((part) => (all.includes(part) ? name === part : name.includes(part)));
}

function checkTables() {
  for (const page of staleTables(pages, kept)) {
    console.error(`${page} does not say what bench/results says. Run: node bench/run.mjs --write-tables`);
    process.exitCode = 1;
  }
}

async function askAll(names) {
  const { quick, large } = options;
  const about = { at: new Date().toISOString(), machine: machine(), versions: versions() };
  const run = {
    scale: { quick, large },
    seed: Number(options.seed),
    rounds: Number(options.rounds ?? (quick ? 1 : 5)),
    temp: runDirectory(),
    profileDir: options.profile,
    onlyCase: options.case,
    say: (text) => process.stderr.write(`${text}\n`),
  };
  console.log(
    `${Object.entries(about.machine)
      .map(([key, value]) => `${key} ${value}`)
      .join(', ')}`,
  );
  console.log(
    `${Object.entries(about.versions)
      .map(([key, value]) => `${key} ${value}`)
      .join(', ')}\n`,
  );
  // A run of some cases only, or under a profiler, is not a result.
  const isWhole = options.profile === undefined && options.case === undefined;
  const folder = quick ? join(kept, 'quick') : kept;
  mkdirSync(folder, { recursive: true });
  for (const [name, question] of await loaded(names)) {
    const began = performance.now();
    const result = { ...about, ...(await ask(name, question, run)), seconds: 0 };
    result.seconds = Math.round((performance.now() - began) / 1_000);
    console.log(`${printed(result)}\n`);
    if (result.cases.some(({ candidates }) => candidates.some(({ failed }) => failed !== undefined)))
      process.exitCode = 1;
    if (!isWhole) continue;
    keep(folder, name, result, question);
    if (!quick) writeTables(pages, kept);
  }
}

/** Runs the questions in their own order. */
async function loaded(names) {
  const questions = await Promise.all(names.map(async (name) => [name, (await import(`./${name}.mjs`)).default]));
  return questions.sort(([, a], [, b]) => a.order - b.order);
}

function keep(folder, name, result, { plots }) {
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(result, undefined, 1)}\n`);
  for (const [id, drawn] of Object.entries(plots?.(result) ?? {})) {
    if (drawn.lines.some(({ points }) => points.length > 0))
      writeFileSync(join(folder, `${name}-${id}.svg`), plot(drawn));
  }
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    endChildren();
    process.exit(1);
  });
}
process.on('exit', endChildren);
await main();

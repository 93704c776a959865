import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { judge } from './goals.mjs';
import { inFreshProcess } from './measure.mjs';
import { ratioOf, summary } from './numbers.mjs';
import { randomFrom, shuffle } from './random.mjs';
import { startServer } from './servers.mjs';

const QUESTIONS = join(import.meta.dirname, '..');

/**
 * Runs one question: each case in rounds, the candidates of a round one after the other in random order, each in a process of
 * its own. A ratio compares two candidates of the same round.
 */
export async function ask(name, question, run) {
  const { scale, seed, temp, say, onlyCase = '' } = run;
  const servers = await startServers(question, temp);
  try {
    const cases = [];
    for (const oneCase of question.cases(scale).filter((each) => each.name.includes(onlyCase))) {
      say(`${name}: ${oneCase.name}`);
      cases.push(await askCase(name, question, oneCase, { ...run, servers, random: randomFrom(seed) }));
    }
    return judged(name, question, cases, run);
  } finally {
    for (const server of Object.values(servers)) await server?.stop();
  }
}

function judged(name, question, cases, { rounds, seed, scale }) {
  const { title, about, metrics, ratioStyle = 'times', goals = [], order = 100 } = question;
  const main = Object.keys(metrics)[0];
  const result = {
    question: name,
    order,
    title,
    about,
    rounds,
    seed,
    quick: scale.quick,
    metrics,
    main,
    ratioStyle,
    goals,
    cases,
  };
  for (const oneCase of cases) oneCase.verdicts = judge(result, oneCase);
  return result;
}

async function startServers({ servers: wanted = {} }, temp) {
  const servers = {};
  for (const [kind, args] of Object.entries(wanted)) servers[kind] = await startServer(kind, temp.make(kind), args);
  return servers;
}

async function askCase(name, question, oneCase, run) {
  const { scale, seed, temp, servers, rounds, profileDir, random, say } = run;
  const file = join(QUESTIONS, `${name}.mjs`);
  const urls = Object.fromEntries(Object.entries(servers).map(([kind, server]) => [kind, server?.url]));
  const context = { case: oneCase, scale, seed, ...urls };
  const shared = temp.make('shared');
  const candidates = question.candidates.filter(({ suits }) => suits === undefined || suits(oneCase));
  const found = new Map(
    candidates.map(({ name: who }) => [who, { samples: [], skipped: undefined, failed: undefined }]),
  );
  for (const candidate of candidates) found.get(candidate.name).skipped = missing(candidate, question, urls);
  if (question.prepare !== undefined) {
    context.prepared = await inFreshProcess(file, 'prepare', { ...context, dir: shared });
  }
  for (let round = 0; round < (oneCase.rounds ?? rounds); round += 1) {
    for (const candidate of shuffle([...candidates], random)) {
      const { name: who } = candidate;
      const own = found.get(who);
      if (own.skipped !== undefined || own.failed !== undefined) continue;
      const dir = temp.make('candidate');
      try {
        own.samples.push(
          await inFreshProcess(file, 'measure', { ...context, candidate: who, round, dir, shared }, { profileDir }),
        );
      } catch (error) {
        own.failed = error.message;
        say(`${name}: ${oneCase.name}: ${who} FAILED: ${error.message}`);
      } finally {
        temp.remove(dir);
      }
    }
  }
  temp.remove(shared);
  return summaryOf(oneCase, candidates, found, question);
}

function missing({ skip }, { servers = {} }, urls) {
  const absent = Object.keys(servers).find((kind) => urls[kind] === undefined);
  if (absent !== undefined) return `skipped: no ${absent}-server on this machine`;
  const reason = skip?.();
  return reason === undefined ? undefined : `skipped: ${reason}`;
}

function summaryOf(oneCase, candidates, found, { metrics, ratioStyle: style = 'times' }) {
  const main = Object.keys(metrics)[0];
  const { better } = metrics[main];
  const limit = candidates.find(({ role }) => role === 'limit');
  const limits = limit === undefined ? [] : found.get(limit.name).samples;
  const rows = candidates.map(({ name, role, traits }) => {
    const { samples, skipped, failed } = found.get(name);
    if (samples.length === 0 || failed !== undefined) return { name, role, traits, skipped, failed };
    const ratios = samples.flatMap((sample, round) =>
      limits[round] === undefined ? [] : [ratioOf(sample[main], limits[round][main], { better, style })],
    );
    const own = Object.keys(metrics).filter((metric) => samples[0][metric] !== undefined);
    return {
      name,
      role,
      traits,
      ratio: ratios.length === 0 ? undefined : summary(ratios),
      metrics: Object.fromEntries(own.map((metric) => [metric, summary(samples.map((sample) => sample[metric]))])),
    };
  });
  const { name, headline, goals, ...parameters } = oneCase;
  return { name, headline, goals, parameters, candidates: rows };
}

/** Returns the names of the questions, which are the names of their files. */
export function questionNames(files) {
  return files
    .filter((file) => file.endsWith('.mjs') && file !== 'run.mjs')
    .filter((file) => readFileSync(join(QUESTIONS, file), 'utf8').includes('export default'))
    .map((file) => file.slice(0, -'.mjs'.length));
}

import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import type { AgentContextCache } from '../../index.ts';
import { duration, integer } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { packageFile } from '../package-file.ts';
import { Serving } from '../serving.ts';
import { shownCount } from '../terminal/format.ts';
import { interruption } from '../terminal/signals.ts';
import { reportUnfinished } from './serve.ts';

interface DemoFlags {
  readonly every: number;
  readonly trips?: number;
}

/** The example agents, `examples/trip-agents.mjs` of this package. */
interface TripAgents {
  tripsStarted(cache: AgentContextCache): number;
  playTrips(
    cache: AgentContextCache,
    options: {
      readonly say: (agent: string, text: string) => Promise<void>;
      readonly everyMs: number;
      readonly trips: number;
      readonly signal: AbortSignal;
    },
  ): Promise<void>;
}

/** `demo`: a few agents that share context in a served directory. */
export function addDemo(program: Command, session: Session): void {
  const demo = program
    .command('demo')
    .description('serve the data directory and run three example agents in it, until Ctrl-C')
    .option('--every <duration>', 'time between two steps', duration, 2_000)
    .option('--trips <count>', 'stop after this many trips', integer);
  example(demo, 'demo', 'demo --every 1ms --trips 2');
  does<DemoFlags>(session, demo, runDemo);
}

async function runDemo({ output, dataDir, options }: Context<DemoFlags>): Promise<undefined> {
  using interrupted = interruption();
  const unread = new AbortController();
  const signal = AbortSignal.any([interrupted.signal, unread.signal]);
  const say = async (agent: string, text: string) => {
    try {
      await (output.json ? output.writeJson({ agent, text }) : output.write(`${`${agent}:`.padEnd(10)}${text}\n`));
    } catch (error) {
      unread.abort(error);
    }
  };
  const { playTrips, tripsStarted } = await tripAgents();
  const serving = await Serving.start({ dataDir, output, cache: {} });
  try {
    output.message(introduction(dataDir, serving, tripsStarted(serving.cache)));
    const stopExpiries = serving.cache.subscribe(({ operation, namespace, key }) => {
      if (operation === 'expire') say('cache', `${key} of ${namespace} has expired`);
    });
    const trips = options.trips ?? Number.POSITIVE_INFINITY;
    await playTrips(serving.cache, { say, everyMs: options.every, trips, signal });
    stopExpiries();
  } finally {
    const { position } = serving.cache;
    reportUnfinished(output, await serving.close(5_000));
    output.message(`Stopped at position ${shownCount(position)}. The next start continues there.`);
  }
}

/** The agents are an example to read, so they stay outside of `dist`; the package carries the file. */
async function tripAgents(): Promise<TripAgents> {
  const file = join(dirname(packageFile), 'examples', 'trip-agents.mjs');
  return (await import(pathToFileURL(file).href)) as TripAgents;
}

function introduction(dataDir: string, { port, cache }: Serving, trips: number): string {
  const program = process.env.npm_lifecycle_event === 'start' ? 'npm start --' : 'context-cache';
  const directory = dataDir === '.context-cache' ? '' : ` --data-dir ${dataDir}`;
  const commands = [
    ['watch', 'see updates as they happen'],
    ['dump', 'see what the agents share now'],
    ['log', 'see every update so far'],
    [`get plan -n trip-${trips + 1}`, 'read one value'],
    [`set hint '"window seat"' -n trip-${trips + 1}`, 'take part'],
    ['inspect', 'see all of it in the browser'],
    ['--help', 'see all commands'],
  ] as const;
  const typed = commands.map(([command]) => `${program} ${command}${directory}`);
  const width = Math.max(...typed.map((line) => line.length));
  const lines = commands.map(([, purpose], index) => `  ${typed[index]?.padEnd(width)}  ${purpose}`);
  const before = trips === 0 ? '' : ` They continue after position ${shownCount(cache.position)}.`;
  return [
    `Three agents share context in ${resolve(dataDir)}, served on http://127.0.0.1:${port}.${before}`,
    'Try in another terminal:',
    ...lines,
    'Press Ctrl-C to stop.',
    '',
  ].join('\n');
}

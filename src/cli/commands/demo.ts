import { resolve } from 'node:path';
import type { Command } from 'commander';
import { systemClock } from '../../index.ts';
import { duration, integer } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { DemoAgents } from '../demo-agents.ts';
import { Serving } from '../serving.ts';
import { listSnapshots } from '../snapshots.ts';
import { shownCount } from '../terminal/format.ts';
import { interruption } from '../terminal/signals.ts';
import { tellLeftOver } from './serve.ts';

interface DemoFlags {
  readonly every: number;
  readonly trips?: number;
}

/** `demo`: a few agents that share context, on a directory that is served. */
export function addDemo(program: Command, session: Session): void {
  const demo = program
    .command('demo')
    .description('serve the data directory and let a few example agents share context in it, until Ctrl-C')
    .option('--every <duration>', 'between two steps', duration, 2_000)
    .option('--trips <count>', 'end after so many trips', integer);
  example(demo, 'demo', 'demo --every 1ms --trips 2');
  does<DemoFlags>(session, demo, runDemo);
}

async function runDemo({ output, dataDir, options }: Context<DemoFlags>): Promise<undefined> {
  using interrupted = interruption();
  const unread = new AbortController();
  const signal = AbortSignal.any([interrupted.signal, unread.signal]);
  const tell = async (agent: string, text: string) => {
    try {
      await (output.json ? output.writeJson({ agent, text }) : output.write(`${`${agent}:`.padEnd(10)}${text}\n`));
    } catch (error) {
      unread.abort(error);
    }
  };
  const snapshots = () => listSnapshots({ dataDir });
  const serving = await Serving.start({ dataDir, output, cache: {}, snapshots });
  try {
    const agents = new DemoAgents(serving.cache, { clock: systemClock, everyMs: options.every, signal, tell });
    output.message(introduction(dataDir, serving, agents.trips));
    const stopExpiries = serving.cache.subscribe(({ operation, namespace, key }) => {
      if (operation === 'expire') tell('cache', `${key} of ${namespace} has expired`);
    });
    await agents.run(options.trips ?? Number.POSITIVE_INFINITY);
    stopExpiries();
  } finally {
    const { position } = serving.cache;
    tellLeftOver(output, await serving.close(5_000));
    output.message(`Stopped at position ${shownCount(position)}. The next start goes on here.`);
  }
}

function introduction(dataDir: string, { port, cache }: Serving, trips: number): string {
  const program = process.env.npm_lifecycle_event === 'start' ? 'npm start --' : 'context-cache';
  const place = dataDir === '.context-cache' ? '' : ` --data-dir ${dataDir}`;
  const commands = [
    ['watch', 'updates as they come'],
    ['dump', 'what the agents share now'],
    ['log', 'every update there was'],
    [`get plan -n trip-${trips + 1}`, 'one value'],
    [`set hint '"window seat"' -n trip-${trips + 1}`, 'take part'],
    ['inspect', 'all of it in the browser'],
    ['--help', 'everything else'],
  ] as const;
  const typed = commands.map(([command]) => `${program} ${command}${place}`);
  const width = Math.max(...typed.map((line) => line.length));
  const lines = commands.map(([, what], index) => `  ${typed[index]?.padEnd(width)}  ${what}`);
  const before = trips === 0 ? '' : ` It goes on after position ${shownCount(cache.position)}.`;
  return [
    `Three agents share context in ${resolve(dataDir)}, served on http://127.0.0.1:${port}.${before}`,
    'In another terminal:',
    ...lines,
    'Ctrl-C stops it.',
    '',
  ].join('\n');
}

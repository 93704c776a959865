import { cpus } from 'node:os';
import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { bench, type Measured } from '../bench.ts';
import { duration } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { UsageError } from '../terminal/failure.ts';
import { shownCount } from '../terminal/format.ts';
import { Progress } from '../terminal/progress.ts';
import { interruption } from '../terminal/signals.ts';

interface BenchFlags {
  readonly round: number;
}

/** `bench`: measures this machine. */
export function addBench(program: Command, session: Session): void {
  const command = program
    .command('bench')
    .description('measure this machine for a few seconds, on the disk of the data directory')
    .option('--round <duration>', 'length of a round', duration, 200);
  example(command, 'bench', 'bench --round 1s --json');
  does<BenchFlags>(session, command, runBench);
}

async function runBench({ output, dataDir, options }: Context<BenchFlags>): Promise<undefined> {
  using interrupted = interruption();
  const folder = dirname(resolve(dataDir));
  using progress = new Progress(output, 'Measuring');
  const measured = await bench({
    folder,
    roundMs: options.round,
    onQuestion: (question) => progress.turnTo(question),
    signal: interrupted.signal,
  }).catch((error: NodeJS.ErrnoException) => {
    if (error.syscall !== 'mkdtemp') throw error;
    throw new UsageError(
      `Nothing can be written in ${folder} (${error.code}). Name another directory with --data-dir.`,
    );
  });
  progress[Symbol.dispose]();
  const machine = {
    node: process.version,
    processor: cpus()[0]?.model ?? 'unknown',
    processors: cpus().length,
    folder,
  };
  await output.result({ machine, unit: 'operations per second', measured }, measured.map(shown).join('\n'));
  const { node, processor, processors } = machine;
  output.message(
    `Operations per second: median, minimum and maximum of the rounds. Node ${node}, ${processors} × ${processor}, ${folder}.`,
  );
  return undefined;
}

function shown({ question, median, least, most }: Measured): string {
  return `${question.padEnd(36)}${shownCount(median).padStart(12)}  (${shownCount(least)} to ${shownCount(most)})`;
}

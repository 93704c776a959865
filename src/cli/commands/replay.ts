import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type ReplayReport, replay, systemClock } from '../../index.ts';
import type { ReplaySource } from '../../types.ts';
import { positionOrTime } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { UsageError } from '../terminal/failure.ts';
import { shownAmount, shownCount } from '../terminal/format.ts';
import type { Output } from '../terminal/output.ts';
import { Progress } from '../terminal/progress.ts';
import { interruption } from '../terminal/signals.ts';

interface ReplayFlags {
  readonly until?: number | Date;
  readonly repair?: boolean;
  readonly stream?: string;
  readonly subject?: string;
}

/** How long closing the new directory may take, milliseconds. */
const CLOSE_MS = 5_000;

/** `replay`: creates a data directory from a recorded log. */
export function addReplay(program: Command, session: Session): void {
  const command = program
    .command('replay')
    .description('create a data directory from a recorded log')
    .argument(
      '<source>',
      'output of "log", captured messages of a topic ("nats sub"), "-" for standard input, or a data directory',
    )
    .option('--until <view>', 'stop at this position, or time such as 2026-01-31T12:00:00Z', positionOrTime)
    .option('--repair', 'use the readable part of an incomplete log, and report what was left out')
    .option('--stream <name>', 'JetStream stream to read, with a nats:// URL as the source')
    .option('--subject <subject>', 'only messages of this subject, with --stream');
  example(
    command,
    'replay run.ndjson --data-dir replayed',
    'replay run.ndjson --data-dir until-3 --until 3',
    'replay .context-cache --data-dir copy',
    'replay nats://127.0.0.1:4222 --stream AGENTS --data-dir captured',
  );
  does<ReplayFlags>(session, command, runReplay);
}

async function runReplay({ output, dataDir, options, args }: Context<ReplayFlags>): Promise<number | undefined> {
  const source = args[0] ?? '-';
  const { until, repair } = options;
  using interrupted = interruption();
  const startedAt = systemClock.now();
  using progress = new Progress(output, 'Replaying');
  // The replay waits for input, so closing the input is what ends it.
  if (source === '-') interrupted.signal.addEventListener('abort', () => void process.stdin.destroy());
  const { cache, report } = await replay(sourceOf(source, options), {
    dataDir,
    ...{ until, repair, signal: interrupted.signal },
    ...{ natsUrl: null, backup: { enabled: false }, passivateAfterMs: 0 },
    onError: (error) => output.warning(error),
    onProgress: ({ position, fraction }) => progress.count(position, 'updates', fraction),
  }).catch((error) => {
    throw interrupted.signal.aborted ? interrupted.signal.reason : error;
  });
  await cache.shutdown({ timeoutMs: CLOSE_MS });
  progress[Symbol.dispose]();
  await print(output, report, resolve(dataDir), (systemClock.now() - startedAt) / 1_000);
  return undefined;
}

function sourceOf(source: string, { stream, subject }: ReplayFlags): ReplaySource {
  const isNats = /^(nats|tls):\/\//.test(source);
  if (isNats !== (stream !== undefined)) {
    throw new UsageError('A stream needs a NATS URL and --stream: replay nats://host:4222 --stream NAME.');
  }
  if (stream !== undefined) return { natsUrl: source, stream, ...(subject === undefined ? {} : { subject }) };
  if (subject !== undefined) throw new UsageError('--subject needs --stream.');
  return source === '-' ? process.stdin : source;
}

async function print(output: Output, report: ReplayReport, dataDir: string, seconds: number): Promise<void> {
  if (output.json) await output.writeJson({ ...report, seconds });
  for (const { kind, line, position, reason } of report.firstProblems) {
    const location = line === undefined ? `Position ${position}` : `Line ${line}`;
    output.message(`${location} (${kind}): ${reason}`);
  }
  const { updates, namespaces, position, repeated, dropped, missing, inserted, renumberedFrom } = report;
  const kinds = Object.entries(report.problems).map(([kind, count]) => `${shownCount(count)} ${kind}`);
  if (kinds.length > 0) {
    output.message(
      `Problems: ${kinds.join(', ')}. Records left out: ${shownCount(dropped)}; positions missing: ${shownCount(missing)}; drops inserted: ${shownCount(inserted)}.`,
    );
  }
  if (renumberedFrom !== undefined) {
    output.message(
      `From recorded position ${shownCount(renumberedFrom)} on, positions or versions differ from the recorded ones.`,
    );
  }
  if (repeated > 0) output.message(`${shownAmount(repeated, 'message')} repeated an earlier one.`);
  const counts = `${shownAmount(updates, 'update')}, ${shownAmount(namespaces, 'namespace')}, position ${shownCount(position)}`;
  output.message(`Replayed into ${dataDir}: ${counts}. ${seconds.toFixed(1)} s.`);
}

import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type ReplayReport, type ReplaySource, replay, systemClock } from '../../index.ts';
import { moment } from '../config/options.ts';
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

/** How long the new directory may take to be left as it should be. */
const CLOSE_MS = 5_000;

/** `replay`: a new data directory out of a recorded log. */
export function addReplay(program: Command, session: Session): void {
  const command = program
    .command('replay')
    .description('make a new data directory out of a recorded log')
    .argument('<source>', 'what "log" has printed, messages of a topic ("nats sub"), "-", or a data directory')
    .option('--until <moment>', 'stop at this position, or at this time (2026-01-31T12:00:00Z)', moment)
    .option('--repair', 'use what can be used of a log that is not whole, and tell what was left out')
    .option('--stream <name>', 'with a nats:// URL as the source: the JetStream stream that holds the messages')
    .option('--subject <subject>', "with --stream: only this subject's messages");
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
  const place = args[0] ?? '-';
  const { until, repair } = options;
  using interrupted = interruption();
  const startedAt = systemClock.now();
  using progress = new Progress(output, 'Replaying');
  const { cache, report } = await replay(sourceOf(place, options), {
    dataDir,
    ...{ until, repair, signal: interrupted.signal },
    ...{ natsUrl: null, backup: { enabled: false }, passivateAfterMs: 0 },
    onError: (error) => output.warning(error),
    onProgress: ({ position, fraction }) => progress.count(position, 'updates', fraction),
  });
  await cache.shutdown({ timeoutMs: CLOSE_MS });
  progress[Symbol.dispose]();
  await tell(output, report, resolve(dataDir), (systemClock.now() - startedAt) / 1_000);
  return undefined;
}

function sourceOf(place: string, { stream, subject }: ReplayFlags): ReplaySource {
  const isNats = /^(nats|tls):\/\//.test(place);
  if (isNats !== (stream !== undefined)) {
    throw new UsageError('A stream is replayed with both: replay nats://host:4222 --stream NAME.');
  }
  if (stream !== undefined) return { natsUrl: place, stream, ...(subject === undefined ? {} : { subject }) };
  if (subject !== undefined) throw new UsageError('--subject belongs to --stream.');
  return place === '-' ? process.stdin : place;
}

async function tell(output: Output, report: ReplayReport, dataDir: string, seconds: number): Promise<void> {
  if (output.json) await output.writeJson({ ...report, seconds });
  for (const { kind, line, position, reason } of report.firstProblems) {
    const place = line === undefined ? `Position ${position}` : `Line ${line}`;
    output.message(`${place} (${kind}): ${reason}`);
  }
  const { updates, namespaces, position, repeated, dropped, missing, inserted, renumberedFrom } = report;
  const kinds = Object.entries(report.problems).map(([kind, count]) => `${shownCount(count)} ${kind}`);
  if (kinds.length > 0) {
    output.message(
      `Problems: ${kinds.join(', ')}. Records left out: ${shownCount(dropped)}; positions missing: ${shownCount(missing)}; drops put in: ${shownCount(inserted)}.`,
    );
  }
  if (renumberedFrom !== undefined) {
    output.message(
      `From recorded position ${shownCount(renumberedFrom)} on, positions or versions are not the recorded ones.`,
    );
  }
  if (repeated > 0) output.message(`${shownAmount(repeated, 'message')} had come before.`);
  const counts = `${shownAmount(updates, 'update')}, ${shownAmount(namespaces, 'namespace')}, position ${shownCount(position)}`;
  output.message(`Replayed into ${dataDir}: ${counts}. ${seconds.toFixed(1)} s.`);
}

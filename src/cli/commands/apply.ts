import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { type Command, Option } from 'commander';
import { RemoteContextCache } from '../../client.ts';
import { isDataDirectory } from '../../engine/restore.ts';
import { AgentContextCache, ContextCacheError, type OpenOptions, type ShutdownReport } from '../../index.ts';
import { type ApplySummary, applyLines } from '../../serve/apply-lines.ts';
import { HttpClient } from '../../serve/http-client.ts';
import { splitLines } from '../../wire/lines.ts';
import { readServeFile } from '../../wire/serve-file.ts';
import { wireError } from '../../wire/wire-error.ts';
import { ApplyReport } from '../apply-report.ts';
import {
  duration,
  natsFor,
  natsOption,
  redisFor,
  redisOption,
  redisPrefixOption,
  subjectIdOption,
  topicOption,
} from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { rehearseInput, rehearseOpening } from '../rehearsal.ts';
import { openOrConnect } from '../target.ts';
import { OutputClosed, UsageError } from '../terminal/failure.ts';
import { interruption } from '../terminal/signals.ts';

interface ApplyFlags {
  readonly ack?: boolean;
  readonly keepGoing?: boolean;
  readonly nats?: string;
  readonly topic?: string[];
  readonly redis?: string;
  readonly redisPrefix?: string;
  readonly subjectId?: string;
  readonly durability?: 'log' | 'memory';
  readonly drainTimeout: number;
}

/** One run of `apply`. */
interface Run {
  input: Readable;
  readonly report: ApplyReport;
  readonly options: ApplyFlags;
  readonly signal: AbortSignal;
}

type Undelivered = ShutdownReport['undelivered'];

/** `apply`: executes the commands of a file. */
export function addApply(program: Command, session: Session): void {
  const apply = program
    .command('apply')
    .description('execute the commands of a file, one JSON object per line')
    .argument('[file]', 'file of commands; "-" is standard input', '-')
    .option('--ack', 'print {"line","position"} for each command when it is durable')
    .option('--keep-going', 'continue after a line that fails')
    .addOption(natsOption('broadcast to this NATS server'))
    .addOption(topicOption())
    .addOption(redisOption('mirror to this Redis server'))
    .addOption(redisPrefixOption())
    .addOption(subjectIdOption())
    .addOption(
      new Option('--durability <when>', 'when a command counts as done: in the log, or in memory')
        .choices(['log', 'memory'])
        .default('log'),
    )
    .option('--drain-timeout <duration>', 'longest wait for NATS and Redis at the end', duration, 60_000);
  example(
    apply,
    'apply commands.ndjson --keep-going',
    'apply commands.ndjson --redis redis://127.0.0.1:6379 --nats nats://127.0.0.1:4222 --topic agents.context',
    'apply commands.ndjson --ack --json',
  );
  does<ApplyFlags>(session, apply, runApply);
}

async function runApply(context: Context<ApplyFlags>): Promise<number> {
  const { output, dataDir, options, args } = context;
  const cache = cacheOptions(options);
  const { input, fraction } = await openInput(args[0] ?? '-');
  using interrupted = interruption();
  const { ack = false, keepGoing = false } = options;
  using report = new ApplyReport({ output, acknowledges: ack, keepGoing, fraction });
  const destroy = () => void input.destroy();
  interrupted.signal.addEventListener('abort', destroy);
  try {
    const run: Run = { input, report, options, signal: interrupted.signal };
    if (!(await isDataDirectory(dataDir)) && (await isRefused(run))) return report.exitCode(interrupted.signal.aborted);
    const opened = await openOrConnect({ dataDir, output, create: true, cache });
    if (opened instanceof RemoteContextCache) {
      await opened.shutdown();
      refuseOwnServers(context);
      await report.finish(await applyServed(dataDir, run), []);
    } else {
      const { summary, undelivered } = await applyHere(opened, run);
      await report.finish(summary, undelivered);
    }
  } finally {
    input.destroy();
  }
  return report.exitCode(interrupted.signal.aborted);
}

function cacheOptions(flags: ApplyFlags): Omit<OpenOptions, 'dataDir' | 'onError'> {
  const { nats, topic, subjectId, durability } = flags;
  return { natsUrl: natsFor(nats, topic) ?? null, redisUrl: redisFor(flags), subjectId, durability };
}

/** Opens the input. A file must exist before a directory is created for its commands. */
async function openInput(file: string): Promise<{ input: Readable; fraction: () => number | undefined }> {
  if (file === '-') return { input: process.stdin, fraction: () => undefined };
  const found = await stat(file).catch((cause) => {
    throw new ContextCacheError('NOT_FOUND', `${file} cannot be read (${cause.code}). Name a file of commands.`, {
      cause,
    });
  });
  if (found.isDirectory()) throw new UsageError(`${file} is a directory. Name a file of commands.`);
  const input = createReadStream(file, { highWaterMark: 256 * 1024 });
  return { input, fraction: () => (found.size === 0 ? undefined : input.bytesRead / found.size) };
}

/**
 * Returns whether the commands are refused before a directory is created for them, and reports the failures. Otherwise
 * the input of the run still has all its bytes.
 */
async function isRefused(run: Run): Promise<boolean> {
  const { options, report } = run;
  const { nats, topic, subjectId, keepGoing = false } = options;
  await rehearseOpening({ nats: natsFor(nats, topic), redis: redisFor(options), topics: topic, cache: { subjectId } });
  const rehearsed = await rehearseInput(run.input, keepGoing);
  run.input = rehearsed.input;
  if (!rehearsed.isRefused) return run.signal.aborted;
  const { topic: _, ...rest } = options;
  const cache = new AgentContextCache({ natsUrl: null, onError: () => {} });
  const { summary } = await applyHere(cache, { ...run, options: rest });
  await report.finish(summary, []);
  return true;
}

async function applyHere(
  cache: AgentContextCache,
  { input, report, signal, options: { topic, durability, keepGoing = false, drainTimeout } }: Run,
): Promise<{ summary: ApplySummary | undefined; undelivered: Undelivered }> {
  let summary: ApplySummary | undefined;
  try {
    if (topic !== undefined) await cache.setTopicsList(topic);
    summary = await applyLines({
      cache,
      lines: splitLines(input),
      keepGoing,
      flush: durability === 'memory',
      signal,
      cancel: () => input.destroy(),
      onOutcomes: (outcomes) =>
        report.take(
          outcomes.map(({ line, position, error }) => ({
            line,
            position,
            error: error === undefined ? undefined : wireError(error),
          })),
        ),
    });
  } catch (error) {
    if (!(error instanceof OutputClosed)) {
      await cache.shutdown({ timeoutMs: drainTimeout });
      throw error;
    }
    report.outputClosed = true;
  }
  report.draining(cache.health().followers);
  const { undelivered } = await cache.shutdown({ timeoutMs: drainTimeout });
  return { summary, undelivered: undelivered.filter(({ follower }) => follower !== 'index') };
}

async function applyServed(dataDir: string, { input, report, signal }: Run): Promise<ApplySummary | undefined> {
  const served = await readServeFile(dataDir);
  if (served === undefined)
    throw new ContextCacheError('UNREACHABLE', `No process serves ${dataDir} any more. Try again.`);
  const client = new HttpClient(served);
  let summary: ApplySummary | undefined;
  try {
    const { acknowledges, keepGoing } = report;
    for await (const lines of client.apply(input, { acknowledges, keepGoing, signal })) {
      const outcomes = lines.flatMap((line) => {
        if ('summary' in line) summary = line.summary;
        return 'summary' in line ? [] : [{ position: 0, error: undefined, ...line }];
      });
      await report.take(outcomes);
    }
  } catch (error) {
    if (error instanceof OutputClosed) report.outputClosed = true;
    else if (!signal.aborted) throw error;
  }
  return summary;
}

function refuseOwnServers({ isFlag }: Context<ApplyFlags>): void {
  const own = (['nats', 'topic', 'redis', 'redisPrefix', 'subjectId', 'durability'] as const).filter(isFlag);
  if (own.length === 0) return;
  throw new UsageError(
    'The directory is served by a process with its own NATS, topics, Redis and durability. Give --nats, --topic and --redis to serve, or stop it.',
  );
}

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { type Command, Option } from 'commander';
import { type AgentContextCache, ContextCacheError, type OpenOptions, type ShutdownReport } from '../../index.ts';
import { type ApplySummary, applyLines } from '../../serve/apply-lines.ts';
import { HttpClient } from '../../serve/http-client.ts';
import { splitLines } from '../../wire/lines.ts';
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

type Undelivered = ShutdownReport['undelivered'];

/** `apply`: the commands of a file. */
export function addApply(program: Command, session: Session): void {
  const apply = program
    .command('apply')
    .description('carry out the commands of a file, one as JSON on each line')
    .argument('[file]', '"-" or none: standard input', '-')
    .option('--ack', 'print {"line", "position"} for each command once it is durable')
    .option('--keep-going', 'go on after a line that fails')
    .addOption(natsOption('broadcast to this NATS'))
    .addOption(topicOption())
    .addOption(redisOption('mirror to this Redis'))
    .addOption(redisPrefixOption())
    .addOption(subjectIdOption())
    .addOption(
      new Option('--durability <when>', 'when a command counts as done').choices(['log', 'memory']).default('log'),
    )
    .option('--drain-timeout <duration>', 'how long NATS and Redis may take at the end', duration, 60_000);
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
  try {
    const opened = await openOrConnect({ dataDir, output, create: true, cache });
    if (opened instanceof HttpClient) {
      mustHaveNothingOfItsOwn(opened, context);
      await report.finish(await applyServed(opened, input, report, interrupted.signal), []);
    } else {
      const { summary, undelivered } = await applyHere(opened, input, report, options, interrupted.signal);
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

/** Before anything is made for it, a file must be there. */
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

async function applyHere(
  cache: AgentContextCache,
  input: Readable,
  report: ApplyReport,
  { topic, durability, keepGoing = false, drainTimeout }: ApplyFlags,
  signal: AbortSignal,
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
  return { summary, undelivered: undelivered.filter(({ follower }) => follower !== 'checkpointer') };
}

async function applyServed(
  client: HttpClient,
  input: Readable,
  report: ApplyReport,
  signal: AbortSignal,
): Promise<ApplySummary | undefined> {
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
  } finally {
    client.close();
  }
  return summary;
}

function mustHaveNothingOfItsOwn(client: HttpClient, { isFlag }: Context<ApplyFlags>): void {
  const own = (['nats', 'topic', 'redis', 'redisPrefix', 'subjectId', 'durability'] as const).filter(isFlag);
  if (own.length === 0) return;
  client.close();
  throw new UsageError(
    'A running "context-cache serve" has the directory; NATS, topics, Redis and durability are its own. Give --nats, --topic and --redis to serve, or stop it.',
  );
}

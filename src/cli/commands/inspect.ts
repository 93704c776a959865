import type { Command } from 'commander';
import { pause } from '../../core/deadline.ts';
import { ContextCacheError, systemClock } from '../../index.ts';
import { startInspector } from '../../inspector.ts';
import type { AttachRequest } from '../../serve/attach-route.ts';
import { HttpClient } from '../../serve/http-client.ts';
import type { ServeFile } from '../../wire/serve-file.ts';
import { CliOption, collect } from '../config/cli-option.ts';
import { port } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { Serving } from '../serving.ts';
import { CLOSE_MS, mustExist, servedBy } from '../target.ts';
import type { Output } from '../terminal/output.ts';
import { aborted, interruption } from '../terminal/signals.ts';

interface InspectFlags {
  readonly port?: number;
  readonly allowWrite?: boolean;
  readonly redact?: readonly string[];
}

/** `inspect`: opens the inspector. */
export function addInspect(program: Command, session: Session): void {
  const inspect = program
    .command('inspect')
    .description('show actors, data, updates and the past in a browser, until Ctrl-C; with --json print the overview')
    .addOption(inSection(new CliOption('--port <port>', 'port of the page (default: a free one)').argParser(port)))
    .addOption(neverInFile(new CliOption('--allow-write', 'allow the page to change entries and take snapshots')))
    .addOption(
      new CliOption(
        '--redact <word>',
        'also hide values with this word in their name, besides tokens and passwords (may be repeated)',
      ).argParser(collect) as CliOption,
    );
  example(inspect, 'inspect', 'inspect --allow-write --redact passport', 'inspect --json');
  does<InspectFlags>(session, inspect, runInspect);
}

function inSection(option: CliOption): CliOption {
  option.inFile = 'section';
  return option;
}

/** Longest wait for the next process that holds a shared directory, and the time between two looks, milliseconds. */
const TAKEOVER_MS = 5_000;
const RETRY_MS = 50;

/** The user's consent, which no file can give. */
function neverInFile(option: CliOption): CliOption {
  option.inFile = 'never';
  return option;
}

async function runInspect({ output, dataDir, options }: Context<InspectFlags>): Promise<undefined> {
  const { allowWrite, redact } = options;
  const request: AttachRequest = { port: options.port, allowWrite, redact };
  using interrupted = interruption();
  const { signal } = interrupted;
  let served = await servedBy(dataDir);
  if (served === undefined) {
    await openHere(dataDir, request, output, signal);
    return undefined;
  }
  while (served !== undefined && !signal.aborted) {
    const holder: ServeFile = served;
    try {
      await attach(new HttpClient(holder), request, output, signal);
      if (output.json) return undefined;
    } catch (error) {
      // A process that was killed cannot say that it ends.
      if (holder.shared === undefined || output.json || !isGone(error)) throw error;
    }
    served = signal.aborted || holder.shared === undefined ? undefined : await nextHolder(dataDir, holder, signal);
    if (served !== undefined) output.message(`Process ${holder.pid} has ended; process ${served.pid} has taken over.`);
  }
  if (!signal.aborted) output.message('The process that served the directory has ended.');
  return undefined;
}

function isGone(error: unknown): boolean {
  return error instanceof ContextCacheError && ['OUTCOME_UNKNOWN', 'UNREACHABLE', 'CLOSED'].includes(error.code);
}

/** Resolves with the process that takes a shared directory over; `undefined` if none does within {@link TAKEOVER_MS}. */
async function nextHolder(dataDir: string, { token }: ServeFile, signal: AbortSignal): Promise<ServeFile | undefined> {
  const due = systemClock.now() + TAKEOVER_MS;
  while (!signal.aborted && systemClock.now() < due) {
    const served = await servedBy(dataDir).catch(() => undefined);
    if (served !== undefined && served.token !== token) return served;
    await pause(systemClock, RETRY_MS, signal);
  }
  return undefined;
}

/** Opens the inspector in the process that serves the directory. */
async function attach(client: HttpClient, request: AttachRequest, output: Output, signal: AbortSignal): Promise<void> {
  const ending = new AbortController();
  try {
    const { url, ended } = await client.inspect(request, AbortSignal.any([signal, ending.signal]));
    await show(output, url);
    if (output.json) return;
    await ended;
  } finally {
    ending.abort();
  }
}

/** Opens the inspector here. Serves the directory meanwhile, so that other commands work and their updates show. */
async function openHere(dataDir: string, request: AttachRequest, output: Output, signal: AbortSignal): Promise<void> {
  await mustExist(dataDir);
  const serving = await Serving.start({ dataDir, output, cache: {} });
  try {
    const { url } = await startInspector(serving.cache, request);
    await show(output, url);
    if (!output.json) await aborted(signal);
  } finally {
    await serving.close(CLOSE_MS);
  }
}

async function show(output: Output, url: string): Promise<void> {
  if (output.json) {
    await output.writeJson(await overviewAt(url));
    return;
  }
  await output.write(`${url}\n`);
  output.message('Open this address in a browser; it contains the token. Press Ctrl-C to stop.');
}

async function overviewAt(url: string): Promise<unknown> {
  const { origin, hash } = new URL(url);
  const headers = { authorization: `Bearer ${hash.slice('#token='.length)}` };
  return (await fetch(`${origin}/api/overview`, { headers })).json();
}

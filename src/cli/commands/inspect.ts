import type { Command } from 'commander';
import { startInspector } from '../../inspector.ts';
import type { AttachRequest } from '../../serve/attach-route.ts';
import type { HttpClient } from '../../serve/http-client.ts';
import { CliOption, collect } from '../config/cli-option.ts';
import { port } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { Serving } from '../serving.ts';
import { listSnapshots } from '../snapshots.ts';
import { CLOSE_MS, connectServed, mustExist } from '../target.ts';
import type { Output } from '../terminal/output.ts';
import { aborted, interruption } from '../terminal/signals.ts';

interface InspectFlags {
  readonly port?: number;
  readonly allowWrite?: boolean;
  readonly redact?: readonly string[];
}

/** `inspect`: shows the cache to a browser. */
export function addInspect(program: Command, session: Session): void {
  const inspect = program
    .command('inspect')
    .description(
      'show actors, data, updates and the past in a browser on this machine, until Ctrl-C; --json: the overview',
    )
    .addOption(inSection(new CliOption('--port <port>', 'the port of the page (default: a free one)').argParser(port)))
    .addOption(neverInFile(new CliOption('--allow-write', 'let entries be changed and snapshots taken from there')))
    .addOption(
      new CliOption(
        '--redact <word>',
        'hide what has this word in its name, besides tokens and passwords (may be repeated)',
      ).argParser(collect) as CliOption,
    );
  example(inspect, 'inspect', 'inspect --allow-write --redact passport', 'inspect --json');
  does<InspectFlags>(session, inspect, runInspect);
}

function inSection(option: CliOption): CliOption {
  option.inFile = 'section';
  return option;
}

/** Somebody's consent. */
function neverInFile(option: CliOption): CliOption {
  option.inFile = 'never';
  return option;
}

async function runInspect({ output, dataDir, options }: Context<InspectFlags>): Promise<undefined> {
  const { allowWrite, redact } = options;
  const request: AttachRequest = { port: options.port, allowWrite, redact };
  using interrupted = interruption();
  const client = await connectServed(dataDir);
  if (client !== undefined) await attach(client, request, output, interrupted.signal);
  else await openHere(dataDir, request, output, interrupted.signal);
}

/** In the process that serves the directory. */
async function attach(client: HttpClient, request: AttachRequest, output: Output, signal: AbortSignal): Promise<void> {
  const ending = new AbortController();
  try {
    const { url, ended } = await client.inspect(request, AbortSignal.any([signal, ending.signal]));
    await show(output, url);
    if (output.json) return;
    await ended;
    if (!signal.aborted) output.message('The process that served the directory has ended.');
  } finally {
    ending.abort();
    client.close();
  }
}

/** Here, and served to the other commands meanwhile, so that what they do is seen. */
async function openHere(dataDir: string, request: AttachRequest, output: Output, signal: AbortSignal): Promise<void> {
  await mustExist(dataDir);
  const serving = await Serving.start({ dataDir, output, cache: {}, snapshots: () => listSnapshots({ dataDir }) });
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
  output.message('Open this address in a browser; it holds the token. Ctrl-C ends it.');
}

async function overviewAt(url: string): Promise<unknown> {
  const { origin, hash } = new URL(url);
  const headers = { authorization: `Bearer ${hash.slice('#token='.length)}` };
  return (await fetch(`${origin}/api/overview`, { headers })).json();
}

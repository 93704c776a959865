import type { Command } from 'commander';
import type { CacheHealth } from '../../index.ts';
import { systemClock } from '../../index.ts';
import type { HttpClient } from '../../serve/http-client.ts';
import { ConfigFile } from '../config/config-file.ts';
import { connectServed } from '../target.ts';

/** Nobody waits longer at a Tab. */
const PATIENCE_MS = 1_000;
/** Nobody looks through more. */
const MOST = 1_000;

/**
 * The namespaces of a directory that is served; none where that is not so, or they are very many. Nothing is opened for a
 * Tab, and no configuration file of JavaScript is run.
 */
export async function namespacesAtTab(program: Command, words: readonly string[]): Promise<string[]> {
  let timer: unknown;
  const late = new Promise<string[]>((resolve) => {
    timer = systemClock.setTimeout(() => resolve([]), PATIENCE_MS);
  });
  try {
    return await Promise.race([ask(await dataDirOf(program, words)), late]);
  } catch {
    // Whoever presses Tab wants no message.
    return [];
  } finally {
    systemClock.clearTimeout(timer);
  }
}

async function ask(dataDir: string): Promise<string[]> {
  const client = await connectServed(dataDir);
  try {
    return client === undefined ? [] : await fewOf(client);
  } finally {
    client?.close();
  }
}

async function fewOf(client: HttpClient): Promise<string[]> {
  const { namespaces } = (await client.ask({ type: 'cache.health' })) as CacheHealth;
  if (namespaces.total > MOST) return [];
  return (await client.ask({ type: 'context.namespaces' })) as string[];
}

/** The directory that the command would work on. */
async function dataDirOf(program: Command, words: readonly string[]): Promise<string> {
  const option = program.options.find(({ long }) => long === '--data-dir');
  const typed =
    typedBehind(words, '--data-dir') ?? (option?.envVar === undefined ? undefined : process.env[option.envVar]);
  if (typed || option === undefined) return typed ?? '.';
  const file = await ConfigFile.find(program, typedBehind(words, '--config'), false);
  return String(file?.entryOf(program, option)?.value ?? option.defaultValue);
}

function typedBehind(words: readonly string[], flag: string): string | undefined {
  const index = words.indexOf(flag);
  if (index >= 0) return words[index + 1] === '=' ? words[index + 2] : words[index + 1];
  return words.find((word) => word.startsWith(`${flag}=`))?.slice(flag.length + 1);
}

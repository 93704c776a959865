import type { Command } from 'commander';
import type { RemoteContextCache } from '../../client.ts';
import { systemClock } from '../../index.ts';
import { ConfigFile } from '../config/config-file.ts';
import { connectServed } from '../target.ts';

/** Longest wait for an answer at a Tab, milliseconds. */
const PATIENCE_MS = 1_000;
/** Most namespaces that are offered. */
const MOST = 1_000;

/**
 * Returns the namespaces of a served directory; none if it is not served or has more than {@link MOST}. Opens no directory
 * and runs no JavaScript configuration file, because it is only a Tab.
 */
export async function namespacesAtTab(program: Command, words: readonly string[]): Promise<string[]> {
  let timer: unknown;
  const late = new Promise<string[]>((resolve) => {
    timer = systemClock.setTimeout(() => resolve([]), PATIENCE_MS);
  });
  try {
    return await Promise.race([ask(await dataDirOf(program, words)), late]);
  } catch {
    // A message would break the line that is being typed.
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
    await client?.shutdown();
  }
}

async function fewOf(client: RemoteContextCache): Promise<string[]> {
  const { namespaces } = await client.health();
  return namespaces.total > MOST ? [] : client.listNamespaces();
}

/** Returns the data directory of the command line. */
async function dataDirOf(program: Command, words: readonly string[]): Promise<string> {
  const option = program.options.find(({ long }) => long === '--data-dir');
  const typed =
    typedAfter(words, '--data-dir') ?? (option?.envVar === undefined ? undefined : process.env[option.envVar]);
  if (typed || option === undefined) return typed ?? '.';
  const file = await ConfigFile.find(program, typedAfter(words, '--config'), false);
  return String(file?.entryOf(program, option)?.value ?? option.defaultValue);
}

function typedAfter(words: readonly string[], flag: string): string | undefined {
  const index = words.indexOf(flag);
  if (index >= 0) return words[index + 1] === '=' ? words[index + 2] : words[index + 1];
  return words.find((word) => word.startsWith(`${flag}=`))?.slice(flag.length + 1);
}

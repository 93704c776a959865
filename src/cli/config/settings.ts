import type { Command, Option } from 'commander';
import { UsageError } from '../terminal/failure.ts';
import { type CliOption, inFile, kindOf } from './cli-option.ts';
import { ConfigFile, type FileEntry, isListed, parseText, sectionOf, withSubcommands } from './config-file.ts';

/** Where the value of an option comes from, the strongest first. */
export type Origin = 'flag' | 'environment' | 'file' | 'default';

/** The value of an option, and who said so. */
export interface Setting {
  readonly value: unknown;
  readonly origin: Origin;
  /** `--data-dir`, `REDIS_URL`, `context-cache.config.json: dataDir`; nothing for a default. */
  readonly from?: string;
}

/** A setting of a command, for `context-cache config`. */
export interface NamedSetting extends Setting {
  /** `dataDir`, and `serve.keep` where commands differ. */
  readonly name: string;
}

/** An empty variable says nothing. */
function environmentOf(name: string | undefined): string | undefined {
  return name === undefined ? undefined : process.env[name] || undefined;
}

/** Flags over environment over file over defaults, for one option. */
function settle(option: Option, flag: { readonly value: unknown } | undefined, entry: FileEntry | undefined): Setting {
  if (kindOf(option) === 'server') return settleServer(option as CliOption, flag, entry);
  if (flag !== undefined) return { value: flag.value, origin: 'flag', from: option.long ?? option.flags };
  const said = environmentOf(option.envVar);
  if (said !== undefined && option.envVar !== undefined) {
    return { value: parseText(option, said, option.envVar), origin: 'environment', from: option.envVar };
  }
  if (entry !== undefined) return { value: entry.value, origin: 'file', from: entry.place };
  return { value: option.defaultValue, origin: 'default' };
}

/** Flag and file switch it on; where it is, is for the flag's URL, the environment, the file's URL, and the local one. */
function settleServer(
  { server, long = '' }: CliOption,
  flag: { readonly value: unknown } | undefined,
  entry: FileEntry | undefined,
): Setting {
  const isOn = flag === undefined ? entry !== undefined && entry.value !== false : flag.value !== false;
  if (!isOn || server === undefined) {
    return entry === undefined
      ? { value: undefined, origin: 'default' }
      : { value: undefined, origin: 'file', from: entry.place };
  }
  const places: readonly (Setting | undefined)[] = [
    typeof flag?.value === 'string' ? { value: flag.value, origin: 'flag', from: long } : undefined,
    { value: environmentOf(server.env), origin: 'environment', from: server.env },
    typeof entry?.value === 'string' ? { value: entry.value, origin: 'file', from: entry.place } : undefined,
  ];
  const named = places.find((place) => place?.value !== undefined);
  if (named === undefined) {
    // Who has switched it on.
    const who =
      flag === undefined
        ? { origin: 'file' as const, from: entry?.place ?? '' }
        : { origin: 'flag' as const, from: long };
    return { value: server.local, ...who };
  }
  if (!server.isUrl(String(named.value))) throw notAUrl(named, server.local);
  return named;
}

/** Does not repeat it: it may hold a password. */
function notAUrl({ origin, from }: Setting, example: string): UsageError {
  const remedy = origin === 'flag' ? ` Put a file before it, or write ${from}=URL.` : '';
  return new UsageError(`${from} takes a URL such as ${example.replace('127.0.0.1', 'host')}.${remedy}`);
}

/** Gives the command that is to run, and those above it, the values of environment and file. */
export async function applySettings(program: Command, command: Command): Promise<void> {
  const file = await ConfigFile.find(program, program.opts().config as string | undefined);
  for (let current: Command | null = command; current !== null; current = current.parent) {
    for (const option of current.options) {
      const name = option.attributeName();
      const flag = current.getOptionValueSource(name) === 'cli' ? { value: current.getOptionValue(name) } : undefined;
      const { value, origin } = settle(option, flag, file?.entryOf(current, option));
      const source = flag === undefined ? SOURCE[origin] : SOURCE.flag;
      if (inFile(option) !== 'never') current.setOptionValueWithSource(name, value, source);
    }
  }
}

/** As commander names them. */
const SOURCE = { flag: 'cli', environment: 'env', file: 'config', default: 'default' } as const;

/** The settings of all commands: those that are the same everywhere once. */
export async function allSettings(program: Command): Promise<NamedSetting[]> {
  const file = await ConfigFile.find(program, program.opts().config as string | undefined);
  const commands = withSubcommands(program).filter((command) => isListed(command));
  const all = commands.flatMap((command) =>
    command.options
      .filter((option) => inFile(option) !== 'never')
      .map((option) => {
        const name = option.attributeName();
        const isFlag = command === program && command.getOptionValueSource(name) === 'cli';
        const flag = isFlag ? { value: command.getOptionValue(name) } : undefined;
        const shared = inFile(option) === 'anywhere' ? name : `${sectionOf(command)}.${name}`;
        return {
          shared,
          section: sectionOf(command),
          name,
          setting: settle(option, flag, file?.entryOf(command, option)),
        };
      }),
  );
  const names = new Set(all.map(({ shared }) => shared));
  return [...names].flatMap((name) =>
    merged(
      name,
      all.filter(({ shared }) => shared === name),
    ),
  );
}

/** An option of a command, as it is settled there. */
interface OfCommand {
  readonly section: string | undefined;
  readonly name: string;
  readonly setting: Setting;
}

/** One setting where all commands agree, else that of each. */
function merged(shared: string, alike: readonly OfCommand[]): NamedSetting[] {
  const bySection = new Map(alike.map((each) => [each.section, each]));
  const different = new Set(alike.map(({ setting }) => JSON.stringify(setting)));
  if (different.size === 1) return alike.slice(0, 1).map(({ setting }) => ({ name: shared, ...setting }));
  return [...bySection].map(([section, { name, setting }]) => ({
    name: section === undefined ? name : `${section}.${name}`,
    ...setting,
  }));
}

/** The value without what opens a server: the user's part of a URL, and passwords behind its question mark. */
export function withoutSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (typeof value !== 'string') return value;
  return value
    .replace(/(:\/\/)\S*@/, '$1***@')
    .replace(/^[^/\s@]+:[^/\s@]*@/, '***@')
    .replace(/([?&][^=&]*(?:pass|token|secret|key|auth)[^=&]*=)[^&\s]*/gi, '$1***');
}

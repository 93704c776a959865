import type { Command, Option } from 'commander';
import { UsageError } from '../terminal/failure.ts';
import { type CliOption, inFile, kindOf } from './cli-option.ts';
import { ConfigFile, type FileEntry, isListed, parseText, sectionOf, withSubcommands } from './config-file.ts';

/** Origins of a value, the strongest first. */
export type Origin = 'flag' | 'environment' | 'file' | 'default';

/** The value of an option and its origin. */
export interface Setting {
  readonly value: unknown;
  readonly origin: Origin;
  /** `--data-dir`, `REDIS_URL`, `context-cache.config.json: dataDir`; absent for a default. */
  readonly from?: string;
  /** Variables that are set and would count if the option were given: `REDIS_URL` without `--redis`. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A setting of a command, for `context-cache config`. */
export interface NamedSetting extends Setting {
  /** `dataDir`, or `serve.keep` if commands differ. */
  readonly name: string;
}

/** Returns the value of a variable. An empty one counts as not set. */
function environmentOf(name: string | undefined): string | undefined {
  return name === undefined ? undefined : process.env[name] || undefined;
}

/** Chooses the value of one option: flag, environment, file, default. */
function settle(option: Option, flag: { readonly value: unknown } | undefined, entry: FileEntry | undefined): Setting {
  if (kindOf(option) === 'server') return settleServer(option as CliOption, flag, entry);
  if (flag !== undefined) return { value: flag.value, origin: 'flag', from: option.long ?? option.flags };
  const said = environmentOf(option.envVar);
  if (said !== undefined && option.envVar !== undefined) {
    return { value: parseText(option, said, option.envVar), origin: 'environment', from: option.envVar };
  }
  if (entry !== undefined) return { value: entry.value, origin: 'file', from: entry.origin };
  return { value: option.defaultValue, origin: 'default' };
}

/** Chooses the URL of a server that flag or file enables: of the flag, the environment, the file, the local one. */
function settleServer(
  { server, long = '' }: CliOption,
  flag: { readonly value: unknown } | undefined,
  entry: FileEntry | undefined,
): Setting {
  const isOn = flag === undefined ? entry !== undefined && entry.value !== false : flag.value !== false;
  if (!isOn || server === undefined) {
    const said = environmentOf(server?.env);
    const environment = said === undefined || server === undefined ? {} : { environment: { [server.env]: said } };
    return entry === undefined
      ? { value: undefined, origin: 'default', ...environment }
      : { value: undefined, origin: 'file', from: entry.origin, ...environment };
  }
  const sources: readonly (Setting | undefined)[] = [
    typeof flag?.value === 'string' ? { value: flag.value, origin: 'flag', from: long } : undefined,
    { value: environmentOf(server.env), origin: 'environment', from: server.env },
    typeof entry?.value === 'string' ? { value: entry.value, origin: 'file', from: entry.origin } : undefined,
  ];
  const named = sources.find((source) => source?.value !== undefined);
  if (named === undefined) {
    const enabledBy =
      flag === undefined
        ? { origin: 'file' as const, from: entry?.origin ?? '' }
        : { origin: 'flag' as const, from: long };
    return { value: server.local, ...enabledBy };
  }
  if (!server.isUrl(String(named.value))) throw notAUrl(named, server.local);
  return named;
}

/** Makes an error that does not repeat the text, which may contain a password. */
function notAUrl({ origin, from }: Setting, example: string): UsageError {
  const remedy = origin === 'flag' ? ` Put a file before it, or write ${from}=URL.` : '';
  return new UsageError(`${from} takes a URL such as ${example.replace('127.0.0.1', 'host')}.${remedy}`);
}

/** Gives a command, and the commands it belongs to, the values of environment and file. */
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

/** Names of the origins in commander. */
const SOURCE = { flag: 'cli', environment: 'env', file: 'config', default: 'default' } as const;

/** Returns the settings of all commands; those that are equal everywhere once. */
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

/** Returns the setting of colors; `undefined` if the terminal decides. */
export function colorSetting(program: Command): NamedSetting | undefined {
  const name = 'color';
  if (program.getOptionValueSource(name) === 'cli') return { name, value: false, origin: 'flag', from: '--no-color' };
  const from = ['NO_COLOR', 'FORCE_COLOR'].find((variable) => environmentOf(variable) !== undefined);
  if (from === undefined) return undefined;
  return {
    name,
    value: from === 'FORCE_COLOR' && !/^(0|false)$/.test(process.env[from] ?? ''),
    origin: 'environment',
    from,
  };
}

/** An option of a command and its value there. */
interface OfCommand {
  readonly section: string | undefined;
  readonly name: string;
  readonly setting: Setting;
}

/** Returns one setting if all commands agree, otherwise one per command. */
function merged(shared: string, alike: readonly OfCommand[]): NamedSetting[] {
  const bySection = new Map(alike.map((each) => [each.section, each]));
  const different = new Set(alike.map(({ setting }) => JSON.stringify(setting)));
  if (different.size === 1) return alike.slice(0, 1).map(({ setting }) => ({ name: shared, ...setting }));
  return [...bySection].map(([section, { name, setting }]) => ({
    name: section === undefined ? name : `${section}.${name}`,
    ...setting,
  }));
}

/** Removes secrets from a value: user and password of a URL, and passwords among its parameters. */
export function withoutSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (typeof value !== 'string') return value;
  return value
    .replace(/(:\/\/)\S*@/, '$1***@')
    .replace(/^[^/\s@]+:[^/\s@]*@/, '***@')
    .replace(/([?&][^=&]*(?:pass|token|secret|key|auth)[^=&]*=)[^&\s]*/gi, '$1***');
}

import type { Command } from 'commander';
import { allSettings, colorSetting, type NamedSetting, withoutSecrets } from '../config/settings.ts';
import { does, example, type Session } from '../context.ts';

/** `config`: the value of every option and its origin. */
export function addConfig(program: Command, session: Session): void {
  const config = program
    .command('config')
    .description('print the value of every option, and whether it comes from a flag, the environment or the file');
  example(config, 'config', 'config --json', 'config --data-dir ./agent-memory');
  does(session, config, async ({ output }) => {
    const settings = [...(await allSettings(program)), colorSetting(program)]
      .filter((setting) => setting !== undefined)
      .map(shareable);
    const isSet = ({ value, environment }: NamedSetting) => value !== undefined || environment !== undefined;
    await output.result(settings, table(settings.filter(isSet)));
    const unset = settings.filter((setting) => !isSet(setting)).map(({ name }) => name);
    output.message(`Not set: ${unset.join(', ')}.`);
  });
}

/** The setting without passwords. */
function shareable({ environment, ...setting }: NamedSetting): NamedSetting {
  const value = withoutSecrets(setting.value);
  if (environment === undefined) return { ...setting, value };
  const shown = Object.entries(environment).map(([name, text]) => [name, String(withoutSecrets(text))]);
  return { ...setting, value, environment: Object.fromEntries(shown) };
}

function table(settings: readonly NamedSetting[]): string {
  const rows = settings.map((setting) => [setting.name, shown(setting.value), originOf(setting)] as const);
  const nameWidth = Math.max(...rows.map(([name]) => name.length));
  const valueWidth = Math.max(...rows.map(([, value]) => value.length));
  return rows
    .map(([name, value, origin]) => `${name.padEnd(nameWidth)}  ${value.padEnd(valueWidth)}  ${origin}`)
    .join('\n');
}

function shown(value: unknown): string {
  if (value === undefined || value === false) return 'off';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function originOf({ name, origin, from, environment }: NamedSetting): string {
  if (environment === undefined) return from === undefined ? origin : `${origin}: ${from}`;
  const flag = `--${name.split('.').at(-1)}`;
  const variables = Object.entries(environment).map(([variable, text]) => `${variable} is ${text}`);
  const file = from === undefined ? '' : `${origin}: ${from}; `;
  return `${file}${variables.join(', ')}: add ${flag} to use it`;
}

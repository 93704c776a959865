import type { Command } from 'commander';
import { allSettings, type NamedSetting, withoutSecrets } from '../config/settings.ts';
import { does, example, type Session } from '../context.ts';

/** `config`: what every option is set to, and by whom. */
export function addConfig(program: Command, session: Session): void {
  const config = program
    .command('config')
    .description('print what the options are set to, and whether a flag, the environment, the file or nobody says so');
  example(config, 'config', 'config --json', 'config --data-dir ./agent-memory');
  does(session, config, async ({ output }) => {
    const settings = (await allSettings(program)).map((setting) => ({
      ...setting,
      value: withoutSecrets(setting.value),
    }));
    await output.result(settings, table(settings.filter(({ value }) => value !== undefined)));
    const unset = settings.filter(({ value }) => value === undefined).map(({ name }) => name);
    output.message(`Not set: ${unset.join(', ')}.`);
  });
}

function table(settings: readonly NamedSetting[]): string {
  const rows = settings.map(({ name, value, origin, from }) => [
    name,
    typeof value === 'string' ? value : JSON.stringify(value),
    from === undefined ? origin : `${origin}: ${from}`,
  ]);
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map(([name = '', value = '', origin]) => {
      return `${name.padEnd(widths[0] ?? 0)}  ${value.padEnd(widths[1] ?? 0)}  ${origin}`;
    })
    .join('\n');
}

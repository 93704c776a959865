import { type Command, InvalidArgumentError, Option } from 'commander';
import type { BackupStatus, SnapshotInfo } from '../../backup.ts';
import type { BackupSettings, BackupSettingsChange } from '../../index.ts';
import { backupDirOption, duration, integer, redisOption, redisPrefixOption } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { listSnapshots, onePlace, type PlaceFlags, type SnapshotTarget, storeOf } from '../snapshots.ts';
import { connectServed, openTarget, type Target } from '../target.ts';
import { UsageError } from '../terminal/failure.ts';
import { shownAmount, shownCount } from '../terminal/format.ts';
import type { Output } from '../terminal/output.ts';
import { Progress } from '../terminal/progress.ts';

interface Settings extends PlaceFlags {
  readonly interval?: number | string;
  readonly mode?: BackupSettings['mode'];
  readonly keep?: number;
}

/** `backup`: snapshots, and when they are taken. */
export function addBackup(program: Command, session: Session): void {
  const backup = program
    .command('backup')
    .description('take snapshots, or set when they are taken; kept in Redis, a directory, or beside the data')
    .addOption(redisOption('keep them in this Redis'))
    .addOption(redisPrefixOption())
    .addOption(backupDirOption('keep them in this directory (default: "backups" in the data directory)'));
  const now = backup.command('now', { isDefault: true }).description('take a snapshot now');
  const enable = withSettings(backup.command('enable')).description('let the serving process take snapshots by itself');
  const disable = backup.command('disable').description('no snapshots but those that are asked for');
  const status = backup.command('status').description('print how the backup stands');
  const list = backup.command('list').description('print the stored snapshots, newest first');
  const settings = withSettings(backup.command('settings')).description('print the settings, or change some');
  example(backup, 'backup now --backup-dir ./snapshots', 'backup enable --mode on_change --interval 60');
  example(now, 'backup now', 'backup now --redis redis://127.0.0.1:6379');
  example(enable, 'backup enable --mode on_change --interval 60');
  example(disable, 'backup disable');
  example(status, 'backup status --json');
  example(list, 'backup list --redis redis://127.0.0.1:6379');
  example(settings, 'backup settings --keep 10');

  does<PlaceFlags>(session, now, async (context) => {
    await using target = await open(context);
    using _progress = new Progress(context.output, 'Taking a snapshot');
    const info = (await target.ask({ type: 'context.backup' })) as SnapshotInfo;
    await context.output.result(info, snapshotLine(info));
  });
  does<Settings>(session, enable, async (context) => {
    await using target = await open(context);
    const answer = await target.ask({ type: 'backup.enable', settings: settingsOf(context.options) });
    await printSettings(context.output, answer as BackupSettings);
  });
  does<PlaceFlags>(session, disable, async (context) => {
    await using target = await open(context);
    await printSettings(context.output, (await target.ask({ type: 'backup.disable' })) as BackupSettings);
  });
  does<PlaceFlags>(session, status, async (context) => {
    await using target = await open(context);
    const answer = (await target.ask({ type: 'backup.status' })) as BackupStatus;
    await context.output.result(answer, JSON.stringify(answer, null, 2));
  });
  does<Settings>(session, settings, async (context) => {
    await using target = await open(context);
    await printSettings(context.output, await changeSettings(target, settingsOf(context.options)));
  });
  does<PlaceFlags>(session, list, async (context) => {
    const infos = await stored(context);
    await context.output.result(infos, infos.map(snapshotLine).join('\n'));
  });
}

function withSettings(command: Command): Command {
  return command
    .option('--interval <seconds>', "time between two snapshots: seconds, or '10m'", seconds)
    .addOption(new Option('--mode <mode>', 'when they are taken').choices(['periodic', 'on_change', 'manual']))
    .option('--keep <count>', 'how many snapshots stay', integer);
}

/** A number of seconds, or a duration for the cache to read. */
function seconds(text: string): number | string {
  if (Number(text) > 0) return Number(text);
  if (duration(text) > 0) return text;
  throw new InvalidArgumentError("Give a number of seconds, or a duration such as '10m'.");
}

function settingsOf({ interval, mode, keep }: Settings): BackupSettingsChange {
  return Object.fromEntries(Object.entries({ interval, mode, keep }).filter(([, value]) => value !== undefined));
}

async function changeSettings(target: Target, changes: BackupSettingsChange): Promise<BackupSettings> {
  if (Object.keys(changes).length > 0) {
    return (await target.ask({ type: 'backup.set', settings: changes })) as BackupSettings;
  }
  return ((await target.ask({ type: 'backup.status' })) as BackupStatus).settings;
}

/** A served cache keeps its snapshots where it was told to; here the place may be named. */
async function open(context: Context<PlaceFlags>): Promise<Target> {
  const { dataDir, output, isFlag } = context;
  const place = onePlace(context);
  if (isFlag('redis') || isFlag('backupDir')) await mustNotBeServed(dataDir);
  if (!isNamed(place)) return openTarget({ dataDir, output, cache: { backup: {} } });
  return openTarget({ dataDir, output, cache: { backup: { store: storeOf(place) } } });
}

/** A named place is looked into whoever has the data directory, and whether there is one. */
async function stored(context: Context<PlaceFlags>): Promise<SnapshotInfo[]> {
  const { dataDir, output } = context;
  const place = onePlace(context);
  if (isNamed(place)) return listSnapshots(place);
  await using target = await openTarget({ dataDir, output });
  return await target.snapshots();
}

function isNamed({ redis, backupDir }: SnapshotTarget): boolean {
  return redis !== undefined || backupDir !== undefined;
}

async function mustNotBeServed(dataDir: string): Promise<void> {
  const client = await connectServed(dataDir);
  if (client === undefined) return;
  client.close();
  throw new UsageError(
    'A running "context-cache serve" has the directory, and keeps its snapshots where it was told to. Leave --redis and --backup-dir away, or give them to serve.',
  );
}

function printSettings(output: Output, { interval, mode, keep }: BackupSettings): Promise<void> {
  return output.result({ interval, mode, keep }, `interval ${interval} s, mode ${mode}, keep ${keep}`);
}

function snapshotLine({ id, at, position, namespaces, entries, bytes, whole, problem }: SnapshotInfo): string {
  const what = `${shownAmount(entries, 'entry', 'entries')} in ${shownAmount(namespaces, 'namespace')}, ${shownAmount(bytes, 'byte')}`;
  const state = whole ? '' : `, NOT WHOLE: ${problem ?? 'parts are missing'}`;
  return `${id}  ${new Date(at).toISOString()}  position ${shownCount(position)}, ${what}${state}`;
}

import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { BackupStatus, SnapshotInfo } from '../../backup.ts';
import type { BackupSettings, BackupSettingsChange } from '../../index.ts';
import { backupDirOption, duration, integer, redisOption, redisPrefixOption } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { listSnapshots, oneStore, type SnapshotTarget, type StoreFlags, storeOf } from '../snapshots.ts';
import { connectServed, openTarget, type Target } from '../target.ts';
import { UsageError } from '../terminal/failure.ts';
import { shownAmount, shownCount, shownJson, shownTime } from '../terminal/format.ts';
import type { Output } from '../terminal/output.ts';
import { Progress } from '../terminal/progress.ts';

interface Settings extends StoreFlags {
  readonly interval?: number | string;
  readonly mode?: BackupSettings['mode'];
  readonly keep?: number;
}

/** `backup`: takes snapshots, and sets when they are taken. */
export function addBackup(program: Command, session: Session): void {
  const backup = program
    .command('backup')
    .description(
      'take snapshots, or set when they are taken; they are stored in Redis, a directory, or the data directory',
    )
    .addOption(redisOption('store them in this Redis server'))
    .addOption(redisPrefixOption())
    .addOption(backupDirOption('store them in this directory (default: "backups" in the data directory)'));
  const now = backup.command('now', { isDefault: true }).description('take a snapshot now');
  const enable = withSettings(backup.command('enable')).description(
    'take snapshots automatically while the directory is served',
  );
  const disable = backup.command('disable').description('take snapshots only on request');
  const status = backup.command('status').description('print settings, last snapshot and failures');
  const list = backup.command('list').description('print the stored snapshots, newest first');
  const settings = withSettings(backup.command('settings')).description('print or change the settings');
  example(backup, 'backup now --backup-dir ./snapshots', 'backup enable --mode on_change --interval 60');
  example(now, 'backup now', 'backup now --redis redis://127.0.0.1:6379');
  example(enable, 'backup enable --mode on_change --interval 60');
  example(disable, 'backup disable');
  example(status, 'backup status --json');
  example(list, 'backup list --redis redis://127.0.0.1:6379');
  example(settings, 'backup settings --keep 10');

  does<StoreFlags>(session, now, async (context) => {
    await using target = await open(context);
    using _progress = new Progress(context.output, 'Taking a snapshot');
    const info = (await target.ask({ type: 'context.backup' })) as SnapshotInfo;
    await context.output.result(info, snapshotLine(info));
  });
  does<Settings>(session, enable, async (context) => {
    await using target = await open(context);
    await target.ask({ type: 'backup.enable', settings: settingsOf(context.options) });
    await printSettings(context.output, target);
    if (target.isServed) return;
    const message = `No process serves ${resolve(context.dataDir)}: snapshots are taken while "context-cache serve" runs.`;
    context.output.message(message);
  });
  does<StoreFlags>(session, disable, async (context) => {
    await using target = await open(context);
    await target.ask({ type: 'backup.disable' });
    await printSettings(context.output, target);
  });
  does<StoreFlags>(session, status, async (context) => {
    await using target = await open(context);
    const answer = (await target.ask({ type: 'backup.status' })) as BackupStatus;
    await context.output.result(answer, shownJson(answer));
  });
  does<Settings>(session, settings, async (context) => {
    await using target = await open(context);
    const changes = settingsOf(context.options);
    if (Object.keys(changes).length > 0) await target.ask({ type: 'backup.set', settings: changes });
    await printSettings(context.output, target);
  });
  does<StoreFlags>(session, list, async (context) => {
    const infos = await stored(context);
    await context.output.result(infos, infos.map(snapshotLine).join('\n'));
  });
}

function withSettings(command: Command): Command {
  return command
    .option('--interval <seconds>', "time between two snapshots: seconds, or '10m'", seconds)
    .addOption(new Option('--mode <mode>', 'when to take snapshots').choices(['periodic', 'on_change', 'manual']))
    .option('--keep <count>', 'number of snapshots to keep', integer);
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

/** Opens the cache. Only a directory that is not served takes a store from the flags. */
async function open(context: Context<StoreFlags>): Promise<Target> {
  const { dataDir, output, isFlag } = context;
  const store = oneStore(context);
  if (isFlag('redis') || isFlag('backupDir')) await mustNotBeServed(dataDir);
  if (!isNamed(store)) return openTarget({ dataDir, output, cache: { backup: {} } });
  return openTarget({ dataDir, output, cache: { backup: { store: storeOf(store) } } });
}

/** Lists the snapshots. A named store needs no data directory. */
async function stored(context: Context<StoreFlags>): Promise<SnapshotInfo[]> {
  const { dataDir, output } = context;
  const store = oneStore(context);
  if (isNamed(store)) return listSnapshots(store);
  await using target = await openTarget({ dataDir, output });
  return await target.snapshots();
}

function isNamed({ redis, backupDir }: SnapshotTarget): boolean {
  return redis !== undefined || backupDir !== undefined;
}

async function mustNotBeServed(dataDir: string): Promise<void> {
  const client = await connectServed(dataDir);
  if (client === undefined) return;
  await client.shutdown();
  throw new UsageError(
    'The directory is served by a process with its own store of snapshots. Omit --redis and --backup-dir, or give them to serve.',
  );
}

async function printSettings(output: Output, target: Target): Promise<void> {
  const { enabled, settings } = (await target.ask({ type: 'backup.status' })) as BackupStatus;
  const { interval, mode, keep } = settings;
  const text = `${enabled ? 'enabled' : 'disabled'}: interval ${interval} s, mode ${mode}, keep ${keep}`;
  await output.result({ enabled, interval, mode, keep }, text);
}

function snapshotLine({ id, at, position, namespaces, entries, bytes, whole, problem }: SnapshotInfo): string {
  const what = `${shownAmount(entries, 'entry', 'entries')} in ${shownAmount(namespaces, 'namespace')}, ${shownAmount(bytes, 'byte')}`;
  const state = whole ? '' : `, INCOMPLETE: ${problem ?? 'parts are missing'}`;
  return `${id}  ${shownTime(at)}  position ${shownCount(position)}, ${what}${state}`;
}

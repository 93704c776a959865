import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { SnapshotStore } from '../../backup.ts';
import { isDataDirectory } from '../../engine/restore.ts';
import { AgentContextCache, ContextCacheError, replay } from '../../index.ts';
import { backupDirOption, redisOption, redisPrefixOption } from '../config/options.ts';
import { type Context, does, example, type Session } from '../context.ts';
import { oneStore, type SnapshotTarget, type StoreFlags, storeOf } from '../snapshots.ts';
import { connectServed } from '../target.ts';
import { UsageError } from '../terminal/failure.ts';
import { shownAmount, shownCount } from '../terminal/format.ts';
import type { Output } from '../terminal/output.ts';
import { Progress } from '../terminal/progress.ts';

interface RestoreFlags extends StoreFlags {
  readonly log?: string;
}

/** `restore`: creates a data directory from a snapshot. */
export function addRestore(program: Command, session: Session): void {
  const restore = program
    .command('restore')
    .description('create a data directory from the newest complete snapshot')
    .addOption(redisOption('read it from this Redis server'))
    .addOption(redisPrefixOption())
    .addOption(
      backupDirOption('read it from this directory; from a data directory, also add the later updates of its log'),
    )
    .option('--log <source>', 'then replay the later updates of this source, as "replay" reads it');
  example(
    restore,
    'restore --data-dir restored --backup-dir ./snapshots',
    'restore --data-dir restored-from-redis --redis redis://127.0.0.1:6379',
    'restore --data-dir restored-with-log --backup-dir ./snapshots --log run.ndjson',
  );
  does<RestoreFlags>(session, restore, runRestore);
}

async function runRestore(context: Context<RestoreFlags>): Promise<undefined> {
  const { output, dataDir, options } = context;
  const target = oneStore(context);
  if (target.redis === undefined && target.backupDir === undefined) {
    throw new UsageError('Name the store of the snapshot: --redis redis://host:6379 or --backup-dir DIR.');
  }
  await mustNotBeServed(dataDir);
  using progress = new Progress(output, 'Restoring');
  const { position, namespaces } = await restored(output, dataDir, target, options.log, progress);
  progress[Symbol.dispose]();
  if (output.json) await output.writeJson({ position, namespaces });
  else {
    const counts = `${shownAmount(namespaces, 'namespace')}, position ${shownCount(position)}`;
    output.message(`Restored ${resolve(dataDir)}: ${counts}.`);
  }
  return undefined;
}

async function restored(
  output: Output,
  dataDir: string,
  target: SnapshotTarget,
  log: string | undefined,
  progress: Progress,
): Promise<{ position: number; namespaces: number }> {
  const { backupDir } = target;
  const isData = backupDir !== undefined && (await isDataDirectory(backupDir));
  const whole = isData && log === undefined;
  const store = storeOf({ ...target, ...(isData ? { backupDir: join(backupDir, 'backups') } : {}) });
  try {
    if (!whole) await mustHoldSomething(store);
    const open = {
      dataDir,
      restoreFrom: whole ? backupDir : counting(store, progress),
      natsUrl: null,
      backup: { enabled: false },
      onError: (error: Error) => output.warning(error),
    };
    const onProgress = ({ position }: { position: number }) => progress.count(position, 'updates');
    await using cache =
      log === undefined ? await AgentContextCache.open(open) : (await replay(log, { ...open, onProgress })).cache;
    return { position: cache.position, namespaces: cache.listNamespaces().length };
  } finally {
    await store.close();
  }
}

/** Wraps a store so that reads show as progress. */
function counting(store: SnapshotStore, progress: Progress): SnapshotStore {
  let bytes = 0;
  return {
    description: store.description,
    put: (name, blob, signal) => store.put(name, blob, signal),
    get: async (name, signal) => {
      const blob = await store.get(name, signal);
      bytes += blob?.length ?? 0;
      progress.count(Math.floor(bytes / 1_024), 'KiB read');
      return blob;
    },
    has: (names, signal) => store.has(names, signal),
    list: (prefix, signal) => store.list(prefix, signal),
    remove: (names, signal) => store.remove(names, signal),
    close: () => store.close(),
  };
}

/** Refuses an empty store before a directory is created. */
async function mustHoldSomething(store: SnapshotStore): Promise<void> {
  if ((await store.list('')).length > 0) return;
  const remedy = 'Name the store that "context-cache backup" wrote to.';
  throw new ContextCacheError('NOT_FOUND', `There is no snapshot in ${store.description}. ${remedy}`);
}

async function mustNotBeServed(dataDir: string): Promise<void> {
  const client = await connectServed(dataDir);
  if (client === undefined) return;
  await client.shutdown();
  const remedy = 'Restore into another, empty directory.';
  throw new ContextCacheError('DIRECTORY_LOCKED', `${resolve(dataDir)} is served by a running process. ${remedy}`);
}

import { access } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { AgentContextCache, ContextCacheError, replay, type SnapshotStore } from '../../index.ts';
import { does, example, type Session } from '../context.ts';
import { UsageError } from '../failure.ts';
import { redisOption, redisUrl } from '../options.ts';
import { shownCount } from '../output.ts';
import { storeOf } from '../snapshots.ts';
import { connectServed } from '../target.ts';

interface RestoreOptions {
  readonly redis?: string | true;
  readonly backupDir?: string;
  readonly log?: string;
}

/** `restore`: a new data directory out of a snapshot. */
export function addRestore(program: Command, session: Session): void {
  const restore = program
    .command('restore')
    .description('fill an empty data directory with the newest whole snapshot')
    .addOption(redisOption('take it from this Redis'))
    .option('--backup-dir <dir>', 'take it from this directory; of a data directory also what its log has after it')
    .option(
      '--log <source>',
      'then replay what this has after it: as the source of "replay", or another data directory',
    );
  example(restore, 'restore --data-dir restored --backup-dir /var/backups/agents');
  does<RestoreOptions>(session, restore, async ({ output, dataDir, options }) => {
    const { backupDir } = options;
    const redis = redisUrl(options.redis);
    if ((redis === undefined) === (backupDir === undefined)) {
      throw new UsageError('Say where the snapshot is: --redis redis://host:6379 or --backup-dir DIR.');
    }
    await mustNotBeServed(dataDir);
    const isData = backupDir !== undefined && (await isDataDirectory(backupDir));
    const whole = isData && options.log === undefined;
    const store = storeOf({ dataDir, redis, backupDir: isData ? join(backupDir, 'backups') : backupDir });
    try {
      if (!whole) await mustHoldSomething(store);
      const open = {
        dataDir,
        restoreFrom: whole ? backupDir : store,
        natsUrl: null,
        backup: { enabled: false },
        onError: (error: Error) => output.warning(error),
      };
      const { log } = options;
      await using cache = log === undefined ? await AgentContextCache.open(open) : (await replay(log, open)).cache;
      const { position } = cache;
      const namespaces = cache.listNamespaces().length;
      const text = `Restored ${resolve(dataDir)}: ${shownCount(namespaces)} namespaces, position ${shownCount(position)}.`;
      if (output.json) await output.writeJson({ position, namespaces });
      else output.message(text);
    } finally {
      await store.close();
    }
  });
}

function isDataDirectory(path: string): Promise<boolean> {
  return access(join(path, 'db', 'CURRENT')).then(
    () => true,
    () => false,
  );
}

/** Before a directory is made that would stay empty. */
async function mustHoldSomething(store: SnapshotStore): Promise<void> {
  if ((await store.list('')).length > 0) return;
  const remedy = 'Name the place that "context-cache backup" wrote to.';
  throw new ContextCacheError('NOT_FOUND', `There is no snapshot in ${store.description}. ${remedy}`);
}

async function mustNotBeServed(dataDir: string): Promise<void> {
  const client = await connectServed(dataDir);
  if (client === undefined) return;
  client.close();
  const remedy = 'Restore into another, empty directory.';
  throw new ContextCacheError('DIRECTORY_LOCKED', `${resolve(dataDir)} is served by a running process. ${remedy}`);
}

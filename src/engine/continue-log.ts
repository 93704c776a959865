import { type Clock, systemClock } from '../core/clock.ts';
import { BackupManager, type BackupResult } from '../followers/backup/backup-manager.ts';
import type { StoredCluster } from '../followers/backup/snapshot-format.ts';
import type { SnapshotStore } from '../followers/backup/snapshot-store.ts';
import { captureState } from '../storage/state-capture.ts';
import type { EngineOptions } from './options.ts';
import type { Storage } from './storage.ts';

/** The log that continues another one, and where its first snapshot is stored. */
export interface Continuation {
  /** Id of the new log. */
  readonly log: string;
  /** Ids of the logs that it continues. */
  readonly ancestors: readonly string[];
  /** State of the cluster in the snapshot. */
  readonly cluster: StoredCluster;
  readonly store: SnapshotStore;
  /** Settings of the backup, for the number of snapshots that are kept. */
  readonly settings?: object | undefined;
  readonly transforms?: NonNullable<EngineOptions['backup']>['transforms'];
  readonly clock?: Clock | undefined;
}

/**
 * Stores the present state of a storage as a snapshot of the log that continues it. Claims the store for that log, but not for
 * longer than the caller keeps the claim: if the log is never founded, another attempt with another id must get the store.
 */
export async function storeContinuation(
  { registry, log }: Pick<Storage, 'registry' | 'log'>,
  { log: id, ancestors, cluster, store, settings, transforms, clock = systemClock }: Continuation,
): Promise<BackupResult> {
  const owner = { log: id, durable: false, ancestors };
  const manager = new BackupManager({ store, settings, transforms, clock, owner });
  const capture = captureState(registry, log, clock.now(), undefined, cluster);
  const { position, at, operations, floor } = capture;
  return manager.backup({
    ...{ position, at, operations, floor, cluster, log: id },
    namespaces: () => capture.namespaces(),
    close: () => capture.close(),
  });
}

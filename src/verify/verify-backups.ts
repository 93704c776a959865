import { ContextCacheError } from '../core/errors.ts';
import { BackupLoader } from '../followers/backup/backup-loader.ts';
import { PART_PREFIX, partId, sha256 } from '../followers/backup/snapshot-format.ts';
import { snapshotIds } from '../followers/backup/snapshot-reader.ts';
import type { SnapshotStore } from '../followers/backup/snapshot-store.ts';
import type { SnapshotTransform } from '../followers/backup/snapshot-transform.ts';
import type { Findings } from './verify-findings.ts';

/** Reads every stored snapshot and every part, and checks their hashes. */
export async function verifyBackups(
  store: SnapshotStore,
  transforms: readonly SnapshotTransform[] | undefined,
  findings: Findings,
): Promise<void> {
  const { signal } = findings;
  const loader = new BackupLoader({ store, transforms });
  for (const id of await snapshotIds(store, signal)) {
    try {
      await loader.verify(id, signal);
      findings.counts.snapshots += 1;
    } catch (error) {
      await takeFailure(store, id, error, findings);
    }
    await findings.step('backups', findings.counts.snapshots);
  }
  // Includes parts that no snapshot uses, and parts of snapshots that only the owner of their key can read.
  for (const name of await store.list(PART_PREFIX, signal)) {
    const bytes = await store.get(name, signal);
    if (bytes !== undefined && partId(sha256(bytes)) !== name) {
      findings.add('backup', { file: name }, `The part ${name} is damaged: its hash differs from its name.`);
    }
    await findings.step('backups', findings.counts.snapshots);
  }
}

async function takeFailure(store: SnapshotStore, id: string, error: unknown, findings: Findings): Promise<void> {
  // A snapshot is removed with its parts when there are newer ones.
  const [isThere] = await store.has([id], findings.signal);
  if (!isThere) return;
  if (error instanceof ContextCacheError && error.code === 'INVALID_OPTION') {
    findings.notes.push(`Snapshot ${id} was not read: ${error.message}`);
  } else findings.addError('backup', { snapshot: id }, error);
}

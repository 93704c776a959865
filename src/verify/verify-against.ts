import { BaseContextCache } from '../backends/base-context-cache.ts';
import { RedisContextCache } from '../backends/redis/redis-context-cache.ts';
import { encodeEntry } from '../core/encoding/entry-codec.ts';
import { ContextCacheError } from '../core/errors.ts';
import type { EntryRecord, NamespaceState } from '../core/namespace-state.ts';
import { BackupLoader, type LoadedNamespace } from '../followers/backup/backup-loader.ts';
import { DirectorySnapshotStore } from '../followers/backup/directory-snapshot-store.ts';
import { RedisSnapshotStore } from '../followers/backup/redis-snapshot-store.ts';
import { MANIFEST_PREFIX } from '../followers/backup/snapshot-format.ts';
import type { SnapshotStore } from '../followers/backup/snapshot-store.ts';
import type { SnapshotTransform } from '../followers/backup/snapshot-transform.ts';
import type { Findings } from './verify-findings.ts';
import { type Compared, MirrorCheck } from './verify-mirror.ts';

/** The mirror or backup to compare, and how to read it. */
export interface AgainstOptions {
  readonly against: string | BaseContextCache | SnapshotStore;
  readonly transforms?: readonly SnapshotTransform[] | undefined;
  /** `false` if an external primary keeps the values: a backup then contains them as of another time. */
  readonly keepsValues: boolean;
}

/**
 * Compares a mirror or a backup with the cache. A Redis may contain either or both; everything found there is compared.
 *
 * @throws {ContextCacheError} `NOT_FOUND` if there is neither, `UNREACHABLE`, `TIMED_OUT`, `POSITION_UNAVAILABLE`.
 */
export async function verifyAgainst(options: AgainstOptions, compared: Compared, findings: Findings): Promise<void> {
  const { against } = options;
  if (against instanceof BaseContextCache) return new MirrorCheck(against, compared, findings).run();
  if (typeof against !== 'string') return compareBackup(against, options, compared, findings);
  if (/^rediss?:\/\//.test(against)) return compareRedis(against, options, compared, findings);
  const store = new DirectorySnapshotStore(against);
  try {
    await compareBackup(store, options, compared, findings);
  } finally {
    await store.close();
  }
}

async function compareRedis(
  url: string,
  options: AgainstOptions,
  compared: Compared,
  findings: Findings,
): Promise<void> {
  const { log, clock } = compared;
  const mirror = new RedisContextCache({ url, clock });
  const store = new RedisSnapshotStore({ url, clock });
  try {
    await mirror.connect(findings.signal);
    const isOurs =
      (await mirror.appliedPosition(log.id, findings.signal ?? new AbortController().signal)) !== undefined;
    const hasBackup = (await store.list(MANIFEST_PREFIX, findings.signal)).length > 0;
    const isMirror = isOurs || (!hasBackup && (await mirror.listNamespaces()).length > 0);
    if (!isMirror && !hasBackup) {
      const remedy = 'Name the Redis that the cache mirrors or backs up to, with its database.';
      throw new ContextCacheError(
        'NOT_FOUND',
        `There is neither a mirror nor a backup at ${mirror.description}. ${remedy}`,
      );
    }
    if (isMirror) await new MirrorCheck(mirror, compared, findings).run();
    if (hasBackup) await compareBackup(store, options, compared, findings);
  } finally {
    mirror.close();
    await store.close();
  }
}

/** Compares the newest complete snapshot with the state at its position. */
async function compareBackup(
  store: SnapshotStore,
  { transforms, keepsValues }: AgainstOptions,
  { log, past }: Compared,
  findings: Findings,
): Promise<void> {
  const onDamaged = (id: string, error: Error) => findings.addError('backup', { snapshot: id }, error);
  const snapshot = await new BackupLoader({ store, transforms, onDamaged }).newest(findings.signal);
  if (snapshot === undefined) {
    throw new ContextCacheError(
      'NOT_FOUND',
      `There is no snapshot in ${store.description}. Name a directory or Redis that holds a backup.`,
    );
  }
  const { id, position, log: of } = snapshot.info;
  if (of !== log.id)
    findings.notes.push(`Snapshot ${id} belongs to another log; it was compared at its position all the same.`);
  if (!keepsValues) findings.notes.push('The values in the backup were not compared, because your primary keeps them.');
  if (position > log.head) {
    const message = `Snapshot ${id} is at position ${position}, but the log ends at ${log.head}.`;
    findings.add('different', { snapshot: id, position }, message);
    return;
  }
  const view = past.at(position);
  const missing = new Set(view.names());
  for await (const namespace of snapshot.namespaces(findings.signal)) {
    missing.delete(namespace.name);
    const state = view.state(namespace.name);
    if (state === undefined) reportExtra(id, namespace, findings);
    else await compareNamespace(id, state, namespace, keepsValues, findings);
  }
  for (const namespace of missing) {
    findings.add('missing', { snapshot: id, namespace }, 'The namespace is not in the backup.');
  }
  findings.notes.push(`Snapshot ${id} is at position ${position}, ${log.head - position} behind.`);
}

function reportExtra(snapshot: string, { name }: LoadedNamespace, findings: Findings): void {
  findings.add('extra', { snapshot, namespace: name }, 'The namespace is in the backup but did not exist.');
}

async function compareNamespace(
  snapshot: string,
  state: NamespaceState,
  { name: namespace, version, entries }: LoadedNamespace,
  valued: boolean,
  findings: Findings,
): Promise<void> {
  if (version !== state.version) {
    const message = `The namespace is at version ${version} in the backup, but was at ${state.version}.`;
    findings.add('different', { snapshot, namespace }, message);
  }
  for (const key of new Set([...state.entries.keys(), ...entries.keys()])) {
    const where = { snapshot, namespace, key };
    const [ours, theirs] = [state.entries.get(key), entries.get(key)];
    if (theirs === undefined) findings.add('missing', where, 'The entry is not in the backup.');
    else if (ours === undefined) findings.add('extra', where, 'The entry is in the backup but did not exist.');
    else if (!sameEntry(ours, theirs, valued)) findings.add('different', where, 'The entry differs in the backup.');
    findings.counts.compared += 1;
    await findings.step('against', findings.counts.compared);
  }
}

function sameEntry(a: EntryRecord, b: EntryRecord, valued: boolean): boolean {
  const [one, other] = [a, b].map((entry) => encodeEntry(valued ? entry : { ...entry, value: undefined }));
  return one?.expiresAt === other?.expiresAt && Buffer.compare(one?.bytes ?? EMPTY, other?.bytes ?? EMPTY) === 0;
}

const EMPTY = new Uint8Array();

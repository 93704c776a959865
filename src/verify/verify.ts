import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../core/clock.ts';
import { withDeadline } from '../core/deadline.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import { DirectorySnapshotStore } from '../followers/backup/directory-snapshot-store.ts';
import type { SnapshotTransform } from '../followers/backup/snapshot-transform.ts';
import { Checkpointer } from '../storage/disk/checkpointer.ts';
import type { LevelLog } from '../storage/disk/log/level-log.ts';
import type { StateTable } from '../storage/disk/state/state-table.ts';
import type { NamespaceRegistry } from '../storage/namespace-registry.ts';
import type { PastSource } from '../storage/past-source.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import { verifyAgainst } from './verify-against.ts';
import { verifyBackups } from './verify-backups.ts';
import { Findings } from './verify-findings.ts';
import { ResidentCheck, verifyMemory } from './verify-memory.ts';
import { reportOf, VERIFY_OPTIONS, type VerifyOptions, type VerifyReport } from './verify-report.ts';

/** Milliseconds to wait for followers. Updates that they have not received by then are left out. */
const SYNC_MS = 10_000;

/** The parts of a running cache that are verified; an `Engine` fits. */
export interface VerifiedEngine {
  readonly log: UpdateLog;
  readonly registry: NamespaceRegistry;
  readonly clock: Clock;
  /** An external primary that keeps the values; `undefined` if the cache keeps them itself. */
  readonly primary: unknown;
  readonly followers: {
    get(name: string): VerifiedFollower | undefined;
    caughtUp(signal: AbortSignal): Promise<void>;
  };
}

interface VerifiedFollower {
  caughtUp(signal: AbortSignal): Promise<void>;
}

/** The storage of a running cache. */
export interface VerifiedStorage {
  readonly past: PastSource;
  /** The log and the state table on disk; `undefined` without a data directory. */
  readonly database?: { readonly log: LevelLog; readonly table: StateTable } | undefined;
}

/** Verifies a running cache. */
export class Verifier {
  readonly #parts: VerifiedEngine;
  readonly #storage: VerifiedStorage;
  readonly #transforms: readonly SnapshotTransform[] | undefined;

  constructor(parts: VerifiedEngine, storage: VerifiedStorage, transforms: readonly SnapshotTransform[] | undefined) {
    this.#parts = parts;
    this.#storage = storage;
    this.#transforms = transforms;
  }

  async verify(options: VerifyOptions): Promise<VerifyReport> {
    const { against, signal, onProgress } = VERIFY_OPTIONS.checked(options);
    const { log, clock } = this.#parts;
    if (log.status === 'closed') throw new ContextCacheError('CLOSED', 'The cache is shut down.');
    signal?.throwIfAborted();
    const findings = new Findings(clock, signal, onProgress);
    const { position, digest } = await (this.#storage.database === undefined
      ? this.#verifyMemory(findings)
      : this.#verifyDirectory(this.#storage.database, findings));
    if (against !== undefined) await this.#compare(against, findings);
    return reportOf(findings, position, digest);
  }

  #verifyMemory(findings: Findings): Promise<{ position: number; digest: string }> {
    const { registry, log, clock, primary } = this.#parts;
    const keepsValues = primary === undefined;
    return verifyMemory({ registry, log, past: this.#storage.past, now: clock.now(), keepsValues }, findings);
  }

  async #verifyDirectory(
    { log, table }: NonNullable<VerifiedStorage['database']>,
    findings: Findings,
  ): Promise<{ position: number; digest: string }> {
    const { verifyDatabase, verifyFiles } = await import('./disk/verify-database.ts');
    const { path } = log.directory;
    await this.#sync(findings, [Checkpointer.follower]);
    await verifyFiles(join(path, 'db'), findings, true);
    const storage = log.directory.pin();
    const verdict = await verifyDatabase(storage, findings, path).finally(() => storage.close());
    await new ResidentCheck(this.#parts.registry, log, table, findings).run();
    await verifyBackupsOf(path, this.#transforms, findings);
    return verdict;
  }

  async #compare(against: NonNullable<VerifyOptions['against']>, findings: Findings): Promise<void> {
    const { log, clock, primary } = this.#parts;
    const keepsValues = primary === undefined;
    const synced = () => this.#sync(findings);
    const compared = { log, past: this.#storage.past, clock, synced };
    await verifyAgainst({ against, transforms: this.#transforms, keepsValues }, compared, findings);
  }

  /** Waits a bounded time for followers, all of them by default. */
  async #sync(findings: Findings, names?: readonly string[]): Promise<void> {
    const { clock, followers, log } = this.#parts;
    const { signal } = findings;
    const caughtUp = async (limited: AbortSignal) => {
      await log.flush();
      if (names === undefined) await followers.caughtUp(limited);
      else await Promise.all(names.map((name) => followers.get(name)?.caughtUp(limited)));
    };
    try {
      await withDeadline(caughtUp, { what: 'A follower', timeoutMs: SYNC_MS, clock, signal });
    } catch (error) {
      signal?.throwIfAborted();
      const note = `Not every follower has caught up: ${toError(error).message}`;
      if (!findings.notes.includes(note)) findings.notes.push(note);
    }
  }
}

/** Verifies the snapshots in the data directory, if there are any. */
export async function verifyBackupsOf(
  dataDir: string,
  transforms: readonly SnapshotTransform[] | undefined,
  findings: Findings,
): Promise<void> {
  const path = join(dataDir, 'backups');
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  if (!isThere) return;
  const store = new DirectorySnapshotStore(path);
  try {
    await verifyBackups(store, transforms, findings);
  } finally {
    await store.close();
  }
}

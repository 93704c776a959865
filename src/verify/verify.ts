import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../core/clock.ts';
import { withDeadline } from '../core/deadline.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import { DirectorySnapshotStore } from '../followers/backup/directory-snapshot-store.ts';
import type { SnapshotTransform } from '../followers/backup/snapshot-transform.ts';
import type { DiskIndex } from '../storage/disk/index/disk-index.ts';
import type { DiskLog } from '../storage/disk/log/disk-log.ts';
import type { NamespaceRegistry } from '../storage/namespace-registry.ts';
import type { PastSource } from '../storage/past-source.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import type { StoredVerdict } from './disk/verify-stored.ts';
import { verifyAgainst } from './verify-against.ts';
import { verifyBackups } from './verify-backups.ts';
import { Findings } from './verify-findings.ts';
import { ResidentCheck, verifyMemory } from './verify-memory.ts';
import { reportOf, VERIFY_OPTIONS, type VerifyOptions, type VerifyReport } from './verify-report.ts';

/** Milliseconds to wait for followers, and for the index. Updates that they have not received by then are left out. */
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
  /** The log and the index on disk; `undefined` without a data directory. */
  readonly directory?: VerifiedDirectory | undefined;
}

interface VerifiedDirectory {
  readonly log: DiskLog;
  readonly index: DiskIndex;
}

/** Name of the follower that brings the index up to date. */
const INDEX_FOLLOWER = 'index';

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
    const { against, repair, signal, onProgress } = VERIFY_OPTIONS.checked(options);
    const { log, clock } = this.#parts;
    if (log.status === 'closed') throw new ContextCacheError('CLOSED', 'The cache is shut down.');
    signal?.throwIfAborted();
    let findings = new Findings(clock, signal, onProgress);
    const { directory } = this.#storage;
    let verdict: { readonly position: number; readonly digest: string };
    if (directory === undefined) verdict = await this.#verifyMemory(findings);
    else {
      const { verifyAndRepair } = await import('./disk/repair.ts');
      const stored = {
        verify: (into: Findings) => this.#verifyDirectory(directory, into),
        rebuild: () => directory.index.rebuild('A verification found that the index is wrong or missing'),
      };
      ({ verdict, findings } = await verifyAndRepair(stored, repair === true, findings));
      await verifyBackupsOf(directory.log.dataDir, this.#transforms, findings);
    }
    if (against !== undefined) await this.#compare(against, findings);
    return reportOf(findings, verdict.position, verdict.digest);
  }

  #verifyMemory(findings: Findings): Promise<{ position: number; digest: string }> {
    const { registry, log, clock, primary } = this.#parts;
    const keepsValues = primary === undefined;
    return verifyMemory({ registry, log, past: this.#storage.past, now: clock.now(), keepsValues }, findings);
  }

  /** Verifies what is on disk up to the committed position, and compares memory with it. */
  async #verifyDirectory({ log, index }: VerifiedDirectory, findings: Findings): Promise<StoredVerdict> {
    const { verifyStored } = await import('./disk/verify-stored.ts');
    const { registry, primary } = this.#parts;
    const keepsValues = primary === undefined;
    const through = await this.#settled(findings.signal);
    // Retention waits before it removes the base file and the files of the log that are about to be read.
    return log.holds.during(async () => {
      const pinned = index.pin();
      try {
        return await verifyStored(
          {
            ...{ files: log.files, dataDir: log.dataDir, path: log.path, names: log.names(), log: log.id },
            ...{ through, keepsValues, index: pinned },
            onFold: (fold, position) =>
              new ResidentCheck({ registry, log, keepsValues }, fold, position, findings).run(),
          },
          findings,
        );
      } finally {
        await pinned?.close();
      }
    });
  }

  async #compare(against: NonNullable<VerifyOptions['against']>, findings: Findings): Promise<void> {
    const { log, clock, primary } = this.#parts;
    const keepsValues = primary === undefined;
    const synced = () => this.#sync(findings);
    const compared = { log, past: this.#storage.past, clock, synced };
    await verifyAgainst({ against, transforms: this.#transforms, keepsValues }, compared, findings);
  }

  /**
   * Waits a bounded time until the log is written and the index has followed; what it lacks then is noted. Resolves with the position
   * up to which there is something to verify.
   */
  async #settled(signal: AbortSignal | undefined): Promise<number> {
    const { clock, followers, log } = this.#parts;
    let through = log.committed;
    const settled = async (limited: AbortSignal) => {
      await log.flush();
      through = log.committed;
      await followers.get(INDEX_FOLLOWER)?.caughtUp(limited);
    };
    await withDeadline(settled, { what: 'The index', timeoutMs: SYNC_MS, clock, signal }).catch(() => undefined);
    signal?.throwIfAborted();
    return through;
  }

  /** Waits a bounded time for all followers. */
  async #sync(findings: Findings): Promise<void> {
    const { clock, followers, log } = this.#parts;
    const { signal } = findings;
    const caughtUp = async (limited: AbortSignal) => {
      await log.flush();
      await followers.caughtUp(limited);
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

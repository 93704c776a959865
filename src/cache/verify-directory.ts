import { dirname, join, resolve } from 'node:path';
import { type Clock, systemClock } from '../core/clock.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import { optionNames } from '../core/options.ts';
import type { CacheOptions } from '../engine/options.ts';
import { DataDirectory } from '../storage/disk/data-directory.ts';
import { nodeFiles } from '../storage/disk/files.ts';
import { copyDatabase } from '../storage/disk/index/leveldb/database-copy.ts';
import { openLevel } from '../storage/disk/index/leveldb/level-storage.ts';
import { PinnedStorage } from '../storage/disk/index/leveldb/pinned-storage.ts';
import { damageIn, NotTried } from '../storage/disk/index/leveldb/trial.ts';
import { rebuildIndex } from '../storage/disk/index/rebuild-index.ts';
import { refuseFormat1 } from '../storage/disk/log/segment-scan.ts';
import { storedLog } from '../storage/disk/log/stored-log.ts';
import { type Repairable, type Verified, verifyAndRepair } from '../verify/disk/repair.ts';
import { type StoredParts, type StoredVerdict, verifyStored } from '../verify/disk/verify-stored.ts';
import { verifyBackupsOf } from '../verify/verify.ts';
import { type AgainstOptions, verifyAgainst } from '../verify/verify-against.ts';
import { Findings } from '../verify/verify-findings.ts';
import { reportOf, VERIFY_NAMES, type VerifyOptions, type VerifyReport } from '../verify/verify-report.ts';

/** Options of {@link verifyDirectory}. */
export interface VerifyDirectoryOptions extends VerifyOptions {
  /** Transforms that the snapshots in the directory were written with, such as encryption. */
  readonly transforms?: NonNullable<CacheOptions['backup']>['transforms'];
  readonly clock?: Clock | undefined;
}

const VERIFY_DIRECTORY_OPTIONS = optionNames<VerifyDirectoryOptions>('verifyDirectory', {
  ...VERIFY_NAMES,
  transforms: true,
  clock: true,
});

/**
 * Verifies a data directory that no process has open, like `cache.verify()` in a running cache. Works also for a
 * directory that `AgentContextCache.open` refuses. Holds the lock of the directory and changes nothing: it reads a copy
 * of the index, mostly of links, in the directory, and removes it. With `repair` it rebuilds an index that is wrong or
 * missing if base and log are right. With `against` it opens the directory for the comparison, if nothing was wrong with
 * base, log and index; opening brings the index up to date.
 *
 * @throws {ContextCacheError} `NOT_FOUND`, `DIRECTORY_LOCKED`, `FORMAT_UNSUPPORTED`, and for `against` the errors of
 *   `cache.verify()`.
 *
 * @example
 * ```ts
 * const { ok, problems } = await verifyDirectory('./agent-memory');
 * ```
 */
export async function verifyDirectory(dataDir: string, options: VerifyDirectoryOptions = {}): Promise<VerifyReport> {
  const { against, transforms, clock = systemClock, ...given } = VERIFY_DIRECTORY_OPTIONS.checked(options);
  const path = resolve(dataDir);
  await mustExist(join(path, 'db'));
  const begun = new Findings(clock, given.signal, given.onProgress);
  const unlock = await nodeFiles.lock(join(path, 'db', 'lock'), path);
  let verified: Verified;
  try {
    verified = await verifyAndRepair(storedIn(path, clock), given.repair === true, begun);
    await verifyBackupsOf(path, transforms, verified.findings);
  } finally {
    // Not before: a process that opened the directory meanwhile would change its files.
    await unlock();
  }
  const { verdict, findings } = verified;
  if (against !== undefined) await compare(path, { against, transforms }, verified, clock);
  return reportOf(findings, verdict.position, verdict.digest);
}

async function mustExist(path: string): Promise<void> {
  await refuseFormat1(nodeFiles, path);
  if ((await nodeFiles.list(path)).length > 0) return;
  const remedy = 'Name a directory that a cache was opened with.';
  throw new ContextCacheError('NOT_FOUND', `There is no data directory at ${dirname(path)}. ${remedy}`);
}

/** Base, log and index of a directory whose lock is held. */
function storedIn(dataDir: string, clock: Clock): Repairable {
  return {
    verify: (findings) => verifyOnce(dataDir, findings),
    rebuild: (verdict) => rebuildIndex(nodeFiles, join(dataDir, 'db'), verdict, clock),
  };
}

/** Verifies the stored data once. */
async function verifyOnce(dataDir: string, findings: Findings): Promise<StoredVerdict> {
  const path = join(dataDir, 'db');
  const { names, log } = await storedLog(nodeFiles, path);
  const parts = { files: nodeFiles, dataDir, path, names, log };
  await using index = await openIndexCopy(dataDir, findings);
  return await verifyStored({ ...parts, ...index }, findings);
}

/** Opens the directory and compares it with `against`, unless something is wrong with it. */
async function compare(
  dataDir: string,
  { against, transforms }: Pick<AgainstOptions, 'against' | 'transforms'>,
  { verdict, findings }: Verified,
  clock: Clock,
): Promise<void> {
  if (!verdict.isWhole || findings.problems.some(({ kind }) => kind !== 'backup')) {
    findings.notes.push('Nothing was compared, because something is wrong with the directory itself.');
    return;
  }
  const { keepsValues } = verdict;
  const directory = await DataDirectory.open({ dataDir, clock, keepsValues });
  try {
    await directory.openIndex();
    const { log, index } = directory;
    // An index that is rebuilt meanwhile makes the comparison slow, but not wrong.
    await index.fold(log.committed).catch(() => undefined);
    const compared = { log, past: directory.past([]), clock, synced: async () => {} };
    await verifyAgainst({ against, transforms, keepsValues }, compared, findings);
  } finally {
    await directory.close();
  }
}

interface IndexCopy extends AsyncDisposable, Pick<StoredParts, 'index' | 'unread'> {}

/** Opens a copy of the index, if there is one that can be opened. */
async function openIndexCopy(dataDir: string, findings: Findings): Promise<IndexCopy> {
  const location = join(dataDir, 'db', 'index');
  const without = (unread?: StoredParts['unread']) => ({
    ...{ index: undefined, unread },
    [Symbol.asyncDispose]: async () => {},
  });
  if (!(await nodeFiles.list(location)).includes('CURRENT')) return without();
  const copy = await copyDatabase(location, dataDir);
  try {
    const damage = await damageIn(copy.location, findings.signal);
    if (damage !== undefined) throw new Error(damage);
    const storage = await openLevel(copy.location);
    const index = new PinnedStorage(storage, location);
    const dispose = async () => {
      try {
        await index.close();
        await storage.close();
      } finally {
        await copy[Symbol.asyncDispose]();
      }
    };
    return { index, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await copy[Symbol.asyncDispose]();
    if (error instanceof NotTried) {
      findings.notes.push(`The index was not compared: ${error.message}`);
      return without('untried');
    }
    findings.addError('index', { file: join('db', 'index') }, toError(error).cause ?? error);
    return without('damaged');
  }
}

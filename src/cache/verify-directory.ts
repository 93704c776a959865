import { dirname, join, resolve } from 'node:path';
import { type Clock, systemClock } from '../core/clock.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import { optionNames } from '../core/options.ts';
import type { CacheOptions } from '../engine/options.ts';
import { nodeFiles } from '../storage/disk/files.ts';
import { copyDatabase } from '../storage/disk/index/leveldb/database-copy.ts';
import { openLevel } from '../storage/disk/index/leveldb/level-storage.ts';
import { PinnedStorage } from '../storage/disk/index/leveldb/pinned-storage.ts';
import { damageIn } from '../storage/disk/index/leveldb/trial.ts';
import { rebuildIndex } from '../storage/disk/index/rebuild-index.ts';
import { refuseFormat1 } from '../storage/disk/log/segment-scan.ts';
import { storedLog } from '../storage/disk/log/stored-log.ts';
import { type StoredVerdict, verifyStored } from '../verify/disk/verify-stored.ts';
import { verifyBackupsOf } from '../verify/verify.ts';
import { Findings } from '../verify/verify-findings.ts';
import { reportOf, VERIFY_NAMES, type VerifyOptions, type VerifyReport } from '../verify/verify-report.ts';
import { AgentContextCache } from './agent-context-cache.ts';

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
 * missing if base and log are right. With `against` it opens the directory if possible.
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
  const {
    against,
    repair,
    signal,
    onProgress,
    transforms,
    clock = systemClock,
  } = VERIFY_DIRECTORY_OPTIONS.checked(options);
  const path = resolve(dataDir);
  await mustExist(join(path, 'db'));
  let findings = new Findings(clock, signal, onProgress);
  if (against !== undefined) {
    const report = await verifyOpened(path, options, findings);
    if (report !== undefined) return report;
  }
  // Held until the end: a process that opened the directory meanwhile would change its files.
  const unlock = await nodeFiles.lock(join(path, 'db', 'lock'), path);
  try {
    let verdict = await verifyOnce(path, findings);
    if (repair === true && verdict.isWhole && verdict.index !== 'right') {
      findings = findings.afterRepair();
      await rebuildIndex(nodeFiles, join(path, 'db'), verdict, clock);
      verdict = await verifyOnce(path, findings);
    }
    await verifyBackupsOf(path, transforms, findings);
    return reportOf(findings, verdict.position, verdict.digest);
  } finally {
    await unlock();
  }
}

/** Opens the directory to compare it with `against`. Resolves with `undefined` if it is too damaged to be opened. */
async function verifyOpened(
  path: string,
  { against, repair, signal, onProgress, transforms, clock }: VerifyDirectoryOptions,
  findings: Findings,
): Promise<VerifyReport | undefined> {
  const backup = { enabled: false, transforms };
  try {
    await using cache = await AgentContextCache.open({
      ...{ dataDir: path, natsUrl: null, passivateAfterMs: 0, clock, backup },
      onError: () => {},
    });
    return await cache.verify({ against, repair, signal, onProgress });
  } catch (error) {
    if (!(error instanceof ContextCacheError) || error.code !== 'LOG_CORRUPT') throw error;
    findings.notes.push(`Nothing was compared, because the directory cannot be opened: ${error.message}`);
    return undefined;
  }
}

async function mustExist(path: string): Promise<void> {
  await refuseFormat1(nodeFiles, path);
  if ((await nodeFiles.list(path)).length > 0) return;
  const remedy = 'Name a directory that a cache was opened with.';
  throw new ContextCacheError('NOT_FOUND', `There is no data directory at ${dirname(path)}. ${remedy}`);
}

/** Verifies the stored data once. */
async function verifyOnce(dataDir: string, findings: Findings): Promise<StoredVerdict> {
  const path = join(dataDir, 'db');
  const { names, log } = await storedLog(nodeFiles, path);
  const parts = { files: nodeFiles, dataDir, path, names, log };
  await using index = await openIndexCopy(dataDir, findings);
  return await verifyStored({ ...parts, index: index?.pinned }, findings);
}

interface IndexCopy extends AsyncDisposable {
  readonly pinned: PinnedStorage;
}

/** Opens a copy of the index; `undefined` if there is none, or none that can be opened. */
async function openIndexCopy(dataDir: string, findings: Findings): Promise<IndexCopy | undefined> {
  const location = join(dataDir, 'db', 'index');
  if (!(await nodeFiles.list(location)).includes('CURRENT')) return undefined;
  const copy = await copyDatabase(location, dataDir);
  try {
    const damage = await damageIn(copy.location);
    if (damage !== undefined) throw new Error(damage);
    const storage = await openLevel(copy.location);
    const pinned = new PinnedStorage(storage, location);
    const dispose = async () => {
      await pinned.close();
      await storage.close();
      await copy[Symbol.asyncDispose]();
    };
    return { pinned, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await copy[Symbol.asyncDispose]();
    findings.addError('index', { file: join('db', 'index') }, toError(error).cause ?? error);
    return undefined;
  }
}

import { access, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Clock, systemClock } from '../core/clock.ts';
import { digestOfAll } from '../core/encoding/digest.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import { optionNames } from '../core/options.ts';
import type { CacheOptions } from '../engine/options.ts';
import { copyDatabase } from '../storage/disk/leveldb/database-copy.ts';
import { canonical } from '../storage/disk/leveldb/level-directory.ts';
import { openUnproven } from '../storage/disk/leveldb/level-storage.ts';
import { lockedError } from '../storage/disk/leveldb/locked.ts';
import { PinnedStorage } from '../storage/disk/leveldb/pinned-storage.ts';
import { assertUnheld } from '../storage/disk/leveldb/proof/prove-before-opening.ts';
import { type DatabaseVerdict, verifyDatabase, verifyFiles } from '../verify/disk/verify-database.ts';
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
 * directory that `AgentContextCache.open` refuses. Changes nothing: it makes a copy in the directory, mostly of links,
 * reads the copy and removes it. With `against` it opens the directory if possible.
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
  const { signal, onProgress, transforms, clock = systemClock } = VERIFY_DIRECTORY_OPTIONS.checked(options);
  const path = resolve(dataDir);
  await mustExist(path, join(path, 'db'));
  const location = await canonical(join(path, 'db'));
  await mustBeUnlocked(path, location);
  const findings = new Findings(clock, signal, onProgress);
  if (options.against !== undefined) {
    const report = await verifyOpened(path, options, findings);
    if (report !== undefined) return report;
  }
  const verdict = await verifyStored(path, location, findings);
  // A process that opened the directory meanwhile has changed its files, which must not be reported as damage.
  await mustBeUnlocked(path, location);
  await verifyBackupsOf(path, transforms, findings);
  return reportOf(findings, verdict.position, verdict.digest);
}

/** Opens the directory to compare it with `against`. Resolves with `undefined` if it is too damaged to be opened. */
async function verifyOpened(
  path: string,
  { against, signal, onProgress, transforms, clock }: VerifyDirectoryOptions,
  findings: Findings,
): Promise<VerifyReport | undefined> {
  const backup = { enabled: false, transforms };
  try {
    await using cache = await AgentContextCache.open({
      ...{ dataDir: path, natsUrl: null, passivateAfterMs: 0, clock, backup },
      onError: () => {},
    });
    return await cache.verify({ against, signal, onProgress });
  } catch (error) {
    if (!(error instanceof ContextCacheError) || error.code !== 'LOG_CORRUPT') throw error;
    findings.notes.push(`Nothing was compared, because the directory cannot be opened: ${error.message}`);
    return undefined;
  }
}

async function mustExist(path: string, location: string): Promise<void> {
  try {
    await access(location);
  } catch (cause) {
    const remedy = 'Name a directory that a cache was opened with.';
    throw new ContextCacheError('NOT_FOUND', `There is no data directory at ${path}. ${remedy}`, { cause });
  }
}

async function mustBeUnlocked(path: string, location: string): Promise<void> {
  try {
    await assertUnheld(location);
  } catch (error) {
    throw await lockedError(path, location, toError(toError(error).cause));
  }
}

async function verifyStored(path: string, location: string, findings: Findings): Promise<DatabaseVerdict> {
  const nothing = { position: 0, digest: digestOfAll([]) };
  await using copy = await copyDatabase(location, path);
  await verifyFiles(copy.location, findings, false);
  try {
    const storage = await openUnproven(copy.location, false);
    try {
      const pinned = new PinnedStorage(storage, path);
      return await verifyDatabase(pinned, findings, path).finally(() => pinned.close());
    } finally {
      await storage.close();
    }
  } catch (error) {
    const isForeign = error instanceof ContextCacheError && error.code === 'FORMAT_UNSUPPORTED';
    if (isForeign && findings.problems.length === 0) throw error;
    findings.addError('file', { file: await strictlyRead(copy.location) }, reasonOf(error));
    findings.notes.push('Not every record was read, because the database cannot be opened.');
    return nothing;
  }
}

/** Returns the name of the manifest: the file in which LevelDB tolerates no damage when it opens a complete database. */
async function strictlyRead(location: string): Promise<string> {
  const named = await readFile(join(location, 'CURRENT'), 'latin1').catch(() => '');
  return join('db', named.trim());
}

/** Returns LevelDB's own error instead of the one that the database could not be opened. */
function reasonOf(error: unknown): unknown {
  const { cause } = toError(error);
  return error instanceof ContextCacheError || cause === undefined ? error : cause;
}

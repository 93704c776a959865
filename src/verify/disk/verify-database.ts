import { digestOfAll } from '../../core/encoding/digest.ts';
import { ContextCacheError } from '../../core/errors.ts';
import { type LogIdentity, readIdentity } from '../../storage/disk/leveldb/level-identity.ts';
import type { PinnedStorage } from '../../storage/disk/leveldb/pinned-storage.ts';
import { checkDatabaseFiles } from '../../storage/disk/leveldb/proof/level-files.ts';
import { corrupt } from '../../storage/disk/leveldb/sealed.ts';
import { blockPosition, LOG_RANGE } from '../../storage/disk/records/block-codec.ts';
import {
  decodeProgress,
  PROGRESS_KEY,
  type Progress,
  SUMMARY_RANGE,
} from '../../storage/disk/records/state-records.ts';
import type { Findings } from '../verify-findings.ts';
import { LogCheck } from './verify-log.ts';
import { NamespacesCheck, readNamespaceRecords } from './verify-namespaces.ts';
import { RecordsCheck } from './verify-records.ts';

/** Verdict on the stored state, as far as it could be read. */
export interface DatabaseVerdict {
  /** Position at which the state was verified. */
  readonly position: number;
  /** Digest of all namespaces in the state table. */
  readonly digest: string;
}

/**
 * Verifies all records of a database at one time. Reads each record, checks its checksum and that it belongs under its
 * key; reads the log without a gap; folds the past of each namespace again and compares frames and state with the
 * result; and compares the past with the log.
 *
 * @throws {ContextCacheError} `FORMAT_UNSUPPORTED`, `LOG_UNAVAILABLE`; or the signal's reason.
 */
export async function verifyDatabase(
  storage: PinnedStorage,
  findings: Findings,
  path: string,
): Promise<DatabaseVerdict> {
  const begin = await readBegin(storage, findings, path);
  const progress = await readStoredProgress(storage, findings);
  const { begins = 0, since = 0, checkpoint: through = 0 } = progress ?? {};
  const overlap = { begins, after: Math.max(since, begin), through };
  const log = await new LogCheck(storage, findings, begin + 1, overlap).run();
  if (progress === undefined) {
    findings.notes.push('State and past were not checked: their checkpoint could not be read.');
    return { position: 0, digest: digestOfAll([]) };
  }
  const { checkpoint } = progress;
  if (checkpoint > log.head && log.whole) {
    const message = `The state is that of position ${checkpoint}, but the log ends at ${log.head}.`;
    findings.add('log', { position: checkpoint }, message);
  }
  if (progress.adopting) findings.notes.push('A restore was interrupted; the next start undoes it.');
  const records = await readNamespaceRecords(storage, findings);
  const digest = await new NamespacesCheck(storage, findings, log, progress, overlap).run(records);
  const bounds = { ...records, head: log.head, timed: checkpoint - begins, gone: since - begins };
  await new RecordsCheck(storage, findings, bounds).run();
  return { position: checkpoint, digest };
}

/** Reads the position after which the log starts. */
async function readBegin(storage: PinnedStorage, findings: Findings, path: string): Promise<number> {
  let identity: LogIdentity | undefined;
  try {
    identity = await readIdentity(storage, path);
    return identity?.begin ?? 0;
  } catch (error) {
    const [format] = await storage.getMany(['!meta!format']).catch(() => []);
    const foreign = error instanceof ContextCacheError && error.code === 'FORMAT_UNSUPPORTED';
    if (foreign && format !== undefined) throw error;
    findings.addError('record', { record: '!meta!' }, error);
  }
  for await (const [key] of storage.entries({ ...LOG_RANGE, limit: 1 })) return blockPosition(key) - 1;
  return 0;
}

async function readStoredProgress(storage: PinnedStorage, findings: Findings): Promise<Progress | undefined> {
  try {
    const [record] = await storage.getMany([PROGRESS_KEY]);
    if (record === undefined) {
      for await (const _ of storage.entries({ ...SUMMARY_RANGE, limit: 1 })) {
        throw corrupt('The checkpoint of the state table is missing');
      }
    }
    return decodeProgress(record);
  } catch (error) {
    findings.addError('record', { record: PROGRESS_KEY }, error);
    return undefined;
  }
}

/** Checks the checksums of the database's own files. `live`: a process is writing there. */
export async function verifyFiles(location: string, findings: Findings, live: boolean): Promise<void> {
  const options = { live, ...(findings.signal === undefined ? {} : { signal: findings.signal }) };
  for await (const { file, offset, problem } of checkDatabaseFiles(location, options)) {
    findings.add('file', { file: `db/${file}`, offset }, `${file} ${problem} (byte ${offset}).`);
    await findings.step('files', findings.problems.length);
  }
}

import { join } from 'node:path';
import { digestOfAll } from '../../core/encoding/digest.ts';
import { ContextCacheError } from '../../core/errors.ts';
import { baseName } from '../../storage/disk/base/base-file.ts';
import type { Files } from '../../storage/disk/files.ts';
import { type Misfit, misfitOf } from '../../storage/disk/index/index-fit.ts';
import type { PinnedStorage } from '../../storage/disk/index/leveldb/pinned-storage.ts';
import { decodeProgress, PROGRESS_KEY, type Progress } from '../../storage/disk/index/records/progress.ts';
import type { LogFileNames } from '../../storage/disk/log/file-log.ts';
import { walkLog } from '../../storage/disk/log/log-walk.ts';
import { segmentName } from '../../storage/disk/log/segment.ts';
import { Segments } from '../../storage/disk/log/segments.ts';
import type { Findings } from '../verify-findings.ts';
import { Fold } from './fold.ts';
import { IndexCheck } from './verify-index.ts';
import { LogCheck } from './verify-log.ts';

/** The stored data that is verified. */
export interface StoredParts {
  readonly files: Files;
  readonly dataDir: string;
  /** Folder that holds `log`, `base` and `index`. */
  readonly path: string;
  readonly names: LogFileNames;
  /** Id of the log; `undefined` if it cannot be read. */
  readonly log: string | undefined;
  /** Last position to verify, unless the index has come further. Default: the end of the log. */
  readonly through?: number | undefined;
  /** `false` if an external primary keeps the values. Default: as the index says. */
  readonly keepsValues?: boolean | undefined;
  /** The records of the index; `undefined` if it is missing or unreadable. */
  readonly index: PinnedStorage | undefined;
  /** Set if there is an index that is not read, which has been reported: it is damaged, or it could not be tried. */
  readonly unread?: 'damaged' | 'untried' | undefined;
  /** Bytes of state that are folded at a time. Default 512 MiB. */
  readonly foldBytes?: number | undefined;
  /** Called with the namespaces as base and log lead to them, part by part, if both are whole. */
  readonly onFold?: ((fold: Fold, head: number) => Promise<void>) | undefined;
}

/** Verdict on the stored data. */
export interface StoredVerdict {
  /** Last position of the log. */
  readonly position: number;
  /** Digest of all namespaces there. */
  readonly digest: string;
  /** `true` if base and log are whole. */
  readonly isWhole: boolean;
  /** Id of the log, and its files. */
  readonly log: string;
  readonly names: LogFileNames;
  /** `false` if an external primary keeps the values. */
  readonly keepsValues: boolean;
  /** `absent` if there is no index of this log; the next start rebuilds it. `untried` if nothing is known about it. */
  readonly index: 'right' | 'wrong' | 'absent' | 'untried';
  /** Note on why the index is absent. */
  readonly reason: string | undefined;
}

/** The index of a directory that is verified. */
interface OpenedIndex {
  readonly check?: IndexCheck;
  /** Reason why there is nothing to compare. */
  readonly reason?: string;
  /** `true` if the index proves that the log has lost updates. */
  readonly isAhead?: boolean;
}

/** More state than this is split into parts, for each of which the log is read again. */
const FOLD_BYTES = 512 * 1024 * 1024;

/**
 * Verifies base and log frame by frame, folds them, and compares the index with the fold.
 *
 * @throws {ContextCacheError} `LOG_UNAVAILABLE`; or the signal's reason.
 */
export async function verifyStored(parts: StoredParts, findings: Findings): Promise<StoredVerdict> {
  const { names, onFold } = parts;
  const { check: index, reason, isAhead = false } = await openIndex(parts, findings);
  const through = parts.through && Math.max(parts.through, index?.progress.checkpoint ?? 0);
  await index?.read();
  const keepsValues = parts.keepsValues ?? index?.progress.keepsValues ?? true;
  const count = await partsOf(parts, index);
  const digests: [name: string, digest: string][] = [];
  const hasIndex = parts.index !== undefined || parts.unread !== undefined;
  const isLost = names.firsts.length === 0 && (names.base > 0 || hasIndex);
  if (isLost) findings.add('log', { file: 'db/log' }, 'The log has no file, but there is a base or an index.');
  let [position, isWhole, isCompared] = [names.base, !isLost && !isAhead, false];
  for (let part = 0; part < count; part += 1) {
    const fold = new Fold(part, count);
    const log = new LogCheck({ ...parts, ...names, through }, fold, findings, part === 0);
    await log.readBase(parts.log);
    const compare = async () => {
      if (!log.isWhole) return;
      await index?.compare(fold);
      isCompared = true;
    };
    const checkpoint = index?.progress.checkpoint;
    if (checkpoint === names.base) await compare();
    for await (const updates of log.updates()) {
      for (const update of updates) {
        const { position: at } = update;
        if (log.isWhole && at <= (checkpoint ?? 0)) await index?.take(update, fold);
        log.apply(update);
        if (at === checkpoint) await compare();
      }
    }
    position = log.head;
    isWhole &&= log.isWhole;
    if (!log.isWhole) continue;
    if (part === 0) noteLag(position, checkpoint, findings);
    for (const digest of await fold.digests(keepsValues, findings)) digests.push(digest);
    await onFold?.(fold, position);
  }
  if (!isWhole && index !== undefined && !isCompared)
    findings.notes.push('The index was not compared, because the log is damaged.');
  if (!isWhole) findings.notes.push('The state was not determined, because base or log is damaged.');
  if (index === undefined) findings.counts.namespaces += digests.length;
  const digest = digestOfAll(isWhole ? digests : []);
  const verdict = verdictOn(index, parts.unread);
  return { position, digest, isWhole, log: parts.log ?? '', names, keepsValues, index: verdict, reason };
}

function verdictOn(index: IndexCheck | undefined, unread: StoredParts['unread']): StoredVerdict['index'] {
  if (index === undefined) return unread === 'untried' ? 'untried' : 'absent';
  return index.isWrong ? 'wrong' : 'right';
}

function noteLag(head: number, checkpoint: number | undefined, findings: Findings): void {
  if (checkpoint === undefined || checkpoint >= head) return;
  findings.notes.push(`The index is at position ${checkpoint}, ${head - checkpoint} behind; it follows by itself.`);
}

/** Returns the number of parts into which the state is split. */
async function partsOf(
  { files, path, names, foldBytes = FOLD_BYTES }: StoredParts,
  index: IndexCheck | undefined,
): Promise<number> {
  const { base, firsts } = names;
  let bytes = index?.bytes ?? 0;
  if (index === undefined) {
    if (base > 0) bytes += await files.size(join(path, 'base', baseName(base)));
    for (const first of firsts) bytes += await files.size(join(path, 'log', segmentName(first)));
  }
  return Math.max(1, Math.ceil(bytes / foldBytes));
}

/** Opens the index for comparison, unless it is missing or does not fit the log. */
async function openIndex(parts: StoredParts, findings: Findings): Promise<OpenedIndex> {
  const { index, names } = parts;
  const absent = (reason: string): OpenedIndex => {
    const note = `The index was not compared: ${reason}. It is rebuilt by the next start.`;
    findings.notes.push(note);
    return { reason: note };
  };
  if (index === undefined) return parts.unread === undefined ? absent('it is missing') : {};
  let progress: Progress | undefined;
  try {
    const [record] = await index.getMany([PROGRESS_KEY]);
    if (record === undefined) return absent('it is incomplete');
    progress = decodeProgress(record);
  } catch (error) {
    findings.addError('index', { file: 'db/index', record: PROGRESS_KEY }, error);
    return {};
  }
  if (progress === undefined) return absent('it has another format');
  const misfit = misfitIn(parts, progress);
  if (misfit === undefined) return { check: new IndexCheck(index, progress, names.base, findings) };
  if (!misfit.isAhead) return absent(misfit.reason);
  // A log without a file is reported as such.
  if (names.firsts.length > 0) {
    findings.add('log', { file: 'db/log', position: progress.checkpoint }, misfit.reason);
  }
  return { isAhead: true };
}

/** Returns the reason why an index does not fit the log; `undefined` if it does. */
function misfitIn(
  { files, path, names, log, keepsValues, through }: StoredParts,
  progress: Progress,
): Misfit | undefined {
  // A log in use has what its index has; it is read up to there.
  const head = through === undefined ? headOf(files, path, names) : Number.POSITIVE_INFINITY;
  const reader = new Segments(files, join(path, 'log'), names.firsts);
  try {
    const checksumAt = (position: number) => reader.readLocated(position, position)[0]?.checksum;
    return misfitOf(progress, { path, log, base: names.base, head, keepsValues, checksumAt });
  } catch (error) {
    if (!(error instanceof ContextCacheError) || error.code !== 'LOG_CORRUPT') throw error;
    // The damage itself is reported when the log is read.
    const { checkpoint } = progress;
    return { isAhead: false, reason: `the log has no update at position ${checkpoint}, where the index ends` };
  } finally {
    reader.close();
  }
}

/** Returns the last position of a log, also behind damage. */
function headOf(files: Files, path: string, { base, firsts }: LogFileNames): number {
  const last = firsts.at(-1) ?? base + 1;
  let head = Math.max(base, last - 1);
  for (const step of walkLog(files, { path, base: last - 1, firsts: firsts.slice(-1) })) {
    if ('frame' in step && step.frame.count > 0) head = Math.max(head, step.frame.position + step.frame.count - 1);
  }
  return head;
}

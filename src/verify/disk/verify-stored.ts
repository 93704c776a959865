import { join } from 'node:path';
import { digestOfAll } from '../../core/encoding/digest.ts';
import { baseName } from '../../storage/disk/base/base-file.ts';
import type { Files } from '../../storage/disk/files.ts';
import type { PinnedStorage } from '../../storage/disk/index/leveldb/pinned-storage.ts';
import { decodeProgress, PROGRESS_KEY, type Progress } from '../../storage/disk/index/records/progress.ts';
import { FileLog, type LogFileNames } from '../../storage/disk/log/file-log.ts';
import { segmentName } from '../../storage/disk/log/segment.ts';
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
  /** The records of the index; `undefined` if there are none. */
  readonly index: PinnedStorage | undefined;
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
  /** `absent` if there is no index of this log; the next start rebuilds it. */
  readonly index: 'right' | 'wrong' | 'absent';
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
  const index = await openIndex(parts, findings);
  const through = parts.through && Math.max(parts.through, index?.progress.checkpoint ?? 0);
  await index?.read();
  const keepsValues = parts.keepsValues ?? index?.progress.keepsValues ?? true;
  const count = await partsOf(parts, index);
  const digests: [name: string, digest: string][] = [];
  const isLost = names.firsts.length === 0 && (names.base > 0 || parts.index !== undefined);
  if (isLost) findings.add('log', { file: 'db/log' }, 'The log has no file, but there is a base or an index.');
  let [position, isWhole, isCompared] = [names.base, !isLost, false];
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
      for (const logged of updates) {
        const { position: at } = logged.update;
        if (log.isWhole && at <= (checkpoint ?? 0)) await index?.take(logged, fold);
        log.apply(logged.update);
        if (at === checkpoint) await compare();
      }
    }
    position = log.head;
    isWhole &&= log.isWhole;
    if (!log.isWhole) continue;
    if (part === 0) noteLag(position, checkpoint, findings);
    digests.push(...(await fold.digests(keepsValues, findings)));
    await onFold?.(fold, position);
  }
  if (!isWhole && index !== undefined && !isCompared)
    findings.notes.push('The index was not compared, because the log is damaged.');
  if (!isWhole) findings.notes.push('The state was not determined, because base or log is damaged.');
  if (index === undefined) findings.counts.namespaces += digests.length;
  const verdict = index === undefined ? 'absent' : index.isWrong ? 'wrong' : 'right';
  const digest = digestOfAll(isWhole ? digests : []);
  return { position, digest, isWhole, log: parts.log ?? '', names, keepsValues, index: verdict };
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

/** Opens the index for comparison, unless it is missing or belongs to another log. */
async function openIndex(parts: StoredParts, findings: Findings): Promise<IndexCheck | undefined> {
  const { index, names } = parts;
  const absent = (reason: string) => {
    findings.notes.push(`The index was not compared: ${reason}. It is rebuilt by the next start.`);
    return undefined;
  };
  if (index === undefined) return absent('it is missing');
  let progress: Progress | undefined;
  try {
    const [record] = await index.getMany([PROGRESS_KEY]);
    if (record === undefined) return absent('it is incomplete');
    progress = decodeProgress(record);
  } catch (error) {
    findings.addError('index', { file: 'db/index', record: PROGRESS_KEY }, error);
    return absent('its progress cannot be read');
  }
  const reason = progress === undefined ? 'it has another format' : await misfit(parts, progress);
  if (progress === undefined || reason !== undefined) return absent(reason ?? '');
  return new IndexCheck(index, progress, names.base, findings);
}

/** Resolves with the reason why an index does not belong to the log; `undefined` if it does. */
async function misfit(
  { files, path, names, log, keepsValues }: StoredParts,
  { log: of, adopting, checkpoint, fingerprint, trimmed, keepsValues: valued }: Progress,
): Promise<string | undefined> {
  if (adopting) return 'it is incomplete';
  if (log !== undefined && of !== log) return 'it belongs to another log';
  if (keepsValues !== undefined && keepsValues !== valued) return 'it was written with another kind of primary';
  if (trimmed < names.base || checkpoint < names.base) return 'it is older than the base';
  if (checkpoint === names.base) return undefined;
  const reader = new FileLog(files, { path, id: of, ...names });
  try {
    for await (const [first] of reader.read(checkpoint, checkpoint)) {
      return first?.location.checksum === fingerprint ? undefined : `it differs from the log at position ${checkpoint}`;
    }
  } catch {
    // The damage itself is reported when the log is read.
    return `the log has no update at position ${checkpoint}, where the index ends`;
  } finally {
    reader.close();
  }
}

import { dirname, join } from 'node:path';
import { ContextCacheError, toError } from '../../../core/errors.ts';
import { MAX_OPERATIONS, type OperationWindow } from '../../../core/operations.ts';
import type { Update } from '../../../core/update.ts';
import { baseName, basesIn, rememberedInBase } from '../base/base-file.ts';
import { corrupt } from '../corrupt.ts';
import { type Files, readFile } from '../files.ts';
import { type Frame, OPERATIONS } from './frame.ts';
import { Notes } from './notes.ts';
import { releaseSegments } from './release.ts';
import { floorBehind } from './remembering.ts';
import { segmentName } from './segment.ts';
import { isCompressed } from './segment-file.ts';
import { refuseFormat1, scanSegment } from './segment-scan.ts';
import { SegmentWriter } from './segment-writer.ts';
import { Segments } from './segments.ts';
import { updatesOf } from './update-record.ts';

/** The parts of a log that {@link openLog} has opened. */
export interface OpenedLog {
  readonly files: Files;
  /** Absolute path of the data directory. */
  readonly dataDir: string;
  /** Folder of log, base and index. */
  readonly path: string;
  readonly segments: Segments;
  readonly writer: SegmentWriter;
  readonly notes: Notes;
  /** Position of the last update. */
  readonly head: number;
  /** Position of the base file; 0 without one. */
  readonly base: number;
  close(): Promise<void>;
}

/** Opens the log of a data directory, or creates it with the id `newId`; see `DiskLog.open`. */
export async function openLog(
  files: Files,
  dataDir: string,
  sync: boolean,
  newId: string = crypto.randomUUID(),
): Promise<OpenedLog> {
  const path = join(dataDir, 'db');
  try {
    await makeDirectories(files, path);
    const unlock = await files.lock(join(path, 'lock'), dataDir);
    try {
      return await openLocked(files, dataDir, path, sync, newId, unlock);
    } catch (error) {
      await unlock();
      throw error;
    }
  } catch (thrown) {
    if (thrown instanceof ContextCacheError) throw thrown;
    const cause = toError(thrown);
    const remedy = 'Check the disk, the permissions and the path.';
    throw new ContextCacheError('LOG_UNAVAILABLE', `${dataDir} cannot be used: ${cause.message}. ${remedy}`, { cause });
  }
}

async function makeDirectories(files: Files, path: string): Promise<void> {
  await refuseFormat1(files, path);
  for (const folder of ['log', 'base']) await files.makeDirectory(join(path, folder));
}

/**
 * Makes the names of a directory and of those above it durable: a synced file is lost if one of them is. Up to the root,
 * because another process may have created them and died before it has synced them.
 */
async function syncAbove(files: Files, path: string): Promise<void> {
  for (let above = dirname(path); ; above = dirname(above)) {
    await files.syncDirectory(above).catch((error: NodeJS.ErrnoException) => {
      // A directory that cannot be read, or not synced, was not created by a cache.
      if (error.code === 'EIO') throw error;
    });
    if (above === dirname(above)) return;
  }
}

async function openLocked(
  files: Files,
  dataDir: string,
  path: string,
  sync: boolean,
  newId: string,
  unlock: () => Promise<void>,
): Promise<OpenedLog> {
  const directory = join(path, 'log');
  const directories = [directory, join(path, 'base')];
  await removeUnfinished(files, directories);
  // The names of files may be in the system's cache only, if the process that created them has died.
  for (const each of directories) await files.syncDirectory(each);
  const segments = new Segments(files, directory, await Segments.list(files, directory));
  const writer = new SegmentWriter(files, segments, sync);
  const close = async () => {
    try {
      await writer.close();
    } finally {
      segments.close();
      await unlock();
    }
  };
  const base = (await basesIn(files, join(path, 'base'))).at(-1) ?? 0;
  const opened = { files, dataDir, path, segments, writer, base, close };
  if (segments.last === undefined) {
    await assertNew(files, path, base);
    const notes = new Notes(newId);
    await syncAbove(files, directory);
    await writer.begin(1, notes.heading(0));
    return { ...opened, notes, head: 0 };
  }
  try {
    return { ...opened, ...(await continueLog(opened, segments.last.first)) };
  } catch (error) {
    await writer.close().catch(() => undefined);
    segments.close();
    throw error;
  }
}

/** Removes files whose creation a crash has interrupted. */
async function removeUnfinished(files: Files, directories: readonly string[]): Promise<void> {
  for (const directory of directories) {
    for (const name of await files.list(directory)) {
      if (name.endsWith('.new')) await files.remove(join(directory, name));
    }
  }
}

/** Refuses to take a directory for a new one whose log was lost. */
async function assertNew(files: Files, path: string, base: number): Promise<void> {
  if (base > 0) throw corrupt(`${path} has ${baseName(base)}, but no file of the log`);
  if ((await files.list(join(path, 'index'))).length > 0) throw corrupt(`${path} has an index, but no file of the log`);
}

/** Reads the last file and goes on behind its last update. */
async function continueLog(
  { files, path, segments, writer, base }: Omit<OpenedLog, 'notes' | 'head'>,
  first: number,
): Promise<Pick<OpenedLog, 'notes' | 'head'>> {
  const file = join(segments.directory, segmentName(first));
  // A file is only compressed once the next one is on disk.
  if (isCompressed(files, file)) throw corrupt(`The log in ${path} lacks the file behind ${segmentName(first)}`);
  const bytes = readFile(files, file);
  const { heading, notes: later, frames, head: found, end, synced, isTorn } = scanSegment(bytes, first, file);
  const notes = new Notes(heading.log);
  for (const note of [heading, ...later]) notes.take(note);
  for (const { position, offset } of frames) segments.last?.mark(position, offset);
  const [oldest = first] = segments.firsts;
  if (oldest > base + 1) throw corrupt(`${segments.directory} lacks the file that holds position ${base + 1}`);
  // The base file of a restore was written, and the log was not told yet to start behind it.
  const isRestored = found === 0 && base > 0;
  const head = isRestored ? base : found;
  const remembered = isRestored ? rememberedInBase(files, join(path, 'base'), base) : heading;
  const floor = frames.reduce((before, frame) => floorBehind(before, frame), remembered.floor ?? 0);
  notes.restore({ operations: remembered.operations, floor });
  rememberOperations(notes.operations, frames);
  if (base > head) throw corrupt(`The log in ${path} ends at ${head}, but ${baseName(base)} is there`);
  for (const [name, position] of notes.checkpoints) {
    if (position <= head) continue;
    throw corrupt(`The log in ${path} ends at ${head}, but follower ${name} has already received ${position}`);
  }
  notes.raiseBegin(base);
  await writer.continue(file, bytes, synced, end);
  // Cuts off what is torn. Frames of a shortened file count synced bytes of the original, so no others are added to it.
  if (isTorn || isRestored || heading.shift > 0) await writer.begin(head + 1, notes.heading(head));
  await releaseSegments({ files, segments, path }, base, false);
  return { notes, head };
}

/**
 * Takes in the operations of frames that follow on each other. Leaves out those that would be forgotten again: decodes no
 * more frames than the window needs.
 */
function rememberOperations(window: OperationWindow, frames: readonly Frame[]): void {
  const withIds = frames.filter(({ flags }) => (flags & OPERATIONS) !== 0);
  const ids = new Set<string>();
  const latest: Update[][] = [];
  while (withIds.length > 0 && ids.size <= MAX_OPERATIONS) {
    const updates = updatesOf(withIds.pop() as Frame).filter(({ operationId }) => operationId !== undefined);
    for (const { operationId } of updates) ids.add(operationId as string);
    latest.push(updates);
  }
  const skipped = withIds.at(-1);
  if (skipped !== undefined) window.forget(skipped.position + skipped.count - 1);
  for (const updates of latest.toReversed()) for (const update of updates) window.add(update);
}

import { dirname } from 'node:path';
import { ContextCacheError } from '../../../core/errors.ts';
import { corrupt } from '../corrupt.ts';
import type { Files } from '../files.ts';
import { CONTINUED, decodeNote, type Frame, firstNonZero, frameAt, MAGIC, NOTE, proofBehind } from './frame.ts';
import { type Heading, type Note, PRODUCT } from './notes.ts';
import { headingIn } from './segment.ts';

/** The contents of a file of the log. */
export interface Scanned {
  readonly heading: Heading;
  /** The notes behind the heading, oldest first. */
  readonly notes: readonly Note[];
  /** The frames with updates. */
  readonly frames: readonly Frame[];
  /** Position of the last update, of this file or before it. */
  readonly head: number;
  /** First byte behind the last whole group. */
  readonly end: number;
  /** Bytes that are on disk for sure. */
  readonly synced: number;
  /** `true` if something that is no whole group follows: a write that a crash has cut off. */
  readonly isTorn: boolean;
}

/**
 * Reads a file of the log to its end. Leaves out a write at the end that a crash has cut off.
 *
 * @throws {ContextCacheError} `FORMAT_UNSUPPORTED`, or `LOG_CORRUPT` naming file and offset if something is damaged that
 *   was on disk.
 */
export function scanSegment(bytes: Buffer, first: number, path: string): Scanned {
  checkFormat(bytes, path);
  const opening = headingIn(bytes, path);
  const heading = decodeNote(opening, () => `The heading of ${path}`) as unknown as Heading;
  if (heading.product !== PRODUCT)
    throw unsupported(`${path} was written by another program. Use a separate directory.`);
  const notes: Note[] = [];
  const frames: Frame[] = [];
  let next = first;
  let end = opening.end;
  /** Frames of a group whose last frame is still to come, and its notes. */
  let pending: Frame[] = [];
  let pendingNotes: Note[] = [];
  let index = end;
  const { shift } = heading;
  let synced = 0;
  for (let frame = frameAt(bytes, index); frame !== undefined; frame = frameAt(bytes, index)) {
    if (frame.count > 0 && frame.position !== next + countOf(pending)) {
      throw corrupt(`${path} has position ${frame.position} instead of ${next + countOf(pending)} at byte ${index}`);
    }
    index = frame.end;
    synced = Math.max(synced, frame.synced - shift);
    if ((frame.flags & NOTE) !== 0) pendingNotes.push(decodeNote(frame, () => `A note in ${path}`) as Note);
    else pending.push(frame);
    if ((frame.flags & CONTINUED) !== 0) continue;
    next += countOf(pending);
    frames.push(...pending);
    notes.push(...pendingNotes);
    pending = [];
    pendingNotes = [];
    end = index;
  }
  const isTorn = end !== index || firstNonZero(bytes, index) < bytes.length;
  if (isTorn && proofBehind(bytes, index, shift) !== undefined) throw corrupt(`${path} is damaged at byte ${index}`);
  return { heading, notes, frames, head: next - 1, end, synced, isTorn };
}

function countOf(frames: readonly Frame[]): number {
  return frames.reduce((sum, { count }) => sum + count, 0);
}

/** Refuses a file that another program or another version wrote. */
export function checkFormat(bytes: Buffer, path: string): void {
  const magic = bytes.subarray(0, MAGIC.length);
  if (magic.equals(MAGIC)) return;
  const version = /^context-cache (\d+)\n/.exec(magic.toString('latin1'))?.[1];
  if (version === undefined) throw corrupt(`${path} does not start as a file of the log does (byte 0)`);
  throw unsupported(
    `${path} has format ${version}; this version reads format 4. ` +
      'Open it with the version of agent-context-cache that wrote it, or a newer one.',
  );
}

/**
 * Refuses a directory of format 1: LevelDB's files lie in `path`, its folder `db`, itself.
 *
 * @throws {ContextCacheError} `FORMAT_UNSUPPORTED`, or an error of the file system.
 */
export async function refuseFormat1(files: Files, path: string): Promise<void> {
  if (!(await files.list(path)).includes('CURRENT')) return;
  throw unsupported(
    `${dirname(path)} has format 1; this version reads format 4. Open it with the version of agent-context-cache that wrote it.`,
  );
}

/** Creates the error for files of another program or version. */
function unsupported(message: string): ContextCacheError {
  return new ContextCacheError('FORMAT_UNSUPPORTED', message);
}

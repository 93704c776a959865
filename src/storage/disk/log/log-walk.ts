import { join } from 'node:path';
import { ContextCacheError, toError } from '../../../core/errors.ts';
import type { Files } from '../files.ts';
import type { LogFileNames } from './file-log.ts';
import { CONTINUED, decodeNote, type Frame, MAGIC, NOTE } from './frame.ts';
import { type Damage, isDamage, walkFrames } from './frame-walk.ts';
import { type Heading, PRODUCT } from './notes.ts';
import { segmentName } from './segment.ts';

/** A part of a log file that differs from what was written. */
export interface Flaw {
  /** Path of the file. */
  readonly file: string;
  /** First byte of the flaw. */
  readonly offset: number;
  /** Position of the next update there. */
  readonly position: number;
  /** Text for people, without file and offset. */
  readonly problem: string;
}

/** A whole frame of the log, oldest first. */
export interface Walked {
  readonly file: string;
  readonly frame: Frame;
  /** Bytes that the file lacks at its start; see `UpdateLocation`. */
  readonly shift: number;
  /** The note that the file starts with, if the frame is that. */
  readonly heading: Heading | undefined;
}

/** Files of a log that are walked through. */
export interface WalkSettings extends LogFileNames {
  /** Folder that holds `log` and `base`. */
  readonly path: string;
  /** The last position to read, which is committed. Default: to the end, without what a crash has cut off. */
  readonly through?: number | undefined;
  /** Called if the last file ends with a write that a crash has cut off. */
  readonly onTorn?: ((file: string, offset: number) => void) | undefined;
}

/**
 * Iterates over the frames of a log behind its base, also behind damage, and over what is wrong between them. Every byte
 * that counts is checked: what a file holds from the first position of the next file on was never committed.
 *
 * @throws {ContextCacheError} `LOG_UNAVAILABLE` if a file was removed while the log is in use.
 */
export function* walkLog(files: Files, settings: WalkSettings): Generator<Walked | Flaw> {
  const { path, base, firsts, through = Number.POSITIVE_INFINITY } = settings;
  const counted = firsts.slice(
    Math.max(
      0,
      firsts.findLastIndex((first) => first <= base + 1),
    ),
  );
  let next = Math.min(base + 1, counted[0] ?? base + 1);
  let log: string | undefined;
  for (const [index, first] of counted.entries()) {
    const file = join(path, 'log', segmentName(first));
    const end = Math.min(through, (counted[index + 1] ?? Number.POSITIVE_INFINITY) - 1);
    if (first > next)
      yield { file, offset: 0, position: next, problem: `lacks the updates before it: ${range(next, first - 1)}` };
    next = first;
    const walk = new FileWalk(file, next, log);
    try {
      const items = end === Number.POSITIVE_INFINITY ? wholeGroups(files, file, settings) : walkFrames(files, file);
      for (const item of items) {
        // A compressed file is written up to the last update that counts, so anything behind it is damage.
        if (walk.next > end && !walk.isCompressed) break;
        yield* walk.take(item);
      }
    } catch (thrown) {
      yield walk.failed(thrown, settings.through !== undefined);
    }
    if (walk.next <= end && end !== Number.POSITIVE_INFINITY && !walk.isDamaged) {
      yield walk.flaw(`ends before ${range(walk.next, end)}`);
    }
    next = Math.max(end === Number.POSITIVE_INFINITY ? walk.next : end + 1, walk.next);
    log = walk.log;
  }
}

/** Returns whether an error of reading a file means that it does not exist. */
export function isMissing(thrown: unknown): boolean {
  const { code, cause } = toError(thrown) as NodeJS.ErrnoException;
  return code === 'ENOENT' || (cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
}

/** Creates the error for a file of a directory in use that was removed while it was being read. */
export function released(file: string, cause: unknown): ContextCacheError {
  return new ContextCacheError('LOG_UNAVAILABLE', `${file} was released while it was being read. Try again.`, {
    cause,
  });
}

/** Checks one file of the log. */
class FileWalk {
  /** Position of the next update. */
  next: number;
  /** Id of the log. */
  log: string | undefined;
  /** `true` behind damage, which explains why updates are missing. */
  isDamaged = false;
  isCompressed = false;
  readonly #file: string;
  #shift = 0;
  #offset = 0;
  #isOpened = false;

  constructor(file: string, next: number, log: string | undefined) {
    this.#file = file;
    this.next = next;
    this.log = log;
  }

  /** Creates a flaw behind the last frame. */
  flaw(problem: string): Flaw {
    return { file: this.#file, offset: this.#offset, position: this.next, problem };
  }

  /** Creates a flaw of an error of the file system. */
  failed(thrown: unknown, isInUse: boolean): Flaw {
    const isGone = isMissing(thrown);
    if (isGone && isInUse) throw released(this.#file, thrown);
    return this.flaw(isGone ? 'is missing' : `cannot be read: ${toError(thrown).message}`);
  }

  *take(item: Frame | Damage): Generator<Walked | Flaw> {
    this.isCompressed ||= !isDamage(item) && item.block !== undefined;
    this.#offset = (isDamage(item) ? undefined : item.block) ?? item.offset;
    if (isDamage(item)) {
      this.isDamaged = true;
      this.#isOpened ||= item.offset >= MAGIC.length;
      yield this.flaw(`is damaged from byte ${item.offset} to ${item.end}`);
      this.#offset = item.end;
      return;
    }
    const heading = yield* this.#open(item);
    if (item.count > 0 && item.position !== this.next) {
      const isAhead = item.position > this.next;
      if (!isAhead || !this.isDamaged) {
        yield this.flaw(
          isAhead ? `lacks ${range(this.next, item.position - 1)}` : `has position ${item.position} twice`,
        );
      }
      if (!isAhead) return;
    }
    if (item.count > 0) {
      this.next = item.position + item.count;
      this.isDamaged = false;
    }
    this.#offset = item.block ?? item.end;
    yield { file: this.#file, frame: item, shift: this.#shift, heading };
  }

  /** Reads the note that a file must start with. */
  *#open(frame: Frame): Generator<Flaw, Heading | undefined> {
    if (this.#isOpened) return undefined;
    this.#isOpened = true;
    try {
      const isNote = frame.offset === MAGIC.length && (frame.flags & NOTE) !== 0;
      const heading = isNote ? (decodeNote(frame, () => '') as unknown as Heading) : undefined;
      if (heading?.product === PRODUCT && (this.log === undefined || this.log === heading.log)) {
        this.#shift = heading.shift;
        this.log = heading.log;
        return heading;
      }
    } catch {
      // Reported as every other heading that is wrong.
    }
    yield this.flaw('does not start with the heading of this log');
    return undefined;
  }
}

/** Iterates over the last file of a log up to the last whole group. */
function* wholeGroups(files: Files, file: string, { onTorn }: WalkSettings): Generator<Frame | Damage> {
  const items = [...walkFrames(files, file)];
  // A damaged frame was on disk for sure if a later one says so. Otherwise it is a write that a crash has cut off.
  const isTorn = (item: Frame | Damage, index: number) =>
    isDamage(item) && !items.slice(index).some((later) => !isDamage(later) && later.synced > item.offset);
  const torn = items.findIndex(isTorn);
  const whole = torn === -1 ? items : items.slice(0, torn);
  const last = whole.findLastIndex((item) => isDamage(item) || (item.flags & CONTINUED) === 0);
  const cut = items[last + 1];
  if (cut !== undefined) onTorn?.(file, cut.offset);
  yield* whole.slice(0, last + 1);
}

/** Returns the words for some positions. */
function range(from: number, to: number): string {
  return from === to ? `position ${from}` : `positions ${from} to ${to}`;
}

import { firstWhere } from '../../../core/search.ts';
import type { Update } from '../../../core/update.ts';
import { closed } from '../../log-errors.ts';
import { corrupt } from '../corrupt.ts';
import type { Files } from '../files.ts';
import type { Frame } from './frame.ts';
import type { LocatedUpdate, UpdateLocation, UpdateReader } from './logged-update.ts';
import { firstOf, Segment } from './segment.ts';
import { bareUpdatesOf, decodeUpdate, locatedUpdatesOf, updatesOf } from './update-record.ts';

/** The location of a frame. */
export interface Mark {
  /** First position of its file. */
  readonly first: number;
  /** First position of the frame. */
  readonly position: number;
  /** Its first byte in the file as it is. */
  readonly offset: number;
}

/** Number of files that stay open for reading. */
const OPEN_FILES = 32;

/** The files of a log, for readers. A file ends where the next one starts: what lies behind that was never committed. */
export class Segments implements UpdateReader {
  readonly directory: string;
  readonly #files: Files;
  #segments: Segment[] = [];
  /** The files that were read last, latest last. */
  readonly #open = new Set<Segment>();
  #isClosed = false;
  #exchanged = 0;
  /** The last task that renames or removes files; they run one after another. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(files: Files, directory: string, firsts: readonly number[] = []) {
    this.directory = directory;
    this.#files = files;
    this.follow(firsts);
  }

  /** Resolves with the first positions of all files in a directory. */
  static async list(files: Files, directory: string): Promise<number[]> {
    const firsts = (await files.list(directory)).map(firstOf);
    return firsts.filter((first) => first !== undefined).sort((a, b) => a - b);
  }

  /** First positions of the files, in ascending order. */
  get firsts(): number[] {
    return this.#segments.map(({ first }) => first);
  }

  get last(): Segment | undefined {
    return this.#segments.at(-1);
  }

  /** Returns the last frame at or before a position whose start is remembered. */
  markBefore(position: number): Mark | undefined {
    const segment = this.#segments.findLast(({ first }) => first <= position);
    const mark = segment?.markBefore(position);
    return segment && mark && { first: segment.first, ...mark };
  }

  /** Remembers where a frame is. */
  mark(mark: Mark | undefined): void {
    if (mark === undefined) return;
    this.#segments.find(({ first }) => first === mark.first)?.mark(mark.position, mark.offset);
  }

  /** Reads these files from now on. */
  follow(firsts: readonly number[]): void {
    const known = new Map(this.#segments.map((segment) => [segment.first, segment]));
    this.#segments = firsts.map((first) => known.get(first) ?? new Segment(this.#files, this.directory, first));
    const kept = new Set(this.#segments);
    for (const segment of known.values()) if (!kept.has(segment)) this.#close(segment);
  }

  /** Number of files that were replaced by their compressed form. */
  get exchanged(): number {
    return this.#exchanged;
  }

  /** Reads the compressed form of files from now on that were replaced by it. */
  countExchanged(): void {
    this.#exchanged += 1;
    this.reopen();
  }

  /** Runs a task that renames or removes files of the log when those before it have ended. */
  async inTurn(task: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(task);
    this.#turn = turn.catch(() => undefined);
    await turn;
  }

  /** Closes the files until they are read again: one that was replaced takes space as long as it is open. */
  reopen(): void {
    for (const segment of [...this.#open]) this.#close(segment);
  }

  /** Reads a new file from now on, also if one of the same name was read. */
  replace(first: number): Segment {
    this.follow(this.firsts.filter((each) => each < first));
    this.follow([...this.firsts, first]);
    return this.last as Segment;
  }

  /**
   * Returns updates from position `from` to `to`, which must be in the log: about as many as are read at a time, and at
   * least one.
   *
   * @throws {ContextCacheError} `LOG_CORRUPT` for damage and gaps, naming file and offset; `LOG_UNAVAILABLE`.
   */
  read(from: number, to: number): Update[] {
    return this.#read(from, to, updatesOf);
  }

  /** Returns all updates from position `from` to `to`. Throws as {@link Segments.read} does. */
  readAll(from: number, to: number): Update[] {
    const updates: Update[] = [];
    for (let next = from; next <= to; next = from + updates.length) {
      for (const update of this.read(next, to)) updates.push(update);
    }
    return updates;
  }

  /** Returns the same updates as {@link Segments.read}, without decoding their values. */
  readBare(from: number, to: number): Update[] {
    return this.#read(from, to, bareUpdatesOf);
  }

  /** Returns the same updates as {@link Segments.readBare}, each with its location. */
  readLocated(from: number, to: number): LocatedUpdate[] {
    return this.#read(from, to, locatedUpdatesOf);
  }

  updateAt(position: number, location: UpdateLocation): Update {
    const bytes = this.#holding(position).bytes(location.offset, location.length);
    return decodeUpdate(bytes, position, location);
  }

  /** Later reads throw `CLOSED`. */
  close(): void {
    this.#isClosed = true;
    this.reopen();
  }

  #read<Item extends Update>(
    from: number,
    to: number,
    decode: (frame: Frame, from: number, to: number) => Item[],
  ): Item[] {
    const segment = this.#holding(from);
    const next = this.#segments[this.#segments.indexOf(segment) + 1];
    const updates: Item[] = [];
    for (const frame of segment.frames(from, next === undefined ? to : Math.min(to, next.first - 1))) {
      for (const update of decode(frame, from, to)) updates.push(update);
    }
    // They must follow each other from `from` on.
    const isWhole = updates[0]?.position === from && updates.at(-1)?.position === from + updates.length - 1;
    if (isWhole) return updates;
    const lacking = updates[0]?.position === from ? from + updates.length : from;
    throw corrupt(`${segment.path} lacks position ${lacking} of the log`);
  }

  /** Returns the file that a position lies in, and keeps it open. */
  #holding(position: number): Segment {
    if (this.#isClosed) throw closed();
    const segments = this.#segments;
    const segment =
      segments[firstWhere(0, segments.length, (index) => (segments[index] as Segment).first > position) - 1];
    if (segment === undefined)
      throw corrupt(`The log in ${this.directory} lacks the file that holds position ${position}`);
    this.#open.delete(segment);
    this.#open.add(segment);
    const [oldest] = this.#open;
    if (this.#open.size > OPEN_FILES && oldest !== undefined) this.#close(oldest);
    return segment;
  }

  #close(segment: Segment): void {
    segment.close();
    this.#open.delete(segment);
  }
}

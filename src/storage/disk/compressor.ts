import { join } from 'node:path';
import { backOffMs } from '../../core/back-off.ts';
import type { Clock } from '../../core/clock.ts';
import { ContextCacheError, toError } from '../../core/errors.ts';
import type { DiskIndex } from './index/disk-index.ts';
import type { StateTable } from './index/state/state-table.ts';
import type { ClosedSegment } from './log/compress-segment.ts';
import type { DiskLog } from './log/disk-log.ts';
import { segmentName } from './log/segment.ts';
import { isCompressed } from './log/segment-file.ts';

/** Options of {@link Compressor}. */
export interface CompressorOptions {
  readonly log: Pick<DiskLog, 'files' | 'path' | 'names' | 'exchange' | 'committed'>;
  /** Its thread writes the compressed files. */
  readonly index: Pick<DiskIndex, 'compress'> & { readonly table: Pick<StateTable, 'checkpoint'> };
  readonly clock: Clock;
  /** Receives a failure, once for each reason. The file stays as it is, and another attempt follows. */
  readonly onFailure: (error: ContextCacheError) => void;
}

/** Files that an earlier process has left are compressed after this time: a short command has ended by then. */
const LEFT_BEHIND_MS = 1000;
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 5 * 60_000;
/**
 * While the index lacks more updates than this, its thread folds instead: what it lacks after a crash is read at the next opening.
 * An index that keeps up lacks fewer at the end of a batch.
 */
const MOST_BEHIND = 16_384;
/** With more files than this that wait, 1 GiB of updates, they are compressed all the same: the disk is not to fill up. */
const MOST_WAITING = 64;
/** Files that a shutdown compresses if this process has closed one of them: about 0.1 s each. The next process does the others. */
const MOST_AT_END = 8;

/**
 * Compresses the files of a log that take no more updates, oldest first. The index's thread writes and syncs the compressed form beside
 * the file, then it is renamed: at any time there is one valid form. No write waits for it.
 */
export class Compressor {
  readonly #options: CompressorOptions;
  readonly #directory: string;
  /** First position of the last file at the opening: this process closes the files from it on. */
  readonly #opened: number;
  /** First position of the oldest file that is not compressed; `undefined` before it was looked for. */
  #from: number | undefined;
  /** First position of the oldest file, once it is known to be compressed. Retention replaces it by a part that is not. */
  #oldest: number | undefined;
  #running: Promise<void> | undefined;
  /** Number of failures in a row. */
  #failures = 0;
  /** `true` for a second, in which only files that this process has closed are a reason to begin. */
  #isEarly = true;
  /** `true` between a failure and the next attempt. */
  #isWaiting = false;
  #reported: string | undefined;
  #timer: unknown;
  /** Number of files that may still be compressed. */
  #left = Number.POSITIVE_INFINITY;

  constructor(options: CompressorOptions) {
    this.#options = options;
    this.#directory = join(options.log.path, 'log');
    this.#opened = options.log.names().firsts.at(-1) ?? 0;
    this.#advanceAfter(LEFT_BEHIND_MS);
  }

  /** Compresses files, unless the index is behind. Called when it has reached the end of a batch. */
  advance(): void {
    if (this.#running !== undefined || this.#isWaiting || (this.#isEarly && !this.#hasClosed)) return;
    this.#running = this.#compressAll()
      .catch((thrown) => this.#fail(toError(thrown)))
      .finally(() => {
        this.#running = undefined;
      });
  }

  /**
   * Compresses some of the files that wait, if this process has closed one. Resolves when no file is being replaced, and none will be.
   * The log takes no more updates.
   */
  async finish(): Promise<void> {
    this.#left = this.#hasClosed ? MOST_AT_END : 0;
    this.#options.clock.clearTimeout(this.#timer);
    await this.#running;
    this.advance();
    await this.#running;
    this.#left = 0;
  }

  get #hasClosed(): boolean {
    return (this.#options.log.names().firsts.at(-1) ?? 0) > this.#opened;
  }

  async #compressAll(): Promise<void> {
    for (let file = this.#next(); file !== undefined; file = this.#next()) {
      if (!(await this.#compress(file))) return;
      if (file.first < (this.#from ?? 0)) this.#oldest = file.first;
      else this.#from = file.next;
      this.#left -= 1;
      this.#failures = 0;
      this.#reported = undefined;
    }
  }

  /** Returns the next file to be compressed; `undefined` if there is none at present. */
  #next(): ClosedSegment | undefined {
    if (this.#left <= 0) return undefined;
    const { log, index } = this.#options;
    const { firsts } = log.names();
    const waiting = this.#waiting(firsts);
    const isBehind = log.committed - index.table.checkpoint > MOST_BEHIND;
    if (isBehind && this.#left === Number.POSITIVE_INFINITY && waiting.length <= MOST_WAITING) return undefined;
    const [oldest, second] = firsts;
    if (oldest !== undefined && second !== undefined && oldest !== this.#oldest && oldest < (waiting[0] ?? second)) {
      if (!this.#isCompressed(oldest)) return { first: oldest, next: second };
      this.#oldest = oldest;
    }
    const [first, next] = waiting;
    return first === undefined || next === undefined ? undefined : { first, next };
  }

  /** Returns the first positions of the files that are not compressed yet, and of the last file, which takes updates. */
  #waiting(firsts: readonly number[]): readonly number[] {
    if (this.#from === undefined) {
      let index = firsts.length - 1;
      while (index > 0 && !this.#isCompressed(firsts[index - 1] as number)) index -= 1;
      this.#from = firsts[index] ?? 0;
    }
    const from = this.#from;
    return firsts.slice(firsts.findIndex((first) => first >= from));
  }

  #isCompressed(first: number): boolean {
    return isCompressed(this.#options.log.files, join(this.#directory, segmentName(first)));
  }

  /** Resolves with `false` if the index is being opened again. It then calls {@link Compressor.advance} when it is open. */
  async #compress(file: ClosedSegment): Promise<boolean> {
    const { log, index } = this.#options;
    try {
      // An attempt that failed may have renamed it.
      if (this.#isCompressed(file.first)) return true;
      if (!(await index.compress(file))) return false;
      await log.exchange(file.first);
    } catch (cause) {
      // Retention may have removed it meanwhile.
      if (log.names().firsts.includes(file.first)) throw cause;
    }
    return true;
  }

  #fail(cause: Error): void {
    if (this.#left === 0) return;
    this.#failures += 1;
    this.#isWaiting = true;
    if (this.#left === Number.POSITIVE_INFINITY) {
      this.#advanceAfter(backOffMs(this.#failures, FIRST_RETRY_MS, LONGEST_RETRY_MS));
    }
    if (cause.message === this.#reported) return;
    this.#reported = cause.message;
    const message =
      `A file of the log in ${this.#directory} could not be compressed: ${cause.message}. ` +
      'It stays as it is and takes more space; another attempt follows. Check the disk if this continues.';
    this.#options.onFailure(new ContextCacheError('LOG_UNAVAILABLE', message, { cause }));
  }

  #advanceAfter(ms: number): void {
    const { clock } = this.#options;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(() => {
      this.#isEarly = false;
      this.#isWaiting = false;
      this.advance();
    }, ms);
    clock.unref?.(this.#timer);
  }
}

import { join } from 'node:path';
import { backOffMs } from '../../core/back-off.ts';
import type { Clock } from '../../core/clock.ts';
import { ContextCacheError, toError } from '../../core/errors.ts';
import type { DiskIndex } from './index/disk-index.ts';
import type { ClosedSegment } from './log/compress-segment.ts';
import type { DiskLog } from './log/disk-log.ts';
import { segmentName } from './log/segment.ts';
import { isCompressed } from './log/segment-file.ts';

/** Options of {@link Compressor}. */
export interface CompressorOptions {
  readonly log: Pick<DiskLog, 'files' | 'path' | 'names' | 'exchange'>;
  /** Its thread writes the compressed files. */
  readonly index: Pick<DiskIndex, 'compress'>;
  readonly clock: Clock;
  /** Receives a failure, once for each reason. The file stays as it is, and another attempt follows. */
  readonly onFailure: (error: ContextCacheError) => void;
}

/** Files that an earlier process has left are compressed after this time: a short command has ended by then. */
const LEFT_BEHIND_MS = 1000;
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 5 * 60_000;

/**
 * Compresses the files of a log that take no more updates. The index's thread writes and syncs the compressed form beside the file,
 * then it is renamed: at any time there is one valid form. Nothing waits for it.
 */
export class Compressor {
  readonly #options: CompressorOptions;
  readonly #directory: string;
  /** Files before this one are left for later. */
  #from: number;
  /** First positions of the files that need nothing more. */
  readonly #done = new Set<number>();
  #running: Promise<void> | undefined;
  /** Number of failures in a row. */
  #failures = 0;
  /** `true` between a failure and the next attempt. */
  #isWaiting = false;
  #reported: string | undefined;
  #timer: unknown;
  #isStopped = false;

  constructor(options: CompressorOptions) {
    this.#options = options;
    this.#directory = join(options.log.path, 'log');
    this.#from = options.log.names().firsts.at(-1) ?? 0;
    this.#advanceAfter(LEFT_BEHIND_MS);
  }

  /** Compresses the files that have been closed since the last call. */
  advance(): void {
    if (this.#isStopped || this.#isWaiting || this.#running !== undefined) return;
    this.#running = this.#compressAll()
      .catch((thrown) => this.#fail(toError(thrown)))
      .finally(() => {
        this.#running = undefined;
      });
  }

  /** Starts no further file. Resolves when none is being replaced. The index must be closed meanwhile. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#options.clock.clearTimeout(this.#timer);
    await this.#running;
  }

  async #compressAll(): Promise<void> {
    for (let file = this.#next(); file !== undefined; file = this.#next()) {
      if (!(await this.#compress(file))) return;
      this.#done.add(file.first);
      this.#failures = 0;
      this.#reported = undefined;
    }
  }

  /** Returns the oldest file that is to be compressed. */
  #next(): ClosedSegment | undefined {
    if (this.#isStopped) return undefined;
    const { firsts } = this.#options.log.names();
    const index = firsts.findIndex((first) => first >= this.#from && !this.#done.has(first));
    const [first, next] = [firsts[index], firsts[index + 1]];
    return first === undefined || next === undefined ? undefined : { first, next };
  }

  /** Resolves with `false` if the index is being opened again. It then calls {@link Compressor.advance} when it is open. */
  async #compress(file: ClosedSegment): Promise<boolean> {
    const { log, index } = this.#options;
    try {
      if (isCompressed(log.files, join(this.#directory, segmentName(file.first)))) return true;
      if (!(await index.compress(file))) return false;
      await log.exchange(file.first);
    } catch (cause) {
      // Retention may have removed it meanwhile.
      if (log.names().firsts.includes(file.first)) throw cause;
    }
    return true;
  }

  #fail(cause: Error): void {
    if (this.#isStopped) return;
    this.#failures += 1;
    this.#isWaiting = true;
    this.#advanceAfter(backOffMs(this.#failures, FIRST_RETRY_MS, LONGEST_RETRY_MS));
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
      this.#from = 0;
      this.#isWaiting = false;
      this.advance();
    }, ms);
    clock.unref?.(this.#timer);
  }
}

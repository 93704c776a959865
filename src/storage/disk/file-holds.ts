import { untilAborted } from '../../core/deadline.ts';

/** The readers of a directory's files. Neither the base file nor a file of the log is removed while there is one. */
export class FileHolds {
  readonly #readers = new Set<Promise<unknown>>();

  /** Keeps the files while `read` runs. */
  async during<Result>(read: () => Promise<Result>): Promise<Result> {
    const reading = read();
    this.#readers.add(reading);
    try {
      return await reading;
    } finally {
      this.#readers.delete(reading);
    }
  }

  /** Resolves when there is no reader. */
  async free(signal: AbortSignal): Promise<void> {
    while (this.#readers.size > 0) await untilAborted(Promise.allSettled(this.#readers), signal);
  }
}

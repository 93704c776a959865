import { untilAborted } from '../../core/deadline.ts';

/** The readers of a directory's files. Neither the base file nor a file of the log is removed while there is one. */
export class FileHolds {
  #count = 0;
  #ended: () => void = () => {};
  /** Settles when the last reader has ended. */
  #free: Promise<void> = Promise.resolve();

  /** Adds a reader. Returns a function that ends it, which may be called again. */
  hold(): () => void {
    if (this.#count === 0) {
      this.#free = new Promise((resolve) => {
        this.#ended = resolve;
      });
    }
    this.#count += 1;
    let isHeld = true;
    return () => {
      if (isHeld) this.#count -= 1;
      if (isHeld && this.#count === 0) this.#ended();
      isHeld = false;
    };
  }

  /** Resolves when there is no reader; nothing is awaited after the last one has ended. */
  async free(signal: AbortSignal): Promise<void> {
    while (this.#count > 0) await untilAborted(this.#free, signal);
  }
}

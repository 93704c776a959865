/**
 * Lets one write at a time through, in the order they were asked for, and none after one that has failed: it rejects
 * as that one did. LevelDB by itself goes on behind a record of which only a part got to the file, acknowledges what
 * follows, and passes over it when it is opened again.
 */
export class WriteTurns {
  #last: Promise<void> = Promise.resolve();

  take(write: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(write);
    // Whoever asked handles it.
    this.#last.catch(() => undefined);
    return this.#last;
  }

  /** Resolves once nothing is being written. */
  async idle(): Promise<void> {
    await this.#last.catch(() => undefined);
  }
}

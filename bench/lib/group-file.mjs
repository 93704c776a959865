import { closeSync, fdatasync, openSync, write } from 'node:fs';

/**
 * A file with many concurrent appends: those that arrive while one group is written and synced form the next. This is the least
 * that a durable log must do.
 */
export class GroupFile {
  #fd;
  #pending = [];
  #waiting = [];
  #busy = false;
  bytes = 0;

  constructor(path) {
    this.#fd = openSync(path, 'a', 0o600);
  }

  /** Resolves once the bytes are on disk. */
  append(bytes) {
    this.#pending.push(bytes);
    const done = new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
    if (!this.#busy) {
      this.#busy = true;
      // One turn, so that all callers of the last group are in this one.
      setImmediate(() => this.#writeGroup());
    }
    return done;
  }

  close() {
    closeSync(this.#fd);
  }

  #writeGroup() {
    const [pending, waiting] = [this.#pending, this.#waiting];
    this.#pending = [];
    this.#waiting = [];
    const bytes = pending.length === 1 ? pending[0] : Buffer.concat(pending);
    write(this.#fd, bytes, (error, written) => {
      if (error !== null) return fail(waiting, error);
      this.bytes += written;
      fdatasync(this.#fd, (failure) => {
        if (failure !== null) return fail(waiting, failure);
        for (const { resolve } of waiting) resolve();
        if (this.#pending.length > 0) setImmediate(() => this.#writeGroup());
        else this.#busy = false;
      });
    });
  }
}

function fail(waiting, error) {
  for (const { reject } of waiting) reject(error);
}

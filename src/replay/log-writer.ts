import { ContextCacheError } from '../core/errors.ts';
import type { PendingUpdate } from '../core/update.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import { weigh } from '../storage/update-ring.ts';

/** Greatest number of updates appended as one unit. */
const GROUP = 1024;
/** Bytes that may wait to be written, so that memory does not grow with the log. */
const WINDOW_BYTES = 16 * 1024 * 1024;

/** Appends updates that have their positions already. */
export class LogWriter {
  readonly #log: UpdateLog;
  #bytes = 0;

  constructor(log: UpdateLog) {
    this.#log = log;
  }

  /** Appends the updates in groups. Waits while too much is still to be written. */
  async write(updates: readonly PendingUpdate[]): Promise<void> {
    for (let start = 0; start < updates.length; start += GROUP) {
      const group = updates.slice(start, start + GROUP);
      const due = group.at(-1)?.position;
      for (const update of group) this.#bytes += weigh(update);
      this.#log.append(group);
      if (this.#log.head !== due) {
        const message = `The new log assigned position ${this.#log.head} to an update that has position ${due}.`;
        throw new ContextCacheError('INVARIANT', message);
      }
      if (this.#bytes < WINDOW_BYTES) continue;
      this.#bytes = 0;
      await this.#log.flush();
    }
  }
}

import type { Clock } from '../../core/clock.ts';
import { ContextCacheError } from '../../core/errors.ts';
import type { VerifyProgress } from '../../verify/verify-findings.ts';
import type { VerifyReport } from '../../verify/verify-report.ts';
import type { Inspectable } from '../inspectable.ts';
import type { LastVerification, VerifyAgainst } from '../protocol.ts';

/** Verifies the cache, one verification at a time, and tells how far it is. */
export class Verification {
  readonly #cache: Inspectable;
  readonly #clock: Clock;
  readonly #closing = new AbortController();
  readonly #listeners = new Set<() => void>();
  #running: VerifyProgress | undefined;
  #last: LastVerification | undefined;

  constructor(cache: Inspectable, clock: Clock) {
    this.#cache = cache;
    this.#clock = clock;
  }

  /** How far the one is that is under way; `undefined` where none is. */
  get running(): VerifyProgress | undefined {
    return this.#running;
  }

  /** The last report. */
  get last(): LastVerification | undefined {
    return this.#last;
  }

  /** Calls back when `running` has changed. Returns how to stop. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Verifies now.
   *
   * @throws {ContextCacheError} `OVERLOADED` while one is under way, `INVALID_OPTION` without a mirror, and what
   *   `verify` throws.
   */
  async run(what: VerifyAgainst, signal: AbortSignal): Promise<VerifyReport> {
    if (this.#running !== undefined) {
      throw new ContextCacheError('OVERLOADED', 'A verification is under way. Wait for its end.');
    }
    const against = what === 'mirror' ? this.#cache.inspection.mirror : undefined;
    if (what === 'mirror' && against === undefined) {
      const message = 'The cache has no mirror. Give it a secondaryCache or a redisUrl, or verify without.';
      throw new ContextCacheError('INVALID_OPTION', message);
    }
    this.#progress({ stage: 'files', done: 0 });
    try {
      const report = await this.#cache.verify({
        against,
        signal: AbortSignal.any([signal, this.#closing.signal]),
        onProgress: (progress) => this.#progress(progress),
      });
      this.#last = { ...report, at: this.#clock.now(), against: what };
      return report;
    } finally {
      this.#progress(undefined);
    }
  }

  /** Gives up what is under way. */
  close(): void {
    this.#closing.abort(new ContextCacheError('CLOSED', 'The inspector is being closed.'));
  }

  #progress(progress: VerifyProgress | undefined): void {
    this.#running = progress;
    for (const listener of this.#listeners) listener();
  }
}

import type { Clock } from '../../core/clock.ts';
import { ContextCacheError } from '../../core/errors.ts';
import type { VerifyProgress } from '../../verify/verify-findings.ts';
import type { VerifyReport } from '../../verify/verify-report.ts';
import type { Inspectable } from '../inspectable.ts';
import type { LastVerification, VerifyAgainst } from '../protocol.ts';

/** Verifies the cache, one verification at a time, and reports its progress. */
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

  /** Progress of the running verification; `undefined` without one. */
  get running(): VerifyProgress | undefined {
    return this.#running;
  }

  /** The report of the last verification. */
  get last(): LastVerification | undefined {
    return this.#last;
  }

  /** Calls `listener` when `running` has changed. Returns a function that stops it. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Verifies the cache, and resolves with the report.
   *
   * @throws {ContextCacheError} `OVERLOADED` while another verification runs, `INVALID_OPTION` if there is no mirror to
   *   compare with, and the errors of `verify`.
   */
  async run(what: VerifyAgainst, signal: AbortSignal): Promise<VerifyReport> {
    if (this.#running !== undefined) {
      throw new ContextCacheError('OVERLOADED', 'Another verification is running. Wait for its end.');
    }
    const against = what === 'mirror' ? this.#cache.inspection.mirror : undefined;
    if (what === 'mirror' && against === undefined) {
      const message =
        'The cache has no mirror to compare with. Verify against nothing, or give the cache a Redis or a secondaryCache.';
      throw new ContextCacheError('INVALID_OPTION', message);
    }
    this.#progress({ stage: 'log', done: 0 });
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

  /** Cancels the running verification. */
  close(): void {
    this.#closing.abort(new ContextCacheError('CLOSED', 'The inspector is closing.'));
  }

  #progress(progress: VerifyProgress | undefined): void {
    this.#running = progress;
    for (const listener of this.#listeners) listener();
  }
}

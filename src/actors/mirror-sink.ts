import type { BaseContextCache } from '../backends/base-context-cache.ts';
import type { Clock } from '../core/clock.ts';
import { withDeadline } from '../core/deadline.ts';
import type { Capture } from '../core/namespace-state.ts';
import type { Update } from '../core/update.ts';
import type { ConnectOutcome, FollowerSink, StateCut } from '../log/follower-sink.ts';
import { writeToPrimary } from './primary.ts';

/** Carries the updates to the secondary backend. */
export class MirrorSink implements FollowerSink {
  readonly batchSize = 1024;
  readonly #secondary: BaseContextCache;
  readonly #log: string;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  /** Where the secondary is, as far as is known: the next batch follows on it. */
  #position = 0;

  /** `timeoutMs`: how long one call of the secondary may take before it counts as failed. */
  constructor(secondary: BaseContextCache, log: string, clock: Clock, timeoutMs: number) {
    this.#secondary = secondary;
    this.#log = log;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * A secondary that keeps its position says itself where it is. One that has lost it, though this log has written to
   * it before, has been emptied or put back: the whole state is copied to it.
   */
  async connect(checkpoint: number, signal: AbortSignal): Promise<ConnectOutcome> {
    await this.#call(async (limited) => this.#secondary.connect?.(limited), signal);
    this.#position = checkpoint;
    if (this.#secondary.appliedPosition === undefined) return 'resume';
    const applied = await this.#call(async (limited) => this.#secondary.appliedPosition?.(this.#log, limited), signal);
    if ((applied ?? 0) < checkpoint) return 'resync';
    this.#position = applied ?? 0;
    return { position: this.#position };
  }

  async deliver(updates: readonly Update[], through: number, signal: AbortSignal): Promise<void> {
    if (this.#secondary.applyUpdates === undefined) {
      for (const update of updates) await this.#call(async () => writeToPrimary(this.#secondary, update), signal);
    } else {
      const mark = { log: this.#log, after: this.#position, through };
      await this.#call(async (limited) => this.#secondary.applyUpdates?.(updates, mark, limited), signal);
    }
    this.#position = through;
  }

  /** Namespaces of others in the same store are left alone. */
  async resync(cut: StateCut, signal: AbortSignal): Promise<void> {
    for await (const capture of cut.namespaces()) {
      signal.throwIfAborted();
      await this.#copy(capture, signal);
    }
    await this.#call(async (limited) => this.#secondary.resetPosition?.(this.#log, cut.position, limited), signal);
    this.#position = cut.position;
  }

  async disconnect(): Promise<void> {
    await this.#secondary.close?.();
  }

  onLost(lost: (cause: Error) => void): void {
    this.#secondary.onLost?.(lost);
  }

  async #copy(capture: Capture, signal: AbortSignal): Promise<void> {
    const { name } = capture;
    const stale = new Set(await this.#call(async () => this.#secondary.listKeys(name), signal));
    for (const [key, entry] of capture.entries()) {
      stale.delete(key);
      const { value, expiresAt } = entry;
      await this.#call(async () => this.#secondary.set(key, value ?? null, name, { expiresAt }), signal);
    }
    for (const key of stale) await this.#call(async () => this.#secondary.delete(key, name), signal);
  }

  #call<T>(work: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    return withDeadline(work, { what: 'The secondary', timeoutMs: this.#timeoutMs, clock: this.#clock, signal });
  }
}

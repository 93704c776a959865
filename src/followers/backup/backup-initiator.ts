import { backOffMs } from '../../core/back-off.ts';
import { type Clock, systemClock } from '../../core/clock.ts';
import type { BackupSettings } from '../../core/command.ts';
import { optionNames } from '../../core/options.ts';

/** Options of {@link BackupInitiator}. */
export interface BackupInitiatorOptions {
  readonly settings: BackupSettings;
  /** Called when a snapshot is due. Call `started`, then `succeeded` or `failed`. Must not throw. */
  readonly due: () => void;
  /** Default: the machine's. */
  readonly clock?: Clock | undefined;
  /** `on_change`: milliseconds between the first change and the snapshot, so that a burst is one snapshot. Default 1,000; never more than the interval. */
  readonly settleMs?: number | undefined;
  /** First pause after a failure in milliseconds; doubles with each further one. Default 1,000. */
  readonly retryMs?: number | undefined;
  /** Longest pause after a failure in milliseconds. Default 60,000. */
  readonly maxRetryMs?: number | undefined;
}

const OPTIONS = optionNames<BackupInitiatorOptions>('BackupInitiator', {
  settings: true,
  due: true,
  clock: true,
  settleMs: true,
  retryMs: true,
  maxRetryMs: true,
});

/** Longest delay of a timer in milliseconds, 24.8 days. A longer interval takes two timers. */
const LONGEST_DELAY_MS = 2 ** 31 - 1;

/**
 * Decides when a snapshot is taken, and does nothing else. Holds at most one timer, and none while no snapshot can become
 * due: while it is disabled, in mode `manual`, while a snapshot is taken, and while nothing has changed since the last.
 *
 * - `periodic`: at every full interval since it was enabled or since the last snapshot, if something has changed by then.
 * - `on_change`: soon after a change, but at least an interval after the last snapshot.
 * - `manual`: never.
 *
 * After a failure it tries again with a growing pause until a snapshot has been taken.
 *
 * @example
 * ```ts
 * const initiator = new BackupInitiator({ settings, due: () => void backup() });
 * initiator.enable();
 * initiator.updated(42);
 * ```
 */
export class BackupInitiator {
  readonly #clock: Clock;
  readonly #due: () => void;
  readonly #settleMs: number;
  readonly #retryMs: number;
  readonly #maxRetryMs: number;
  #settings: BackupSettings;
  #enabled = false;
  #stopped = false;
  #running = false;
  /** Position to which the log has advanced. */
  #latest = 0;
  /** Position of the last snapshot. */
  #saved = 0;
  /** Instant of the first change after the last snapshot. */
  #changedAt = 0;
  /** Instant from which the intervals are counted. */
  #anchorAt = 0;
  /** Instant at which the last snapshot began. */
  #startedAt = Number.NEGATIVE_INFINITY;
  /** Number of due snapshots in a row that failed. */
  #failures = 0;
  /** Earliest instant of the next attempt after a failure. */
  #retryAt = 0;
  #timer: { readonly handle: unknown; readonly at: number } | undefined;

  constructor(options: BackupInitiatorOptions) {
    OPTIONS.check(options);
    this.#settings = options.settings;
    this.#due = options.due;
    this.#clock = options.clock ?? systemClock;
    this.#settleMs = options.settleMs ?? 1_000;
    this.#retryMs = options.retryMs ?? 1_000;
    this.#maxRetryMs = options.maxRetryMs ?? 60_000;
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  /** `true` if something has changed since the last snapshot. */
  get changed(): boolean {
    return this.#latest > this.#saved;
  }

  /** `true` if a snapshot will become due, now or later: it is enabled, not `manual`, and something has changed. */
  get pending(): boolean {
    return this.#enabled && this.#settings.mode !== 'manual' && this.changed;
  }

  enable(): void {
    if (this.#enabled) return;
    this.#enabled = true;
    this.#anchorAt = this.#clock.now();
    this.#changedAt = this.#anchorAt;
    this.#failures = 0;
    this.#arm();
  }

  disable(): void {
    this.#enabled = false;
    this.#arm();
  }

  /** Ends it for good. Nothing becomes due any more; `pending` still says if a snapshot would have been. */
  stop(): void {
    this.#stopped = true;
    this.#arm();
  }

  /** Changes the settings at once, also for a snapshot that is waited for. */
  setSettings(settings: BackupSettings): void {
    this.#settings = settings;
    this.#arm();
  }

  /** Notes that the log has advanced to `position`. Cheap enough to be called for every batch. */
  updated(position: number): void {
    if (position <= this.#latest) return;
    const changedBefore = this.changed;
    this.#latest = position;
    if (changedBefore || !this.changed) return;
    this.#changedAt = this.#clock.now();
    this.#arm();
  }

  /** Notes that a snapshot is being taken. */
  started(): void {
    this.#running = true;
    this.#startedAt = this.#clock.now();
    this.#arm();
  }

  /** Notes that a snapshot of `position` was taken. */
  succeeded(position: number): void {
    this.#running = false;
    this.#saved = Math.max(this.#saved, position);
    this.#anchorAt = this.#startedAt;
    // Changes that are not in it came while it was taken.
    if (this.changed) this.#changedAt = this.#clock.now();
    this.#failures = 0;
    this.#arm();
  }

  /** Notes that the snapshot failed. A snapshot that was only asked for by a call is not tried again. */
  failed(): void {
    this.#running = false;
    if (this.pending) {
      const pauseMs = backOffMs(this.#failures + 1, this.#retryMs, this.#maxRetryMs);
      this.#failures += 1;
      this.#retryAt = this.#clock.now() + pauseMs;
    }
    this.#arm();
  }

  #arm(): void {
    const at = this.#stopped || this.#running || !this.pending ? undefined : this.#dueAt();
    if (at === this.#timer?.at) return;
    this.#clearTimer();
    if (at !== undefined) this.#setTimer(at, Math.max(0, at - this.#clock.now()));
  }

  #setTimer(at: number, delayMs: number): void {
    const handle = this.#clock.setTimeout(
      () => {
        this.#timer = undefined;
        // Counts down instead of reading the clock, which may have been set back meanwhile.
        if (delayMs > LONGEST_DELAY_MS) this.#setTimer(at, delayMs - LONGEST_DELAY_MS);
        else this.#due();
      },
      Math.min(delayMs, LONGEST_DELAY_MS),
    );
    this.#timer = { handle, at };
  }

  #clearTimer(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer.handle);
    this.#timer = undefined;
  }

  #dueAt(): number {
    if (this.#failures > 0) return this.#retryAt;
    const intervalMs = this.#settings.interval * 1_000;
    const at = this.#settings.mode === 'periodic' ? this.#nextTick(intervalMs) : this.#soon(intervalMs);
    // A clock that was set back must not delay the snapshot by as much.
    return Math.min(at, this.#clock.now() + intervalMs);
  }

  #soon(intervalMs: number): number {
    return Math.max(this.#changedAt + Math.min(this.#settleMs, intervalMs), this.#startedAt + intervalMs);
  }

  /** Returns the end of the interval in which the change came, counted from the anchor. */
  #nextTick(intervalMs: number): number {
    const elapsedMs = Math.max(0, this.#changedAt - this.#anchorAt);
    return this.#anchorAt + (Math.floor(elapsedMs / intervalMs) + 1) * intervalMs;
  }
}

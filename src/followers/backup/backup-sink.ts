import { type Clock, systemClock } from '../../core/clock.ts';
import type { BackupSettings, BackupSettingsChange } from '../../core/command.ts';
import { untilAborted } from '../../core/deadline.ts';
import { ContextCacheError, toError } from '../../core/errors.ts';
import type { Update } from '../../core/update.ts';
import type { ConnectOutcome, FollowerSink, StateCapture } from '../../storage/follower-sink.ts';
import { BackupInitiator, type BackupInitiatorOptions } from './backup-initiator.ts';
import type { BackupManager, BackupResult } from './backup-manager.ts';
import type { SnapshotInfo } from './snapshot-format.ts';

/** Options of {@link BackupSink}. */
export interface BackupSinkOptions extends Pick<BackupInitiatorOptions, 'settleMs' | 'retryMs' | 'maxRetryMs'> {
  /** Takes the snapshots and holds the settings. */
  readonly manager: BackupManager;
  /** Captures the present state. The sink closes the capture. */
  readonly captureState: () => StateCapture | Promise<StateCapture>;
  /** Default: the machine's. */
  readonly clock?: Clock | undefined;
  /** `true`: snapshots are taken by themselves from the start. Default false. */
  readonly enabled?: boolean | undefined;
  /** `false`: another process takes the snapshots until {@link BackupSink.activate} is called. Default true. */
  readonly active?: boolean | undefined;
  /** Called with each snapshot that was taken. */
  readonly onSnapshot?: ((snapshot: BackupResult) => void) | undefined;
  /** Called with the error of each snapshot that failed. */
  readonly onError?: ((error: Error) => void) | undefined;
}

/** The status of the backup. */
export interface BackupStatus {
  readonly enabled: boolean;
  readonly settings: BackupSettings;
  /** `true` while a snapshot is being taken. */
  readonly running: boolean;
  /** The last snapshot that this process took, or found to be up to date. */
  readonly lastSnapshot?: BackupResult;
  /** Message and instant (epoch milliseconds) of the last failure since the last snapshot. */
  readonly lastError?: { readonly message: string; readonly at: number };
  /** Number of failed attempts since the last snapshot. */
  readonly failures: number;
}

/** Options of {@link BackupSink.backupNow}. */
export interface BackupNowOptions {
  /** Ends the waiting. The snapshot itself goes on. */
  readonly signal?: AbortSignal | undefined;
  /** Writes everything again, even parts that are stored already. Default false. */
  readonly full?: boolean | undefined;
}

/**
 * The backup as a follower of the log. Updates only tell it that something has changed. A snapshot captures the whole
 * state, when the initiator says so or when {@link BackupSink.backupNow} is called. So its checkpoint says nothing about
 * the stored snapshots: after a start, the first due snapshot reads from the store if the newest one is still up to date.
 *
 * @example
 * ```ts
 * const sink = new BackupSink({ manager, captureState: () => captureOfAllNamespaces() });
 * sink.enable({ mode: 'on_change', interval: 60 });
 * ```
 */
export class BackupSink implements FollowerSink {
  readonly batchSize: number = Number.POSITIVE_INFINITY;
  readonly ignoresUpdates = true;
  readonly #options: BackupSinkOptions;
  readonly #manager: BackupManager;
  readonly #initiator: BackupInitiator;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  #current: Promise<BackupResult> | undefined;
  /** The snapshot after the current one, which calls that came too late for it share. */
  #next: Promise<BackupResult> | undefined;
  #nextFull = false;
  #enabled: boolean;
  /** `false` while another node of the cluster takes the snapshots. */
  #isActive: boolean;
  #lastSnapshot: BackupResult | undefined;
  #lastError: { readonly message: string; readonly at: number } | undefined;
  #failures = 0;

  constructor(options: BackupSinkOptions) {
    const { manager, clock = systemClock, settleMs, retryMs, maxRetryMs } = options;
    this.#options = options;
    this.#manager = manager;
    this.#clock = clock;
    this.#initiator = new BackupInitiator({
      ...{ settings: manager.getSettings(), clock, settleMs, retryMs, maxRetryMs },
      due: () => {
        // onError and the status report a failure, and the initiator tries again.
        this.backupNow().catch(() => undefined);
      },
    });
    this.#enabled = options.enabled === true;
    this.#isActive = options.active ?? true;
    this.#arm();
  }

  /** @throws {ContextCacheError} `INVALID_OPTION`; nothing has changed then. */
  enable(settings: BackupSettingsChange = {}): void {
    this.setSettings(settings);
    this.#enabled = true;
    this.#arm();
  }

  /** Stops taking snapshots by itself. Finishes one under way; `backupNow` still works. */
  disable(): void {
    this.#enabled = false;
    this.#arm();
  }

  isEnabled(): boolean {
    return this.#enabled;
  }

  /** Says whether this process takes the snapshots that are enabled. */
  activate(isActive: boolean): void {
    this.#isActive = isActive;
    this.#arm();
  }

  #arm(): void {
    if (this.#enabled && this.#isActive) this.#initiator.enable();
    else this.#initiator.disable();
  }

  /** @throws {ContextCacheError} `INVALID_OPTION`; nothing has changed then. */
  setSettings(settings: BackupSettingsChange): void {
    this.#initiator.setSettings(this.#manager.setSettings(settings));
  }

  getSettings(): BackupSettings {
    return this.#manager.getSettings();
  }

  status(): BackupStatus {
    return {
      enabled: this.isEnabled(),
      settings: this.getSettings(),
      running: this.#current !== undefined,
      failures: this.#failures,
      ...(this.#lastSnapshot === undefined ? {} : { lastSnapshot: this.#lastSnapshot }),
      ...(this.#lastError === undefined ? {} : { lastError: this.#lastError }),
    };
  }

  /** Lists the stored snapshots, newest first. */
  list(signal?: AbortSignal): Promise<SnapshotInfo[]> {
    return this.#manager.list(signal);
  }

  /**
   * Takes a snapshot, enabled or not. During another snapshot it takes one more after it, because the first has already
   * captured its state. Calls that wait share one snapshot.
   */
  backupNow(options: BackupNowOptions = {}): Promise<BackupResult> {
    const { signal, full = false } = options;
    if (this.#stop.signal.aborted) return Promise.reject(this.#stop.signal.reason);
    if (signal?.aborted) return Promise.reject(signal.reason);
    const underWay = this.#next ?? this.#current;
    return untilAborted(underWay === undefined ? this.#begin(full) : this.#afterwards(underWay, full), signal);
  }

  /** Notes that the log has advanced to `position`, for callers that do not use `deliver`. Cheap. */
  updated(position: number): void {
    this.#initiator.updated(position);
  }

  async connect(checkpoint: number): Promise<ConnectOutcome> {
    this.#initiator.updated(checkpoint);
    return 'resume';
  }

  async deliver(_updates: readonly Update[], through: number): Promise<void> {
    this.#initiator.updated(through);
  }

  /** Does nothing: {@link BackupSink.close} closes the store. */
  async disconnect(): Promise<void> {}

  /** Resolves when no snapshot is under way or requested. Never rejects. */
  async idle(): Promise<void> {
    while (this.#current !== undefined || this.#next !== undefined) {
      await Promise.allSettled([this.#current, this.#next]);
    }
  }

  /**
   * Ends the backup of a cache that takes no more commands. Waits for a snapshot under way; then, if it is enabled, not
   * `manual`, and something has changed since, takes a final one. If neither is due it resolves at once, even if the
   * signal has aborted. Nothing becomes due any more after this.
   *
   * @throws the error of the final snapshot, or the signal's reason; a snapshot under way is abandoned then.
   */
  async drain(signal?: AbortSignal): Promise<void> {
    this.#initiator.stop();
    if (this.#current === undefined && this.#next === undefined && !this.#initiator.pending) return;
    const giveUp = () => this.#stop.abort(signal?.reason);
    signal?.addEventListener('abort', giveUp, { once: true });
    try {
      signal?.throwIfAborted();
      await untilAborted(this.idle(), signal);
      if (this.#initiator.pending) await this.backupNow(signal === undefined ? {} : { signal });
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  }

  /** Abandons a snapshot under way and closes the store. Call `drain` first for a clean end. Calling it twice is fine. */
  async close(): Promise<void> {
    this.#initiator.stop();
    this.#stop.abort(new ContextCacheError('CLOSED', 'The backup is closed.'));
    await this.idle();
    await this.#manager.close();
  }

  #begin(full: boolean): Promise<BackupResult> {
    const run: Promise<BackupResult> = this.#take(full).finally(() => {
      this.#current = undefined;
    });
    this.#current = run;
    return run;
  }

  #afterwards(current: Promise<BackupResult>, full: boolean): Promise<BackupResult> {
    this.#nextFull ||= full;
    this.#next ??= current
      .catch(() => undefined)
      .then(() => {
        const nextFull = this.#nextFull;
        this.#next = undefined;
        this.#nextFull = false;
        this.#stop.signal.throwIfAborted();
        return this.#begin(nextFull);
      });
    return this.#next;
  }

  async #take(full: boolean): Promise<BackupResult> {
    this.#initiator.started();
    const result = await this.#store(full);
    this.#lastSnapshot = result;
    this.#lastError = undefined;
    this.#failures = 0;
    this.#initiator.succeeded(result.position);
    this.#options.onSnapshot?.(result);
    return result;
  }

  async #store(full: boolean): Promise<BackupResult> {
    try {
      const capture = await this.#options.captureState();
      return await this.#manager.backup(capture, { signal: this.#stop.signal, full });
    } catch (thrown) {
      throw this.#fail(toError(thrown));
    }
  }

  #fail(error: Error): Error {
    this.#failures += 1;
    this.#lastError = { message: error.message, at: this.#clock.now() };
    this.#initiator.failed();
    this.#options.onError?.(error);
    return error;
  }
}

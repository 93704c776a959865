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
  /** Takes and keeps the snapshots, and owns the settings. */
  readonly manager: BackupManager;
  /** All namespaces as they are at this moment. The sink sees to it that the cut is closed. */
  readonly captureState: () => StateCapture | Promise<StateCapture>;
  /** Default: the machine's. */
  readonly clock?: Clock | undefined;
  /** Whether snapshots are taken by themselves from the start. Default false. */
  readonly enabled?: boolean | undefined;
  /** Told of each snapshot that was taken. */
  readonly onSnapshot?: ((snapshot: BackupResult) => void) | undefined;
  /** Told of each one that could not be taken. */
  readonly onError?: ((error: Error) => void) | undefined;
}

/** How the backup stands. */
export interface BackupStatus {
  readonly enabled: boolean;
  readonly settings: BackupSettings;
  /** Whether a snapshot is being taken. */
  readonly running: boolean;
  /** The last one this process has taken, or found to be still up to date. */
  readonly lastSnapshot?: BackupResult;
  /** Why the last try failed, where it did, and when (epoch milliseconds). */
  readonly lastError?: { readonly message: string; readonly at: number };
  /** Failed tries since the last snapshot. */
  readonly failures: number;
}

/** How a backup is asked for. */
export interface BackupNowOptions {
  /** Ends the waiting; the snapshot itself is taken all the same. */
  readonly signal?: AbortSignal | undefined;
  /** Write everything again, whatever is stored already. Default false. */
  readonly full?: boolean | undefined;
}

/**
 * The backup as a follower of the log. An update only tells it that something has changed; a snapshot is a cut of the
 * whole state, taken when the initiator says so or when {@link BackupSink.backupNow} is called. So its checkpoint
 * says nothing about what is stored: after a start, the first snapshot that becomes due finds out from the store
 * whether the newest one there is still up to date.
 *
 * @example
 * ```ts
 * const sink = new BackupSink({ manager, captureState: () => cutOfAllNamespaces() });
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
  /** Asked for while another was under way. */
  #next: Promise<BackupResult> | undefined;
  #nextFull = false;
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
        // A failure has gone to onError and the status, and the initiator tries again.
        this.backupNow().catch(() => undefined);
      },
    });
    if (options.enabled === true) this.#initiator.enable();
  }

  /** @throws {ContextCacheError} `INVALID_OPTION`; nothing has changed then. */
  enable(settings: BackupSettingsChange = {}): void {
    this.setSettings(settings);
    this.#initiator.enable();
  }

  /** No snapshot is taken by itself any more; one under way is finished, and `backupNow` works still. */
  disable(): void {
    this.#initiator.disable();
  }

  isEnabled(): boolean {
    return this.#initiator.enabled;
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

  /** What is stored, newest first. */
  list(signal?: AbortSignal): Promise<SnapshotInfo[]> {
    return this.#manager.list(signal);
  }

  /**
   * Takes a snapshot, enabled or not. While one is under way, another is taken after it: the first has its cut
   * already. Calls that wait share one.
   */
  backupNow(options: BackupNowOptions = {}): Promise<BackupResult> {
    const { signal, full = false } = options;
    if (this.#stop.signal.aborted) return Promise.reject(this.#stop.signal.reason);
    if (signal?.aborted) return Promise.reject(signal.reason);
    const underWay = this.#next ?? this.#current;
    return untilAborted(underWay === undefined ? this.#begin(full) : this.#afterwards(underWay, full), signal);
  }

  /** The log has advanced to `position`; for whoever tells it otherwise than by `deliver`. Cheap. */
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

  /** Nothing to let go of: the store is the manager's, see {@link BackupSink.close}. */
  async disconnect(): Promise<void> {}

  /** Resolves when no snapshot is being taken or has been asked for. Never rejects. */
  async idle(): Promise<void> {
    while (this.#current !== undefined || this.#next !== undefined) {
      await Promise.allSettled([this.#current, this.#next]);
    }
  }

  /**
   * Ends the backup of a cache that takes no more commands: waits for what is under way, then, where it is enabled and
   * not `manual`, takes a final snapshot of what has changed since the last. Nothing becomes due any more after this.
   *
   * @throws the error of the final snapshot, or the signal's reason; what is under way is given up then.
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

  /** Gives up what is under way and closes the store. Call `drain` before for a clean end. Twice is fine. */
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
      const cut = await this.#options.captureState();
      return await this.#manager.backup(cut, { signal: this.#stop.signal, full });
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

import type { Capture } from '../core/namespace-state.ts';
import type { Remembered } from '../core/remembered.ts';
import type { Update } from '../core/update.ts';

/**
 * A capture of all namespaces at one position, and of what is remembered there, for a follower that copies the whole state. Must be
 * closed after use.
 */
export interface StateCapture extends Remembered {
  /** Everything up to this position is in the capture, nothing after it. */
  readonly position: number;
  /** Instant of the capture, epoch milliseconds. */
  readonly at: number;
  /** Id of the log that `position` belongs to. */
  readonly log: string;
  /** The state of the cluster at this position, for a snapshot; absent without a cluster. */
  readonly cluster?: { readonly sequence: number } | undefined;
  /**
   * Yields each namespace once. May be consumed slowly while writes go on. Close each yielded capture when it is done,
   * or close the whole one.
   */
  namespaces(): AsyncIterable<Capture>;
  close(): void;
}

/**
 * Result of `connect`: the position at which delivery continues.
 * - `resume`: at the checkpoint that the log has for this follower.
 * - a position: the destination itself reports that it has everything up to there; delivery continues at that position
 *   or at the log's checkpoint, the later of the two.
 * - `resync`: the destination does not fit the log, because it was emptied or is too far behind; the whole state is
 *   copied to it first.
 */
export type ConnectOutcome = 'resume' | 'resync' | { readonly position: number };

/**
 * The contract of everything that follows the log: mirror, broadcaster, backup and index. The follower machine
 * calls the methods one at a time: `deliver` only after `connect`; after any rejection `disconnect` and, after a
 * back-off, `connect` again. A batch may be delivered again after a failure: delivery is in order and at least once.
 */
export interface FollowerSink {
  /** Greatest number of updates in one `deliver`; at least 1. */
  readonly batchSize: number;
  /**
   * Set by a sink that only needs to know how far the log has come. `deliver` is then called with no updates, once for
   * everything that is committed. Default false.
   */
  readonly ignoresUpdates?: boolean;
  /**
   * Prepares for delivery. `checkpoint` is the last position that this follower is known to have finished, 0 for a new
   * one. Rejects if the destination cannot be reached.
   */
  connect(checkpoint: number, signal: AbortSignal): Promise<ConnectOutcome>;
  /**
   * Delivers a batch. Resolves only when the destination has it; `through` as in {@link UpdateBatch}. Rejects if any of
   * it may be missing there, or with the signal's reason.
   */
  deliver(updates: readonly Update[], through: number, signal: AbortSignal): Promise<void>;
  /** Makes the destination equal to the capture. Required if `connect` may return `resync`. */
  resync?(capture: StateCapture, signal: AbortSignal): Promise<void>;
  /**
   * Releases the connection. Never rejects and never hangs. Called after a failure, and with `final` when the follower
   * stops for good.
   */
  disconnect(final?: boolean): Promise<void>;
  /**
   * Registers the callback that the sink calls when an idle connection breaks, so that it is restored before it is
   * needed.
   */
  onLost?(lost: (cause: Error) => void): void;
}

import type { Capture } from '../core/namespace-state.ts';
import type { Update } from '../core/update.ts';

/** All namespaces as they are at one position, for whoever has to copy the whole state. Close it. */
export interface StateCapture {
  /** The position of the cut: everything up to here is in it, nothing after. */
  readonly position: number;
  /** When it was made, epoch milliseconds. */
  readonly at: number;
  /** Id of the log that `position` belongs to. */
  readonly log: string;
  /**
   * Each namespace of the cut, once. May be consumed slowly while writers go on; close each capture (or the cut)
   * when done with it.
   */
  namespaces(): AsyncIterable<Capture>;
  close(): void;
}

/**
 * Where a follower stands when it has connected.
 * - `resume`: go on from the log's checkpoint.
 * - a position: the destination itself says that it has everything up to here; go on from the later of the two.
 * - `resync`: what the destination holds does not fit the log (it was emptied, or is too far behind): copy the whole
 *   state to it first.
 */
export type ConnectOutcome = 'resume' | 'resync' | { readonly position: number };

/**
 * What a follower does with the updates it gets: the one contract behind mirror, broadcaster, backup and
 * checkpointer. The follower machine owns when each is called: never two calls at a time, `deliver` only after
 * `connect`, after any rejection `disconnect` and, when it has backed off, `connect` again. Batches may come again
 * after a failure: deliver at least once, in order.
 */
export interface FollowerSink {
  /** At most this many updates in one `deliver`. */
  readonly batchSize: number;
  /** Where `deliver` only looks how far the log is: it gets no updates, and is told once for all there are. */
  readonly ignoresUpdates?: boolean;
  /** Makes ready to deliver. `checkpoint`: the last position this follower is known to have finished. */
  connect(checkpoint: number, signal: AbortSignal): Promise<ConnectOutcome>;
  /** Delivers; resolves only when the destination has it. `through` as in `UpdateBatch`. */
  deliver(updates: readonly Update[], through: number, signal: AbortSignal): Promise<void>;
  /** Makes the destination equal to the cut. Needed where `connect` may say `resync`. */
  resync?(capture: StateCapture, signal: AbortSignal): Promise<void>;
  /** Lets go of the connection; never rejects, never hangs. Called after a failure and at the end. */
  disconnect(): Promise<void>;
  /** The sink calls `lost` when an idle connection breaks, so that it is mended before it is needed. */
  onLost?(lost: (cause: Error) => void): void;
}

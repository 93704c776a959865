import type { Update } from '../../core/update.ts';
import type { ConnectOutcome, FollowerSink } from '../follower-sink.ts';
import type { StateTable } from './state/state-table.ts';

/**
 * The follower that keeps the state on disk up to date. Its checkpoint is stored in the state table, in the same batch
 * as the state.
 *
 * @example
 * ```ts
 * const table = await StateTable.open(log);
 * const checkpointer = new Checkpointer(table); // for the follower named Checkpointer.follower
 * ```
 */
export class Checkpointer implements FollowerSink {
  /** Name of its follower in the log. */
  static readonly follower = 'checkpointer';
  /**
   * Large, so that a key or page that changes often is written once for many updates. Not larger, because LevelDB keeps
   * each batch in its own log, which is read at the next opening (measured: 32,768 doubles the time of a start over a
   * million keys).
   */
  readonly batchSize = 12_288;
  readonly #table: StateTable;

  constructor(table: StateTable) {
    this.#table = table;
  }

  async connect(): Promise<ConnectOutcome> {
    return { position: this.#table.checkpoint };
  }

  async deliver(updates: readonly Update[], through: number, signal: AbortSignal): Promise<void> {
    await this.#table.applyUpdates(updates, through, signal);
  }

  async disconnect(): Promise<void> {}
}

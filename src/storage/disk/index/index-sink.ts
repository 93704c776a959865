import { untilAborted } from '../../../core/deadline.ts';
import type { Update } from '../../../core/update.ts';
import type { ConnectOutcome, FollowerSink } from '../../follower-sink.ts';
import type { DiskIndex } from './disk-index.ts';

/**
 * The follower that keeps the index on disk up to date. Its checkpoint is stored in the index, in the same batch as the
 * state.
 */
export class IndexSink implements FollowerSink {
  /** Name of its follower in the log. */
  static readonly follower = 'index';
  /** It reads the log's files itself, in the thread that writes the index. */
  readonly ignoresUpdates = true;
  /** The follower gathers this many updates, or for some time, so that a key that changes often is written once. */
  readonly batchSize = 32_768;
  readonly #index: DiskIndex;
  readonly #onFolded: () => void;

  /** `onFolded` is called when the index has reached the end of a batch. */
  constructor(index: DiskIndex, onFolded = () => {}) {
    this.#index = index;
    this.#onFolded = onFolded;
  }

  async connect(): Promise<ConnectOutcome> {
    return { position: await this.#index.connect() };
  }

  async deliver(_: readonly Update[], through: number, signal: AbortSignal): Promise<void> {
    await untilAborted(this.#index.fold(through), signal);
    this.#onFolded();
  }

  async disconnect(): Promise<void> {}

  onLost(lost: (cause: Error) => void): void {
    this.#index.onLost(lost);
  }
}

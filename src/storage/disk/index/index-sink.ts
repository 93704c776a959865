import { untilAborted } from '../../../core/deadline.ts';
import type { Update } from '../../../core/update.ts';
import type { ConnectOutcome, FollowerSink } from '../../follower-sink.ts';
import type { DiskIndex } from './disk-index.ts';

/** Number of updates that the follower gathers, unless they wait too long, so that a key that changes often is written once. */
const BATCH = 32_768;
/** The same for the first batch, which starts the thread of the index: until it runs, a writer at full rate adds 20,000 updates. */
const FIRST_BATCH = 4_096;

/**
 * The follower that keeps the index on disk up to date. Its checkpoint is stored in the index, in the same batch as the
 * state.
 */
export class IndexSink implements FollowerSink {
  /** Name of its follower in the log. */
  static readonly follower = 'index';
  /** It reads the log's files itself, in the thread that writes the index. */
  readonly ignoresUpdates = true;
  readonly #index: DiskIndex;
  readonly #onFolded: () => void;
  #isFirst = true;

  /** `onFolded` is called when the index has reached the end of a batch. */
  constructor(index: DiskIndex, onFolded = () => {}) {
    this.#index = index;
    this.#onFolded = onFolded;
  }

  get batchSize(): number {
    return this.#isFirst ? FIRST_BATCH : BATCH;
  }

  async connect(): Promise<ConnectOutcome> {
    return { position: await this.#index.connect() };
  }

  async deliver(_: readonly Update[], through: number, signal: AbortSignal): Promise<void> {
    if (through - this.#index.table.checkpoint >= FIRST_BATCH) this.#isFirst = false;
    await untilAborted(this.#index.fold(through), signal);
    this.#onFolded();
  }

  async disconnect(): Promise<void> {}

  onLost(lost: (cause: Error) => void): void {
    this.#index.onLost(lost);
  }
}

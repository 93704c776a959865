import PQueue from 'p-queue';
import { ContextCacheError, toError } from '../../core/errors.ts';
import { optionNames } from '../../core/options.ts';

/** Options of {@link ContextBufferQueue}. */
export interface ContextBufferQueueOptions<Batch> {
  /** Delivers one batch. The next one waits until it resolves. */
  readonly deliver: (batch: Batch) => Promise<void>;
  /** Greatest number of batches in the queue, including the one being delivered. Default 2; an integer from 1. */
  readonly capacity?: number | undefined;
}

const OPTIONS = optionNames<ContextBufferQueueOptions<unknown>>('ContextBufferQueue', {
  deliver: true,
  capacity: true,
});

interface Waiting<Batch> {
  readonly batch: Batch;
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

/**
 * A bounded queue of batches between the log and a slow destination. It delivers batches one at a time and in order while
 * the caller makes the next ones, so the work of making a batch overlaps the round trip of the one before. At most
 * `capacity` batches are in memory.
 *
 * The first failure stops the queue, because going on would leave a gap: no later batch is delivered, and every call
 * rejects with that failure until {@link clear}.
 *
 * @example
 * ```ts
 * const queue = new ContextBufferQueue<Update[]>({ deliver: (batch) => send(batch) });
 * for await (const batch of log.read(1)) await queue.push([...batch]);
 * await queue.onIdle();
 * ```
 */
export class ContextBufferQueue<Batch> {
  readonly #deliver: (batch: Batch) => Promise<void>;
  readonly #capacity: number;
  readonly #queue = new PQueue({ concurrency: 1 });
  /** Pushes beyond the capacity, in order. Each enters the queue before any later push. */
  #waiting: Waiting<Batch>[] = [];
  #failure: Error | undefined;
  /** Number of clears. The failure of a batch from before a clear does not count. */
  #era = 0;

  constructor(options: ContextBufferQueueOptions<Batch>) {
    const { capacity = 2 } = OPTIONS.checked(options);
    if (!Number.isInteger(capacity) || capacity < 1) {
      throw new ContextCacheError('INVALID_OPTION', `"capacity" must be an integer from 1, not ${capacity}.`);
    }
    this.#deliver = options.deliver;
    this.#capacity = capacity;
    this.#queue.on('next', () => this.#admit());
  }

  /** Number of batches in the queue, including the one being delivered. Pushes that wait are not counted. */
  get size(): number {
    return this.#queue.size + this.#queue.pending;
  }

  /** Adds a batch; waits while the queue is full. Rejects with the failure that stopped the queue. */
  push(batch: Batch): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.size < this.#capacity && this.#waiting.length === 0) {
      this.#add(batch);
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => this.#waiting.push({ batch, resolve, reject }));
  }

  /** Resolves once every batch is delivered. Rejects with the failure that stopped the queue. */
  async onIdle(): Promise<void> {
    do {
      await this.#queue.onIdle();
      if (this.#failure !== undefined) throw this.#failure;
    } while (this.size > 0);
  }

  /**
   * Discards the failure and all batches that are not yet being delivered; pushes that wait reject with `CLOSED`. The
   * batch under way is finished, and its outcome is ignored.
   */
  clear(): void {
    this.#era += 1;
    this.#failure = undefined;
    this.#drop(new ContextCacheError('CLOSED', 'The queue was cleared before this batch entered it. Push it again.'));
  }

  #add(batch: Batch): void {
    const era = this.#era;
    void this.#queue.add(() => this.#run(batch, era));
  }

  /** Never rejects: the failure must be noted before the queue starts the next batch. */
  async #run(batch: Batch, era: number): Promise<void> {
    try {
      await this.#deliver(batch);
    } catch (reason) {
      if (era === this.#era) this.#fail(toError(reason));
    }
  }

  #admit(): void {
    while (this.#failure === undefined && this.size < this.#capacity) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#add(next.batch);
      next.resolve();
    }
  }

  #fail(failure: Error): void {
    this.#failure = failure;
    this.#drop(failure);
  }

  #drop(reason: Error): void {
    // Clearing emits `next`, which would admit the pushes that wait: remove them first.
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#queue.clear();
    for (const { reject } of waiting) reject(reason);
  }
}

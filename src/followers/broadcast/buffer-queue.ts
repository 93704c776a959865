import PQueue from 'p-queue';
import { ContextCacheError, toError } from '../../core/errors.ts';
import { optionNames } from '../../core/options.ts';

/** Settings of {@link ContextBufferQueue}. */
export interface ContextBufferQueueOptions<Batch> {
  /** Passes one batch on; the next one waits until it resolves. */
  readonly deliver: (batch: Batch) => Promise<void>;
  /** How many batches may be in the queue, the one being delivered included. Default 2, at least 1. */
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
 * A bounded window of batches between the log and a slow destination: batches are delivered one at a time, in order,
 * while the next ones are made. With a destination that takes a round-trip to confirm, the work of making a batch
 * falls into the waiting for the one before, and no more than `capacity` batches are ever in memory.
 *
 * The first failure stops it: nothing behind the failed batch is delivered, as that would leave a gap, and every call
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
  /** Pushes beyond the capacity, in order; each is taken in before any later push. */
  #waiting: Waiting<Batch>[] = [];
  #failure: Error | undefined;
  /** Counts the clears: a batch that fails after one belongs to the past. */
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

  /** Batches in the queue, the one being delivered included; not those whose `push` still waits. */
  get size(): number {
    return this.#queue.size + this.#queue.pending;
  }

  /** Takes a batch in; waits while the queue is full. Rejects with the failure that has stopped the queue. */
  push(batch: Batch): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.size < this.#capacity && this.#waiting.length === 0) {
      this.#add(batch);
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => this.#waiting.push({ batch, resolve, reject }));
  }

  /** Resolves once everything taken in is delivered; rejects with the failure that has stopped the queue. */
  async onIdle(): Promise<void> {
    do {
      await this.#queue.onIdle();
      if (this.#failure !== undefined) throw this.#failure;
    } while (this.size > 0);
  }

  /**
   * Forgets a failure and every batch that is not yet being delivered; pushes that wait reject with `CLOSED`. The one
   * being delivered runs to its end, which no longer counts.
   */
  clear(): void {
    this.#era += 1;
    this.#failure = undefined;
    this.#drop(new ContextCacheError('CLOSED', 'The queue was cleared before it had taken this batch. Push it again.'));
  }

  #add(batch: Batch): void {
    const era = this.#era;
    void this.#queue.add(() => this.#run(batch, era));
  }

  /** Never rejects: a failure must be known before the queue starts what is next. */
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
    // Clearing makes room and says so: those that wait must be out of the way before.
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#queue.clear();
    for (const { reject } of waiting) reject(reason);
  }
}

import { MessageWriter } from '../wire/message-codec.ts';
import { BATCH_BYTES, BATCH_ITEMS, WINDOW_BATCHES } from '../wire/socket-protocol.ts';

/** The items of a stream, which may be gathered first. */
export type Items = Iterable<unknown> | AsyncIterable<unknown>;

/** A batch of encoded items. */
export interface Batch {
  readonly items: readonly Buffer[];
  /** Position that a watch has reached; `undefined` for other streams, and while it is not known. */
  readonly position: number | undefined;
}

/** The parts of an {@link OutgoingStream}. */
export interface OutgoingStreamOptions {
  readonly items: Items | Promise<Items>;
  /** Returns the position that a watch has reached. */
  readonly position?: (() => number | undefined) | undefined;
  /** Resolves when the connection has room for a batch; `undefined` if it has room now. */
  readonly room: () => Promise<void> | undefined;
  readonly onBatch: (batch: Batch) => void;
  /** Called once, after the last batch; with the error if the stream failed. Not called after {@link OutgoingStream.cancel}. */
  readonly onEnd: (error?: unknown) => void;
}

/** Encodes single items. One is enough for all streams, because an item is encoded in one turn. */
const encoder = new MessageWriter();

/**
 * The answer of a stream request. Sends items in batches, no more of them than the client consumes, and none while the
 * connection has no room: a slow client costs a few batches of memory and delays no other client.
 */
export class OutgoingStream {
  readonly #options: OutgoingStreamOptions;
  #items: Buffer[] = [];
  #bytes = 0;
  #unconsumed = 0;
  #isScheduled = false;
  #isCancelled = false;
  #wake: (() => void) | undefined;
  #iterator: AsyncIterator<unknown> | Iterator<unknown> | undefined;
  #sentPosition: number | undefined;

  constructor(options: OutgoingStreamOptions) {
    this.#options = options;
  }

  /** Sends the stream to its end. Never rejects. */
  async run(): Promise<void> {
    try {
      const items = await this.#options.items;
      this.#iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
      while (!this.#isCancelled) {
        const step = await this.#iterator.next();
        if (step.done === true || this.#isCancelled) break;
        if (this.#items.length === 0) await this.#room();
        this.#add(step.value);
        if (!this.#isFull) continue;
        while (this.#unconsumed >= WINDOW_BATCHES && !this.#isCancelled) await this.#consumption();
        this.#flush();
      }
      while (this.#unconsumed >= WINDOW_BATCHES && this.#items.length > 0 && !this.#isCancelled)
        await this.#consumption();
      this.#flush();
      if (!this.#isCancelled) this.#options.onEnd();
    } catch (error) {
      if (!this.#isCancelled) this.#options.onEnd(error);
    }
  }

  /** Notes that the client has consumed a batch. */
  consumed(): void {
    if (this.#unconsumed > 0) this.#unconsumed -= 1;
    if (this.#wake !== undefined) this.#wake();
    else this.#flush();
  }

  /** Sends the position that a watch has reached, if it has moved and nothing else says so. */
  sendPosition(): void {
    const position = this.#options.position?.();
    if (position === undefined || position === this.#sentPosition || this.#items.length > 0) return;
    this.#sentPosition = position;
    this.#options.onBatch({ items: [], position });
  }

  /** Ends the stream and releases its source. */
  cancel(): void {
    this.#isCancelled = true;
    this.#items = [];
    this.#wake?.();
    // A source that waits for its next item is released by its own `return`.
    void Promise.resolve(this.#iterator?.return?.()).catch(() => {});
  }

  get #isFull(): boolean {
    return this.#items.length >= BATCH_ITEMS || this.#bytes >= BATCH_BYTES;
  }

  /** Waits before a batch is begun: a stream that waits for the others holds nothing encoded. */
  async #room(): Promise<void> {
    for (let room = this.#options.room(); room !== undefined; room = this.#options.room()) await room;
  }

  #add(item: unknown): void {
    encoder.begin();
    encoder.value(item);
    const encoded = encoder.end();
    this.#items.push(encoded);
    this.#bytes += encoded.length;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    // Items of the same turn go into one batch.
    setImmediate(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#items.length === 0 || this.#unconsumed >= WINDOW_BATCHES || this.#isCancelled) return;
    const items = this.#items;
    this.#items = [];
    this.#bytes = 0;
    this.#unconsumed += 1;
    const position = this.#options.position?.();
    this.#sentPosition = position;
    this.#options.onBatch({ items, position });
  }

  #consumption(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }
}

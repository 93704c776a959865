import type { JsonValue } from '../core/value.ts';
import type { Asking } from './asking.ts';
import type { IncomingStream, RequestObject, StreamKind } from './call.ts';

/** A batch of items, and the position that a watch has reached with it. */
export interface ItemBatch {
  readonly items: readonly JsonValue[];
  readonly position: number | undefined;
  /** Id of the log that the server read from. */
  readonly log: string;
}

/** How a stream has ended: complete, or with the connection. */
export type StreamEnd = 'complete' | 'lost';

/**
 * A stream of the server, read batch by batch. The server sends a few batches ahead and waits until they are taken, so a
 * slow reader costs little memory here.
 */
export class ItemStream {
  readonly #stream: IncomingStream;
  readonly #batches: ItemBatch[] = [];
  #end: StreamEnd | Error | undefined;
  #wake: (() => void) | undefined;

  constructor(link: Asking, request: RequestObject, kind: StreamKind) {
    const finish = (end: StreamEnd | Error) => {
      this.#end ??= end;
      this.#wake?.();
    };
    this.#stream = link.stream(
      request,
      {
        onBatch: (items, position) => {
          link.saw(position);
          this.#add({ items, position, log: link.hello.log });
        },
        onEnd: (error) => finish(error ?? 'complete'),
        onLost: () => finish('lost'),
      },
      kind,
    );
  }

  /** Resolves with the next batch, or with how the stream has ended. Rejects if it failed. */
  async take(): Promise<ItemBatch | StreamEnd> {
    while (this.#batches.length === 0 && this.#end === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    const batch = this.#batches.shift();
    if (batch !== undefined) {
      // A batch without items only carries a position, and the server does not count it.
      if (batch.items.length > 0) this.#stream.consumed();
      return batch;
    }
    if (this.#end instanceof Error) throw this.#end;
    return this.#end ?? 'complete';
  }

  /** Adds a batch. A position alone goes to the batch before it, so that positions do not pile up unread. */
  #add(batch: ItemBatch): void {
    const last = this.#batches.at(-1);
    if (last === undefined || batch.items.length > 0) this.#batches.push(batch);
    else this.#batches[this.#batches.length - 1] = { ...last, position: batch.position };
    this.#wake?.();
  }

  /** Ends the stream. */
  cancel(): void {
    this.#end ??= 'complete';
    this.#batches.length = 0;
    this.#stream.cancel();
    this.#wake?.();
  }
}

/** Bounds the repetitions of a stream that is lost each time before it brings anything new. */
export class Repetition {
  readonly #link: Asking;
  #lostAt: number | undefined;

  constructor(link: Asking) {
    this.#link = link;
  }

  /** Notes that something new has come. */
  progress(): void {
    this.#lostAt = undefined;
  }

  /** @throws {ContextCacheError} `UNREACHABLE` if the stream has been lost without progress for too long. */
  begin(): void {
    this.#lostAt ??= this.#link.now;
    const tooLate = this.#link.lostSince(this.#lostAt);
    if (tooLate !== undefined) throw tooLate;
  }
}

/** Resolves with all items of a stream, read again from the start if the connection is lost. */
export async function collect<Item>(link: Asking, request: RequestObject): Promise<Item[]> {
  for (const repetition = new Repetition(link); ; repetition.begin()) {
    const stream = new ItemStream(link, request, 'collected');
    const collected: Item[] = [];
    for (;;) {
      const batch = await stream.take();
      if (batch === 'complete') return collected;
      if (batch === 'lost') break;
      for (const item of batch.items) collected.push(item as Item);
    }
  }
}

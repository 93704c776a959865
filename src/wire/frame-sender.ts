import { MessageWriter } from './message-codec.ts';
import { MESSAGE_BYTES } from './socket-protocol.ts';

/** Gathers the frames of a turn into messages. */
export class FrameSender {
  readonly #post: (message: Buffer) => void;
  readonly #writer = new MessageWriter();
  #isFlushing = false;

  /** `post` sends a message. */
  constructor(post: (message: Buffer) => void) {
    this.#post = post;
    this.#writer.begin();
  }

  /** Bytes that are still being gathered. */
  get length(): number {
    return this.#writer.length;
  }

  /** Sends a frame. Leaves out content that is `undefined`. */
  send(id: number, kind: number, content?: unknown): void {
    this.#frame(id, kind, content);
    this.#written();
  }

  /** Sends a frame unless it has more than `maxBytes`. Returns its size. Sends nothing of content that cannot be encoded. */
  sendWithin(maxBytes: number, id: number, kind: number, content: unknown): number {
    const start = this.#writer.length;
    try {
      this.#frame(id, kind, content);
    } catch (error) {
      this.#cut(start, false);
      throw error;
    }
    const bytes = this.#writer.length - start;
    if (bytes > maxBytes) {
      this.#cut(start, false);
      return bytes;
    }
    if (start > 0 && this.#writer.length > MESSAGE_BYTES) this.#cut(start, true);
    this.#written();
    return bytes;
  }

  /** Sends a frame of items that are encoded already, and a further value. */
  sendItems(id: number, kind: number, items: readonly Uint8Array[], last: unknown): void {
    const writer = this.#writer;
    writer.array(4);
    writer.number(id);
    writer.number(kind);
    writer.array(items.length);
    for (const item of items) writer.raw(item);
    writer.value(last);
    this.#written();
  }

  /** Posts what has been gathered. */
  flush(): void {
    this.#isFlushing = false;
    if (this.#writer.length === 0) return;
    const message = this.#writer.end();
    this.#writer.begin();
    this.#post(message);
  }

  /** Discards what has not been sent. */
  discard(): void {
    this.#writer.begin();
  }

  /** Sends what was written before an index; then what was written behind it, unless that is discarded. */
  #cut(index: number, sendsRest: boolean): void {
    const written = this.#writer.end();
    this.#writer.begin();
    if (index > 0) this.#post(written.subarray(0, index));
    if (sendsRest) this.#post(written.subarray(index));
  }

  #frame(id: number, kind: number, content: unknown): void {
    const writer = this.#writer;
    writer.array(content === undefined ? 2 : 3);
    writer.number(id);
    writer.number(kind);
    if (content !== undefined) writer.value(content);
  }

  #written(): void {
    if (this.#writer.length >= MESSAGE_BYTES) {
      this.flush();
    } else if (!this.#isFlushing) {
      this.#isFlushing = true;
      queueMicrotask(() => this.flush());
    }
  }
}

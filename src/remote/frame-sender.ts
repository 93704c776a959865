import { ContextCacheError } from '../core/errors.ts';
import { MessageWriter } from '../wire/message-codec.ts';
import { ASK, MESSAGE_BYTES } from '../wire/socket-protocol.ts';
import type { RequestObject } from './call.ts';

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

  /** Sends a request. Returns an error, and sends nothing, if it has more bytes than the server takes. */
  ask(id: number, request: RequestObject, maxBytes: number): ContextCacheError | undefined {
    const start = this.#writer.length;
    this.#frame(id, ASK, request);
    const bytes = this.#writer.length - start;
    if (bytes > maxBytes) {
      this.#cut(start, false);
      const message = `The request has ${bytes} bytes; the server takes ${maxBytes}. Split it.`;
      return new ContextCacheError('INVALID_COMMAND', message);
    }
    if (start > 0 && this.#writer.length > MESSAGE_BYTES) this.#cut(start, true);
    this.#written();
    return undefined;
  }

  /** Sends a frame without content. */
  note(id: number, kind: number): void {
    this.#frame(id, kind);
    this.#written();
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

  #frame(id: number, kind: number, content?: unknown): void {
    const writer = this.#writer;
    writer.array(content === undefined ? 2 : 3);
    writer.number(id);
    writer.number(kind);
    if (content !== undefined) writer.value(content);
  }

  #written(): void {
    if (this.#writer.length >= MESSAGE_BYTES) {
      this.#flush();
    } else if (!this.#isFlushing) {
      this.#isFlushing = true;
      queueMicrotask(() => this.#flush());
    }
  }

  #flush(): void {
    this.#isFlushing = false;
    if (this.#writer.length === 0) return;
    const message = this.#writer.end();
    this.#writer.begin();
    this.#post(message);
  }
}

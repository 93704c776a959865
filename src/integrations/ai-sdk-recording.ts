/** A stream that is read once and can be read by several readers, each from its start. */
export class Recording<Part, Rest> {
  /** What comes with the stream. */
  readonly rest: Rest;
  readonly #parts: Part[] = [];
  #end: { readonly error?: unknown } | undefined;
  #wake: (() => void)[] = [];

  /** Reads the whole stream. `onEnd` is called with all parts, or without if the stream has failed. */
  constructor(stream: ReadableStream<Part>, rest: Rest, onEnd: (parts: readonly Part[] | undefined) => void) {
    this.rest = rest;
    void this.#read(stream, onEnd);
  }

  /** Returns a recording of a stream that is over. */
  static of<Part, Rest>(parts: readonly Part[], rest: Rest, onEnd: () => void): Recording<Part, Rest> {
    const start = (controller: ReadableStreamDefaultController<Part>) => {
      for (const part of parts) controller.enqueue(part);
      controller.close();
    };
    return new Recording<Part, Rest>(new ReadableStream<Part>({ start }), rest, onEnd);
  }

  /** Returns a stream of all parts. Calls `release` when it is over, is cancelled or the signal aborts. */
  reader(signal: AbortSignal | undefined, release: () => void): ReadableStream<Part> {
    let index = 0;
    const abort = () => this.#wakeAll();
    const close = () => {
      signal?.removeEventListener('abort', abort);
      release();
    };
    signal?.addEventListener('abort', abort, { once: true });
    const pull = async (controller: ReadableStreamDefaultController<Part>) => {
      while (index >= this.#parts.length && this.#end === undefined && !signal?.aborted)
        await new Promise<void>((resolve) => this.#wake.push(resolve));
      if (!signal?.aborted && index < this.#parts.length) {
        controller.enqueue(this.#parts[index] as Part);
        index += 1;
        return;
      }
      close();
      const end = signal?.aborted ? { error: signal.reason } : this.#end;
      if (end !== undefined && 'error' in end) controller.error(end.error);
      else controller.close();
    };
    return new ReadableStream<Part>({ pull, cancel: close });
  }

  async #read(stream: ReadableStream<Part>, onEnd: (parts: readonly Part[] | undefined) => void): Promise<void> {
    try {
      for await (const part of stream) {
        this.#parts.push(part);
        this.#wakeAll();
      }
      this.#end = {};
      onEnd(this.#parts);
    } catch (error) {
      this.#end = { error };
      onEnd(undefined);
    }
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

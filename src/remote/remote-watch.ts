import { checkWatchOptions, type WatchedUpdate, type Watching, type WatchOptions, watching } from '../actors/watch.ts';
import type { Clock } from '../core/clock.ts';
import { ContextCacheError } from '../core/errors.ts';
import { createUpdate } from '../core/update.ts';
import { plainFilter } from '../core/update-filter.ts';
import type { Asking } from './asking.ts';
import type { RequestObject } from './call.ts';
import { ItemStream } from './item-stream.ts';

/**
 * Starts a watch of a served cache; see `WatchOptions`. It continues over lost connections. With `onOverflow`, a watch that
 * was too slow is reported there and starts again with a snapshot instead of failing.
 */
export function watchRemotely(
  link: Asking,
  clock: Clock,
  options: WatchOptions,
  onOverflow?: (error: ContextCacheError) => void,
): Watching {
  checkWatchOptions(options);
  const watch = new RemoteWatch(link, clock, options, onOverflow);
  const { signal } = options;
  const end = () => {
    signal?.removeEventListener('abort', end);
    watch.end();
  };
  signal?.addEventListener('abort', end, { once: true });
  if (signal?.aborted) end();
  async function* run(): AsyncGenerator<WatchedUpdate> {
    try {
      yield* watch.updates();
    } finally {
      end();
    }
  }
  return watching(run(), () => watch.position, end);
}

class RemoteWatch {
  readonly #link: Asking;
  readonly #clock: Clock;
  readonly #options: WatchOptions;
  #stream: ItemStream;
  #isEnded = false;
  /** Position that a new stream continues from; `undefined` while a snapshot is not complete. */
  #position: number | undefined;
  /** The log that the position belongs to. */
  #log: string;
  /** Namespaces whose updates were yielded, unless the filter names its namespaces. */
  readonly #seen = new Set<string>();

  readonly #onOverflow: ((error: ContextCacheError) => void) | undefined;

  constructor(
    link: Asking,
    clock: Clock,
    options: WatchOptions,
    onOverflow: ((error: ContextCacheError) => void) | undefined,
  ) {
    this.#onOverflow = onOverflow;
    this.#link = link;
    this.#clock = clock;
    this.#options = options;
    const { since, include } = options;
    // If the connection is lost before the server has said where the watch starts, it starts at what this client knew.
    this.#position = include === 'snapshot' ? undefined : (since ?? link.position);
    this.#log = link.hello.log;
    this.#stream = this.#ask({ since, snapshot: include === 'snapshot' });
  }

  /** Position up to which every matching update has been yielded. */
  get position(): number | undefined {
    return this.#position;
  }

  end(): void {
    this.#isEnded = true;
    this.#stream.cancel();
  }

  async *updates(): AsyncGenerator<WatchedUpdate> {
    let isResumed = false;
    while (!this.#isEnded) {
      try {
        if ((yield* this.#read()) === 'complete' || this.#isEnded) return;
      } catch (error) {
        if (this.#isEnded || this.#link.status === 'closed') return this.#endOfLink(error);
        if (!this.#survives(error, isResumed)) throw error;
        this.#position = undefined;
      }
      isResumed = true;
      if (this.#position === undefined) yield* this.#restart();
      else this.#stream = this.#ask({ since: this.#position, log: this.#log });
    }
  }

  /** Returns whether the watch can go on with a snapshot. */
  #survives(error: unknown, isResumed: boolean): boolean {
    if (!(error instanceof ContextCacheError)) return false;
    if (error.code === 'WATCH_OVERFLOW' && this.#onOverflow !== undefined) {
      this.#onOverflow(error);
      return true;
    }
    // Only a watch that was resumed: a position that the caller has named is the caller's.
    return isResumed && error.code === 'POSITION_UNAVAILABLE' && this.#position !== undefined;
  }

  /** A watch ends with its client; it fails if the server has refused the client. */
  #endOfLink(error: unknown): void {
    const isClosed = error instanceof ContextCacheError && error.code === 'CLOSED';
    if (!this.#isEnded && !isClosed) throw error;
  }

  /** Yields the updates of the present stream, and returns how it has ended. */
  async *#read(): AsyncGenerator<WatchedUpdate, 'complete' | 'lost'> {
    for (;;) {
      const batch = await this.#stream.take();
      if (typeof batch === 'string') return batch;
      this.#log = batch.log;
      for (const item of batch.items) {
        const update = item as unknown as WatchedUpdate;
        if (this.#options.namespace === undefined) this.#seen.add(update.namespace);
        if (!update.snapshot) this.#position = update.position;
        yield update;
      }
      if (batch.position !== undefined) this.#position = batch.position;
    }
  }

  /**
   * Starts again with a snapshot, because the log no longer holds what was missed. First clears every namespace that the
   * reader may have entries of, so that a reader who applies the updates ends with the right state.
   */
  *#restart(): Generator<WatchedUpdate> {
    const { namespace } = this.#options;
    const { position } = this.#link.hello;
    this.#stream = this.#ask({ snapshot: true });
    for (const name of namespace === undefined ? this.#seen : [namespace].flat()) {
      const clear = createUpdate({ namespace: name, version: 0, operation: 'clear_namespace', at: this.#clock.now() });
      yield { ...clear, position, snapshot: true, skipped: 0 };
    }
    this.#seen.clear();
  }

  #ask(start: { since?: number | undefined; log?: string; snapshot?: boolean }): ItemStream {
    const { bufferSize } = this.#options;
    const request = { type: 'watch', ...plainFilter(this.#options), bufferSize, ...start } as unknown as RequestObject;
    return new ItemStream(this.#link, request, 'watch');
  }
}

import type { WebSocket } from 'ws';
import { type Clock, systemClock } from '../../core/clock.ts';
import { ContextCacheError } from '../../core/errors.ts';
import type { Feed, StartFeed } from '../feeds/feed.ts';
import type { ServerMessage, Subscription } from '../live-protocol.ts';

/** From the first change to the batch that carries it, milliseconds. */
const BATCH_MS = 50;
/** Unread bytes beyond which a page gets no batches. */
const MAX_WAITING_BYTES = 1024 * 1024;
/** A page that stays too slow for this long is disconnected, milliseconds. */
const TOO_SLOW_MS = 30_000;
/** Most subscriptions of one page. */
const MAX_FEEDS = 16;

/** Close codes; `live-protocol.ts` documents them. */
const NOT_UNDERSTOOD = 1008;
const TOO_SLOW = 1013;

/** The parts of a connection. */
export interface LiveConnectionOptions {
  readonly socket: Pick<WebSocket, 'send' | 'close' | 'terminate' | 'bufferedAmount' | 'readyState' | 'OPEN'>;
  readonly clock?: Clock;
  /** Sent first. */
  readonly hello: ServerMessage;
  /** Returns the feed of a subscription. Its errors are sent to the page. */
  readonly feedOf: (subscription: Subscription) => StartFeed;
}

/** The connection of one page: its subscriptions, and their news in batches. */
export class LiveConnection {
  readonly #socket: LiveConnectionOptions['socket'];
  readonly #clock: Clock;
  readonly #feedOf: (subscription: Subscription) => StartFeed;
  readonly #feeds = new Map<string, Feed>();
  readonly #changed = new Set<string>();
  #timer: unknown;
  #slowSince: number | undefined;

  constructor({ socket, clock = systemClock, hello, feedOf }: LiveConnectionOptions) {
    this.#socket = socket;
    this.#clock = clock;
    this.#feedOf = feedOf;
    this.#send(hello);
  }

  /** Handles a message of the page. */
  receive(text: string): void {
    let message: { type?: unknown; id?: unknown };
    try {
      message = JSON.parse(text);
    } catch {
      this.#socket.close(NOT_UNDERSTOOD, 'A message must be JSON.');
      return;
    }
    const { type, id } = message ?? {};
    if (typeof id !== 'string' || id.length > 100 || (type !== 'subscribe' && type !== 'unsubscribe')) {
      this.#socket.close(NOT_UNDERSTOOD, 'A message needs a type (subscribe or unsubscribe) and an id.');
      return;
    }
    this.#end(id);
    if (type === 'subscribe') this.#subscribe(id, message as unknown as Subscription);
  }

  /** Ends all subscriptions. */
  close(): void {
    this.#clock.clearTimeout(this.#timer);
    for (const id of [...this.#feeds.keys()]) this.#end(id);
  }

  #subscribe(id: string, subscription: Subscription): void {
    try {
      if (this.#feeds.size >= MAX_FEEDS) {
        throw new ContextCacheError(
          'OVERLOADED',
          `A page may have at most ${MAX_FEEDS} subscriptions. Unsubscribe from one first.`,
        );
      }
      this.#feeds.set(
        id,
        this.#feedOf(subscription)(id, () => this.#hasChanged(id)),
      );
    } catch (error) {
      this.#fail(id, error);
    }
  }

  #end(id: string): void {
    this.#feeds.get(id)?.stop();
    this.#feeds.delete(id);
    this.#changed.delete(id);
  }

  #hasChanged(id: string): void {
    this.#changed.add(id);
    if (this.#timer === undefined) this.#wait();
  }

  #wait(): void {
    this.#timer = this.#clock.setTimeout(() => this.#flush(), BATCH_MS);
    this.#clock.unref?.(this.#timer);
  }

  #flush(): void {
    this.#timer = undefined;
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (this.#socket.bufferedAmount > MAX_WAITING_BYTES) {
      this.#isSlow();
      return;
    }
    this.#slowSince = undefined;
    const changed = [...this.#changed];
    this.#changed.clear();
    for (const id of changed) this.#collect(id);
  }

  #collect(id: string): void {
    try {
      const message = this.#feeds.get(id)?.collect();
      if (message !== undefined) this.#send(message);
    } catch (error) {
      this.#fail(id, error);
    }
  }

  #fail(id: string, error: unknown): void {
    const code = error instanceof ContextCacheError ? error.code : 'INTERNAL';
    this.#send({ type: 'error', id, code, message: error instanceof Error ? error.message : String(error) });
  }

  /** Holds batches back. Feeds go on counting, and send the newest rows once the page has caught up. */
  #isSlow(): void {
    this.#slowSince ??= this.#clock.now();
    if (this.#clock.now() - this.#slowSince < TOO_SLOW_MS) {
      this.#wait();
      return;
    }
    this.#socket.close(TOO_SLOW, 'The page reads too slowly.');
    // The closing message would wait behind everything unread.
    this.#socket.terminate();
  }

  #send(message: ServerMessage): void {
    this.#socket.send(JSON.stringify(message));
  }
}

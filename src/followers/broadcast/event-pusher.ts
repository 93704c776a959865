import { type Clock, systemClock } from '../../core/clock.ts';
import { type Bounds, within } from '../../core/deadline.ts';
import { ContextCacheError, toError } from '../../core/errors.ts';
import { optionNames } from '../../core/options.ts';
import { type NatsAddress, parseNatsAddress } from './nats-address.ts';
import { type ConnectRequest, connectNats, NATS_CONNECTION, type NatsConnectionSettings } from './nats-connect.ts';
import { type LinkOptions, NatsLink } from './nats-link.ts';
import { checkTopic } from './topics.ts';
import { headerBytes, type TopicMessage } from './wire-frames.ts';

/** Options of {@link ContextUpdateEventPusher}. */
export interface ContextUpdateEventPusherOptions {
  /** URLs of the servers: `nats://user:password@host:4222`, `tls://host`; several as an array or separated by commas. */
  readonly url: string | readonly string[];
  /** Credentials and TLS. A function is called for each connection, so that changed credentials are used. */
  readonly connection?:
    | NatsConnectionSettings
    | (() => NatsConnectionSettings | Promise<NatsConnectionSettings>)
    | undefined;
  /** Name of the connection in the lists of the server. Default `agent-context-cache`. */
  readonly name?: string | undefined;
  /** Milliseconds that connecting, or looking for streams, may take. Default 5,000; more than 0. */
  readonly connectTimeoutMs?: number | undefined;
  /** Milliseconds that the server may take to confirm one window. Default 5,000; more than 0. */
  readonly flushTimeoutMs?: number | undefined;
  /** `auto` (default): if a stream listens on a topic, wait for its acknowledgement. `false`: plain NATS. */
  readonly jetstream?: 'auto' | false | undefined;
  /** Greatest amount that is sent before it must be confirmed. Default: 4,096 messages, 4 MiB. */
  readonly window?: { readonly messages?: number; readonly bytes?: number } | undefined;
  /** Source of time. Default: the machine's clock. */
  readonly clock?: Clock | undefined;
  /**
   * Opens a connection; for tests. Default: the client of NATS.
   * @internal
   */
  readonly openLink?: OpenLink | undefined;
}

const OPTIONS = optionNames<ContextUpdateEventPusherOptions>('ContextUpdateEventPusher', {
  url: true,
  connection: NATS_CONNECTION,
  name: true,
  connectTimeoutMs: true,
  flushTimeoutMs: true,
  jetstream: true,
  window: optionNames<NonNullable<ContextUpdateEventPusherOptions['window']>>('window', {
    messages: true,
    bytes: true,
  }),
  clock: true,
  openLink: true,
});

/** The methods of a connection that the pusher uses. */
export type Link = Pick<NatsLink, 'maxPayload' | 'down' | 'route' | 'unknown' | 'learn' | 'send' | 'close'>;

/** Opens a connection, or rejects. */
export type OpenLink = (request: ConnectRequest, options: LinkOptions) => Promise<Link>;

/** Bytes of headers beside topic and id, rounded up. */
const OVERHEAD_BYTES = 64;

const openNatsLink: OpenLink = async (request, options) => NatsLink.over(await connectNats(request), options);

/**
 * Publishes messages to NATS over one connection, in order, and confirms their arrival. It never reconnects by itself: a
 * rejection closes the connection, and the caller connects again and repeats what was not confirmed (at least once). Each
 * message carries `Nats-Msg-Id: <id>:<topic>`, so a stream drops repeated messages within its `duplicate_window`. Without
 * a stream a message is confirmed when the server has accepted it.
 *
 * A message that a stream refuses in the middle of a window may be stored after later ones of that window when it is
 * repeated; its `position` gives the order.
 *
 * @example
 * ```ts
 * const pusher = new ContextUpdateEventPusher({ url: 'nats://localhost:4222' });
 * await pusher.connect();
 * await pusher.publish([{ topic: 'agents.context', payload: '{}', id: 'log-1' }]);
 * await pusher.disconnect();
 * ```
 */
export class ContextUpdateEventPusher {
  readonly #address: NatsAddress;
  readonly #options: ContextUpdateEventPusherOptions;
  readonly #clock: Clock;
  readonly #window: { readonly messages: number; readonly bytes: number };
  readonly #lostListeners = new Set<(cause: Error) => void>();
  #link: Link | undefined;
  #opening: Promise<void> | undefined;
  /** Ends an attempt to connect when `disconnect` is called. */
  #giveUp = new AbortController();
  /** Number of calls of `send` that have not settled. */
  #underWay = 0;
  /** Number of refusals by the server or a stream. */
  #refusals = 0;

  /** @throws {ContextCacheError} `INVALID_OPTION`. Does not connect. */
  constructor(options: ContextUpdateEventPusherOptions) {
    OPTIONS.check(options);
    this.#address = parseNatsAddress(options.url);
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#window = { messages: options.window?.messages ?? 4096, bytes: options.window?.bytes ?? 4 * 1024 * 1024 };
    checkPositive('window.messages', this.#window.messages);
    checkPositive('window.bytes', this.#window.bytes);
    checkPositive('connectTimeoutMs', this.#connectTimeoutMs);
    checkPositive('flushTimeoutMs', this.#flushTimeoutMs);
  }

  /** Host and port of the servers, without credentials. */
  get description(): string {
    return this.#address.shown;
  }

  /** `true` while there is a usable connection. */
  get connected(): boolean {
    return this.#link !== undefined && !this.#link.down.aborted;
  }

  /** The server's `max_payload` in bytes, headers included; `undefined` while not connected. */
  get maxPayload(): number | undefined {
    return this.#link?.maxPayload;
  }

  /**
   * Connects. Does nothing if it is connected already.
   *
   * @throws {ContextCacheError} `UNREACHABLE`, `TIMED_OUT`, `BACKEND_FAILED` (credentials refused); the signal's
   *   reason if it aborts; `CLOSED` if `disconnect` was called meanwhile.
   */
  async connect(signal?: AbortSignal): Promise<void> {
    if (this.connected) return;
    this.#opening ??= this.#open(signal).finally(() => {
      this.#opening = undefined;
    });
    await this.#opening;
  }

  /**
   * Looks for streams on the topics that it does not know yet. `publish` does so as well; call this first if you need
   * {@link payloadLimit}.
   */
  async prepare(topics: Iterable<string>, signal?: AbortSignal): Promise<void> {
    const link = this.#usableLink();
    const now = this.#clock.now();
    const unknown = link.unknown(topics, now);
    if (unknown.length === 0) return;
    const message = `NATS at ${this.description} did not name the streams of the topics in time. Check JetStream there, or set "jetstream" to false.`;
    const timedOut = () => new ContextCacheError('TIMED_OUT', message);
    await this.#guard(link, signal, async () => {
      const learnt = link.learn(unknown, now);
      await within(learnt, this.#bounds(link, this.#connectTimeoutMs, timedOut, signal));
    });
  }

  /** Returns the greatest number of bytes that the payload of message `id` may have on a topic. */
  payloadLimit(topic: string, id: string): number {
    return this.#mostBytes(topic) - headerBytes(topic, this.#idNow(id));
  }

  /** Returns `true` if a message is not too large for its topic. */
  takes({ topic, payload, id }: TopicMessage): boolean {
    // A UTF-16 unit becomes at most three bytes, so that most messages need not be measured.
    const atMost = 3 * (payload.length + topic.length + id.length) + OVERHEAD_BYTES;
    return atMost <= this.#mostBytes(topic) || Buffer.byteLength(payload) <= this.payloadLimit(topic, id);
  }

  /**
   * Publishes all messages in order. Resolves once all have arrived.
   *
   * @throws {ContextCacheError} `UNREACHABLE` (no connection, or lost), `TIMED_OUT` (some may have arrived),
   *   `BACKEND_FAILED` (no permission for a topic, or a stream refused), `INVALID_VALUE` (larger than
   *   {@link payloadLimit}; nothing was sent); the signal's reason if it aborts.
   */
  async publish(messages: readonly TopicMessage[], signal?: AbortSignal): Promise<void> {
    const topics = new Set(messages.map(({ topic }) => topic));
    for (const topic of topics) checkTopic(topic);
    await this.prepare(topics, signal);
    for (const message of messages) this.#check(message);
    for (const window of this.#windows(messages)) await this.send(window, signal);
  }

  /**
   * Publishes messages that {@link takes} accepts, on prepared topics. Iterates and writes them before it returns, and
   * resolves once all have arrived. More messages may be sent before that.
   *
   * @throws {ContextCacheError} the errors of {@link publish}.
   */
  async send(messages: Iterable<TopicMessage>, signal?: AbortSignal): Promise<void> {
    const link = this.#usableLink();
    const message = `NATS at ${this.description} did not confirm what was published within ${this.#flushTimeoutMs} ms. Whether it arrived is unknown; it is safe to send it again.`;
    const timedOut = () => new ContextCacheError('TIMED_OUT', message);
    this.#underWay += 1;
    try {
      await this.#guard(link, signal, () =>
        within(link.send(this.#named(messages)), this.#bounds(link, this.#flushTimeoutMs, timedOut, signal)),
      );
    } catch (error) {
      if (error instanceof ContextCacheError && error.code === 'BACKEND_FAILED') this.#refusals += 1;
      throw error;
    } finally {
      this.#underWay -= 1;
    }
  }

  /** Closes the connection, and ends an attempt to connect. Never rejects. Calling it twice is fine. */
  async disconnect(): Promise<void> {
    const cause = closed();
    this.#giveUp.abort(cause);
    this.#giveUp = new AbortController();
    await this.#drop(cause);
  }

  /** Calls `lost` when the connection ends while no message is being published. Returns a function that removes the listener. */
  onLost(lost: (cause: Error) => void): () => void {
    this.#lostListeners.add(lost);
    return () => this.#lostListeners.delete(lost);
  }

  /**
   * Returns the id for the next attempt. Messages after a refused one may have been stored. Repeated with their old ids,
   * the stream would drop them and so keep them before the refused one; with new ids they are stored again, in order.
   */
  #idNow(id: string): string {
    return this.#refusals === 0 ? id : `${id}~${this.#refusals}`;
  }

  get #connectTimeoutMs(): number {
    return this.#options.connectTimeoutMs ?? 5_000;
  }

  get #flushTimeoutMs(): number {
    return this.#options.flushTimeoutMs ?? 5_000;
  }

  async #open(signal: AbortSignal | undefined): Promise<void> {
    // Read before the first await, so that a disconnect() from now on ends this attempt.
    const giveUp = this.#giveUp.signal;
    await this.#drop(closed());
    const { connection = {}, name = 'agent-context-cache', jetstream = 'auto' } = this.#options;
    const settings = typeof connection === 'function' ? await connection() : connection;
    const timeoutMs = this.#connectTimeoutMs;
    const request = {
      address: this.#address,
      settings,
      name,
      timeoutMs,
      clock: this.#clock,
      signals: [signal, giveUp],
    };
    const { openLink = openNatsLink } = this.#options;
    const link = await openLink(request, { inboxPrefix: settings.inboxPrefix, jetstream, timeoutMs });
    if (giveUp.aborted) {
      await link.close(toError(giveUp.reason));
      throw giveUp.reason;
    }
    this.#link = link;
    link.down.addEventListener('abort', () => this.#lost(link), { once: true });
    if (link.down.aborted) throw link.down.reason;
  }

  async #drop(cause: Error): Promise<void> {
    const link = this.#link;
    this.#link = undefined;
    await link?.close(cause);
  }

  #lost(link: Link): void {
    if (link !== this.#link || this.#underWay > 0) return;
    const cause = toError(link.down.reason);
    for (const lost of [...this.#lostListeners]) lost(cause);
  }

  /** Closes the connection after any failure: messages that it still holds must not go out later. */
  async #guard(link: Link, signal: AbortSignal | undefined, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (reason) {
      // The error of a link that is down says more than that of the failed call.
      const error = toError(link.down.aborted ? link.down.reason : reason);
      if (link === this.#link) await this.disconnect();
      if (error instanceof ContextCacheError || signal?.aborted === true) throw error;
      const message = `NATS at ${this.description} failed (${error.name}). The connection is made again.`;
      throw new ContextCacheError('UNREACHABLE', message, { cause: error });
    }
  }

  #usableLink(): Link {
    if (this.#link === undefined) {
      throw new ContextCacheError('UNREACHABLE', 'There is no connection to NATS. Call connect() first.');
    }
    return this.#link;
  }

  #bounds(link: Link, timeoutMs: number, timedOut: () => Error, signal: AbortSignal | undefined): Bounds {
    return { clock: this.#clock, timeoutMs, timedOut, signals: [link.down, signal] };
  }

  /** Returns the greatest number of bytes of headers and payload on a topic. */
  #mostBytes(topic: string): number {
    const link = this.#usableLink();
    return link.route(topic)?.maxBytes ?? link.maxPayload;
  }

  /** Returns the messages with their present ids. */
  #named(messages: Iterable<TopicMessage>): Iterable<TopicMessage> {
    return this.#refusals === 0 ? messages : withIds(messages, (id) => this.#idNow(id));
  }

  /** Splits the messages so that the client never buffers more than one window. */
  *#windows(messages: readonly TopicMessage[]): Iterable<TopicMessage[]> {
    let window: TopicMessage[] = [];
    let bytes = 0;
    for (const message of messages) {
      const size = Buffer.byteLength(message.payload);
      if (window.length > 0 && (window.length === this.#window.messages || bytes + size > this.#window.bytes)) {
        yield window;
        window = [];
        bytes = 0;
      }
      window.push(message);
      bytes += size;
    }
    if (window.length > 0) yield window;
  }

  #check(message: TopicMessage): void {
    const { topic, payload, id } = message;
    if (/[\r\n]/.test(id)) throw new ContextCacheError('INVALID_VALUE', 'The id of a message has a line break.');
    if (this.takes(message)) return;
    const sizes = `${Buffer.byteLength(payload)} bytes; the topic ${JSON.stringify(topic)} takes ${this.payloadLimit(topic, id)}`;
    const text = `A message has ${sizes}. Raise max_payload at the server, or send less.`;
    throw new ContextCacheError('INVALID_VALUE', text);
  }
}

function* withIds(messages: Iterable<TopicMessage>, idNow: (id: string) => string): Iterable<TopicMessage> {
  for (const message of messages) yield { ...message, id: idNow(message.id) };
}

function closed(): ContextCacheError {
  return new ContextCacheError('CLOSED', 'The connection to NATS was closed. Connect again.');
}

function checkPositive(option: string, value: number): void {
  if (Number.isFinite(value) && value > 0) return;
  throw new ContextCacheError('INVALID_OPTION', `"${option}" must be a number greater than 0, not ${value}.`);
}

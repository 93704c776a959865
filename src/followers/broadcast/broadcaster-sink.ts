import { ContextCacheError } from '../../core/errors.ts';
import type { Update } from '../../core/update.ts';
import type { ConnectOutcome, FollowerSink } from '../../storage/follower-sink.ts';
import { ContextBufferQueue } from './buffer-queue.ts';
import type { ContextUpdateEventPusher } from './event-pusher.ts';
import type { ContextUpdateProcessor, EncodedMessage } from './public-message.ts';
import type { TopicsListConfig } from './topics.ts';
import type { TopicMessage } from './wire-frames.ts';

/** Options of {@link BroadcasterSink}. */
export interface BroadcasterSinkOptions {
  readonly topics: TopicsListConfig;
  readonly processor: ContextUpdateProcessor;
  readonly pusher: ContextUpdateEventPusher;
  /** Called with failures that do not stop the broadcast: an update that could not be announced at all. */
  readonly onError?: ((error: Error) => void) | undefined;
  /** Greatest number of updates in one `deliver`. Default 4,096; an integer from 1. */
  readonly batchSize?: number | undefined;
}

/** Updates that are confirmed together. */
interface Chunk {
  /** Number of updates of the batch that are in this chunk or before it. */
  end: number;
  messages: number;
  /** Estimated bytes of the payloads: a UTF-16 unit counts as one. */
  bytes: number;
  /** Positions of updates that were announced without their value. */
  readonly omitted: Set<number>;
  /** Positions of updates that could not be announced. */
  readonly undeliverable: Set<number>;
  readonly lastOf: Map<string, number>;
}

/** A chunk that has been sent. */
interface Sent {
  readonly chunk: Chunk;
  readonly confirmed: Promise<void>;
}

type ForTopic = EncodedMessage & TopicMessage;

/** Size at which a chunk ends, behind a whole update: a `clear` may have 4,096 messages for each topic. Up to three more are sent before the server has confirmed it. */
const CHUNK_MESSAGES = 512;
const CHUNK_BYTES = 1024 * 1024;

/**
 * Follows the log and publishes each update to the topics of the list, in order and at least once: a batch that fails is
 * published again as a whole. Without topics there is no connection, and every batch counts as delivered. A topic gets
 * the updates that follow after it was added.
 *
 * @example
 * ```ts
 * const sink = new BroadcasterSink({ topics, processor: new ContextUpdateProcessor({ log: log.id }), pusher });
 * await sink.connect(0, signal);
 * await sink.deliver(updates, updates.at(-1)?.position ?? 0, signal);
 * ```
 */
export class BroadcasterSink implements FollowerSink {
  readonly batchSize: number;
  readonly #topics: TopicsListConfig;
  readonly #processor: ContextUpdateProcessor;
  readonly #pusher: ContextUpdateEventPusher;
  readonly #onError: (error: Error) => void;
  readonly #lastPublished = new Map<string, number>();
  #published = 0;
  #valuesOmitted = 0;
  #undeliverable = 0;
  /** Up to here updates are counted: those that come again are not counted again. */
  #countedTo = 0;
  #delivering = false;
  #stopListening: (() => void) | undefined;

  constructor(options: BroadcasterSinkOptions) {
    this.batchSize = options.batchSize ?? 4096;
    if (!Number.isInteger(this.batchSize) || this.batchSize < 1) {
      throw new ContextCacheError('INVALID_OPTION', `"batchSize" must be an integer from 1, not ${this.batchSize}.`);
    }
    this.#topics = options.topics;
    this.#processor = options.processor;
    this.#pusher = options.pusher;
    this.#onError = options.onError ?? (() => {});
  }

  /** Host and port of the NATS servers, without credentials. */
  get description(): string {
    return this.#pusher.description;
  }

  /** Number of confirmed messages: one for each topic of an update, repeated ones included. */
  get published(): number {
    return this.#published;
  }

  /** Number of updates that were announced without their value on at least one topic, because it was too large. */
  get valuesOmitted(): number {
    return this.#valuesOmitted;
  }

  /** Number of updates that were too large for a topic even without their value. `onError` got each. */
  get undeliverable(): number {
    return this.#undeliverable;
  }

  /** Position of the last update that was published to each topic. */
  get lastPublished(): ReadonlyMap<string, number> {
    return this.#lastPublished;
  }

  /** Connects if there are topics. */
  async connect(_checkpoint: number, signal: AbortSignal): Promise<ConnectOutcome> {
    this.#stopListening ??= this.#topics.onChange(() => this.#leaveIfUnneeded());
    if (this.#topics.size > 0) await this.#ready(signal);
    return 'resume';
  }

  /** Publishes a batch. Resolves once every message is confirmed. Connects first if topics were added after `connect`. */
  async deliver(updates: readonly Update[], _through: number, signal: AbortSignal): Promise<void> {
    this.#delivering = true;
    try {
      if (this.#topics.size > 0) await this.#publishAll(updates, signal);
    } finally {
      this.#delivering = false;
    }
    this.#leaveIfUnneeded();
  }

  /** Closes the connection; never rejects. */
  async disconnect(): Promise<void> {
    this.#stopListening?.();
    this.#stopListening = undefined;
    await this.#pusher.disconnect();
  }

  /** Calls `lost` when the connection breaks while no batch is being delivered. */
  onLost(lost: (cause: Error) => void): void {
    this.#pusher.onLost(lost);
  }

  async #ready(signal: AbortSignal): Promise<void> {
    await this.#pusher.connect(signal);
    await this.#pusher.prepare(this.#topics.list(), signal);
  }

  #leaveIfUnneeded(): void {
    if (this.#topics.size === 0 && !this.#delivering) void this.#pusher.disconnect();
  }

  async #publishAll(updates: readonly Update[], signal: AbortSignal): Promise<void> {
    await this.#ready(signal);
    const queue = new ContextBufferQueue<Sent>({ deliver: (sent) => this.#finish(sent) });
    try {
      for (let sent = this.#send(updates, 0, signal); ; sent = this.#send(updates, sent.chunk.end, signal)) {
        await queue.push(sent);
        if (sent.chunk.end === updates.length) break;
      }
    } catch (error) {
      // An earlier chunk that failed is the cause.
      await queue.onIdle();
      throw error;
    }
    await queue.onIdle();
  }

  #send(updates: readonly Update[], start: number, signal: AbortSignal): Sent {
    const chunk = emptyChunk(start);
    const confirmed = this.#pusher.send(this.#messages(updates, chunk), signal);
    // It is not awaited if an earlier chunk fails.
    confirmed.catch(() => {});
    return { chunk, confirmed };
  }

  async #finish({ chunk, confirmed }: Sent): Promise<void> {
    await confirmed;
    this.#published += chunk.messages;
    for (const [topic, position] of chunk.lastOf) this.#lastPublished.set(topic, position);
    const isNew = (position: number) => position > this.#countedTo;
    const undeliverable = [...chunk.undeliverable].filter(isNew);
    this.#valuesOmitted += [...chunk.omitted].filter(isNew).length;
    this.#undeliverable += undeliverable.length;
    this.#countedTo = Math.max(this.#countedTo, ...chunk.lastOf.values(), ...chunk.undeliverable);
    for (const position of undeliverable) this.#reportUndeliverable(position);
  }

  #reportUndeliverable(position: number): void {
    const message = `The update at position ${position} is too large for a topic even without its value and was not announced there. Raise max_payload at the NATS server at ${this.#pusher.description}.`;
    this.#onError(new ContextCacheError('BACKEND_FAILED', message));
  }

  /** Yields the messages of a chunk. Each is made when it is sent, so that none stays in memory. */
  *#messages(updates: readonly Update[], chunk: Chunk): Iterable<TopicMessage> {
    while (chunk.messages < CHUNK_MESSAGES && chunk.bytes < CHUNK_BYTES) {
      const update = updates[chunk.end];
      if (update === undefined) return;
      chunk.end += 1;
      const topics = this.#topics.at(update.position);
      if (topics.length === 0) continue;
      for (const key of update.keys ?? [update.key]) yield* this.#messagesOf(update, key, topics, chunk);
    }
  }

  *#messagesOf(update: Update, key: string | null, topics: readonly string[], chunk: Chunk): Iterable<TopicMessage> {
    const whole = this.#processor.process(update, key);
    if (whole === undefined) return;
    for (const topic of topics) {
      const message = this.#fitting(topic, update, key, whole);
      note(chunk, update.position, topic, message);
      if (message !== undefined) yield message;
    }
  }

  /** Returns the message, without its value if that is too large for the topic; `undefined` if it is still too large. */
  #fitting(
    topic: string,
    update: Update,
    key: string | null,
    { id, payload, valueOmitted }: EncodedMessage,
  ): ForTopic | undefined {
    const whole = { topic, id, payload, valueOmitted };
    if (this.#pusher.takes(whole)) return whole;
    const small = { topic, ...(this.#processor.withoutValue(update, key) ?? whole) };
    return this.#pusher.takes(small) ? small : undefined;
  }
}

function emptyChunk(end: number): Chunk {
  return { end, messages: 0, bytes: 0, omitted: new Set(), undeliverable: new Set(), lastOf: new Map() };
}

function note(chunk: Chunk, position: number, topic: string, message: ForTopic | undefined): void {
  if (message === undefined) {
    chunk.undeliverable.add(position);
    return;
  }
  if (message.valueOmitted) chunk.omitted.add(position);
  chunk.messages += 1;
  chunk.bytes += message.payload.length;
  chunk.lastOf.set(topic, position);
}

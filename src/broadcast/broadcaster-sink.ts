import { ContextCacheError } from '../core/errors.ts';
import type { Update } from '../core/update.ts';
import type { ConnectOutcome, FollowerSink } from '../log/follower-sink.ts';
import { ContextBufferQueue } from './buffer-queue.ts';
import type { ContextUpdateEventPusher } from './event-pusher.ts';
import type { TopicMessage } from './nats-link.ts';
import type { ContextUpdateProcessor, EncodedMessage } from './public-message.ts';
import type { TopicsListConfig } from './topics.ts';

/** The parts a {@link BroadcasterSink} ties together. */
export interface BroadcasterSinkOptions {
  readonly topics: TopicsListConfig;
  readonly processor: ContextUpdateProcessor;
  readonly pusher: ContextUpdateEventPusher;
  /** Gets what does not stop the broadcast: an update that could not be announced at all. */
  readonly onError?: ((error: Error) => void) | undefined;
  /** At most this many updates in one `deliver`. Default 1024. */
  readonly batchSize?: number | undefined;
}

/** What is published, and confirmed, at a time. */
interface Chunk {
  readonly messages: TopicMessage[];
  bytes: number;
  /** Positions of updates announced without their value, and of those that could not be announced. */
  readonly omitted: number[];
  readonly undeliverable: number[];
  readonly lastOf: Map<string, number>;
}

/** A chunk ends once it has this much; the next one is made while the server confirms this one. */
const CHUNK_MESSAGES = 512;
const CHUNK_BYTES = 1024 * 1024;

/**
 * Follows the log and publishes each update to the topics of the list. A batch is published whole or fails whole, and
 * then comes again (at least once, in order). Without topics there is no connection and everything is delivered at
 * once; a topic that is added gets what comes after.
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
    this.batchSize = options.batchSize ?? 1024;
    if (!Number.isInteger(this.batchSize) || this.batchSize < 1) {
      throw new ContextCacheError('INVALID_OPTION', `"batchSize" must be an integer from 1, not ${this.batchSize}.`);
    }
    this.#topics = options.topics;
    this.#processor = options.processor;
    this.#pusher = options.pusher;
    this.#onError = options.onError ?? (() => {});
  }

  /** Messages published and confirmed: one for each topic of an update, those that came again included. */
  get published(): number {
    return this.#published;
  }

  /** Updates announced without their value on at least one topic, as it was too large. */
  get valuesOmitted(): number {
    return this.#valuesOmitted;
  }

  /** Updates too large for at least one topic even without their value; `onError` was told of each. */
  get undeliverable(): number {
    return this.#undeliverable;
  }

  /** For each topic, the position of the last update published to it. */
  get lastPublished(): ReadonlyMap<string, number> {
    return this.#lastPublished;
  }

  /** Connects where there are topics. */
  async connect(_checkpoint: number, signal: AbortSignal): Promise<ConnectOutcome> {
    this.#stopListening ??= this.#topics.onChange(() => this.#leaveIfUnneeded());
    if (this.#topics.size > 0) await this.#ready(signal);
    return 'resume';
  }

  /** Publishes; resolves once every message is confirmed. Connects first where the topics came after `connect`. */
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

  /** Calls `lost` when the connection breaks while nothing is being delivered. */
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
    const queue = new ContextBufferQueue<Chunk>({ deliver: (chunk) => this.#publish(chunk, signal) });
    try {
      for (const chunk of this.#chunks(updates)) await queue.push(chunk);
    } catch (error) {
      // Where a chunk failed before, that is the cause.
      await queue.onIdle();
      throw error;
    }
    await queue.onIdle();
  }

  async #publish(chunk: Chunk, signal: AbortSignal): Promise<void> {
    await this.#pusher.publish(chunk.messages, signal);
    this.#published += chunk.messages.length;
    for (const [topic, position] of chunk.lastOf) this.#lastPublished.set(topic, position);
    const isNew = (position: number) => position > this.#countedTo;
    const undeliverable = chunk.undeliverable.filter(isNew);
    this.#valuesOmitted += chunk.omitted.filter(isNew).length;
    this.#undeliverable += undeliverable.length;
    this.#countedTo = Math.max(this.#countedTo, ...chunk.lastOf.values(), ...chunk.undeliverable);
    for (const position of undeliverable) this.#tellUndeliverable(position);
  }

  #tellUndeliverable(position: number): void {
    const message = `The update at position ${position} is too large for a topic even without its value and was not announced there. Raise max_payload at the NATS server at ${this.#pusher.description}.`;
    this.#onError(new ContextCacheError('BACKEND_FAILED', message));
  }

  *#chunks(updates: readonly Update[]): Iterable<Chunk> {
    let chunk = emptyChunk();
    for (const update of updates) {
      this.#announce(update, chunk);
      if (chunk.messages.length < CHUNK_MESSAGES && chunk.bytes < CHUNK_BYTES) continue;
      yield chunk;
      chunk = emptyChunk();
    }
    if (chunk.messages.length > 0 || chunk.undeliverable.length > 0) yield chunk;
  }

  #announce(update: Update, chunk: Chunk): void {
    const topics = this.#topics.at(update.position);
    const whole = topics.length === 0 ? undefined : this.#processor.process(update);
    if (whole === undefined) return;
    let small: EncodedMessage | undefined;
    let omitted = whole.valueOmitted;
    let undeliverable = false;
    for (const topic of topics) {
      const room = this.#pusher.payloadLimit(topic, whole.id);
      let message = whole;
      if (message.payload.length > room) message = small ??= this.#processor.withoutValue(update) ?? whole;
      if (message.payload.length > room) {
        undeliverable = true;
        continue;
      }
      omitted ||= message.valueOmitted;
      chunk.messages.push({ topic, payload: message.payload, id: message.id });
      chunk.bytes += message.payload.length;
      chunk.lastOf.set(topic, update.position);
    }
    if (omitted) chunk.omitted.push(update.position);
    if (undeliverable) chunk.undeliverable.push(update.position);
  }
}

function emptyChunk(): Chunk {
  return { messages: [], bytes: 0, omitted: [], undeliverable: [], lastOf: new Map() };
}

import { isUtf8 } from 'node:buffer';
import type { Consumer, JetStreamApiError, JsMsg } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { within } from '../core/deadline.ts';
import { ContextCacheError, toError } from '../core/errors.ts';
import { optionNames } from '../core/options.ts';
import { ParsedValueDoor } from '../core/parsed-value.ts';
import { parseNatsAddress } from '../followers/broadcast/nats-address.ts';
import { connectNats, NATS_CONNECTION } from '../followers/broadcast/nats-connect.ts';
import type { Candidate, CandidateBatch } from './candidate.ts';
import { readMessage } from './public-record.ts';
import type { RawRecord } from './record.ts';
import type { RecordSource, SourceSettings, StreamSource } from './source.ts';
import { unreadable, unusable } from './text-reader.ts';

/** Number of messages fetched at a time. */
const FETCH = 256;
const DEFAULT_TIMEOUT_MS = 10_000;
/** The client accepts no less. */
const LEAST_EXPIRES_MS = 1_000;
const NO_STREAM = 10_059;

const SOURCE = optionNames<StreamSource>('The stream source of replay', {
  natsUrl: true,
  stream: true,
  subject: true,
  connection: NATS_CONNECTION,
  timeoutMs: true,
});

/**
 * Connects and looks up the stream. Its messages are read on demand.
 *
 * @throws {ContextCacheError} `UNREACHABLE`, `TIMED_OUT`, `BACKEND_FAILED`, `NOT_FOUND` if the stream does not exist,
 *   `INVALID_OPTION`.
 */
export async function openStreamSource(source: StreamSource, settings: SourceSettings): Promise<RecordSource> {
  SOURCE.check(source);
  const timeoutMs = source.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  if (typeof source.stream !== 'string' || source.stream === '' || !(timeoutMs > 0)) {
    throw new ContextCacheError('INVALID_OPTION', 'A stream source needs a stream, and a timeoutMs above 0.');
  }
  const connection = await connectNats({
    address: parseNatsAddress(source.natsUrl),
    settings: source.connection ?? {},
    name: 'agent-context-cache replay',
    timeoutMs,
    clock: settings.clock,
    signals: [settings.signal],
  });
  const reader = new StreamReader(connection, source, timeoutMs, settings);
  try {
    await reader.open();
    return reader;
  } catch (error) {
    await reader[Symbol.asyncDispose]();
    throw error;
  }
}

class StreamReader implements RecordSource {
  /** A topic delivers at least once, and a stream may listen to several topics. */
  readonly repeats = true;
  readonly #connection: NatsConnection;
  readonly #source: StreamSource;
  readonly #timeoutMs: number;
  readonly #settings: SourceSettings;
  readonly #door: ParsedValueDoor;
  #consumer: Consumer | undefined;
  /** Sequence number of the last message at the time of the call. */
  #last = 0;
  /** Number of messages still to come, including those that have arrived since the call. */
  #pending = 0;

  constructor(connection: NatsConnection, source: StreamSource, timeoutMs: number, settings: SourceSettings) {
    this.#connection = connection;
    this.#source = source;
    this.#timeoutMs = timeoutMs;
    this.#settings = settings;
    this.#door = new ParsedValueDoor(settings.limits);
  }

  async open(): Promise<void> {
    const { jetstream, jetstreamManager } = await import('@nats-io/jetstream');
    const { stream, subject } = this.#source;
    const timeout = this.#timeoutMs;
    await this.#ask(async () => {
      const manager = await jetstreamManager(this.#connection, { checkAPI: false, timeout });
      this.#last = (await manager.streams.info(stream)).state.last_seq;
      // As text, because the form for several subjects requires server 2.10.
      const filter = subject === undefined ? {} : { filter_subjects: subject };
      this.#consumer = await jetstream(this.#connection, { timeout }).consumers.get(stream, filter);
      this.#pending = (await this.#consumer.info()).num_pending;
    });
  }

  async *batches(): AsyncGenerator<CandidateBatch> {
    let reached = 0;
    while (this.#pending > 0 && reached < this.#last) {
      const messages = await this.#ask(() => this.#fetch());
      if (messages.length === 0) throw this.#silent();
      const candidates = messages.filter(({ seq }) => seq <= this.#last).map((message) => this.#read(message));
      const end = messages.at(-1);
      reached = end?.seq ?? reached;
      this.#pending = end?.info.pending ?? 0;
      yield { candidates, fraction: Math.min(1, reached / this.#last) };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close();
  }

  /** Fetches no more messages than there are, so that the server does not wait for others. */
  async #fetch(): Promise<JsMsg[]> {
    const expires = Math.max(LEAST_EXPIRES_MS, this.#timeoutMs);
    const messages: JsMsg[] = [];
    const fetched = await this.#consumer?.fetch({ max_messages: Math.min(FETCH, this.#pending), expires });
    for await (const message of fetched ?? []) messages.push(message);
    return messages;
  }

  #read({ seq, data, info }: JsMsg): Candidate {
    if (!isUtf8(data)) return unusable('unreadable', seq, undefined, 'It is not UTF-8.');
    const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8');
    let message: RawRecord;
    try {
      message = JSON.parse(text) as RawRecord;
    } catch {
      return unusable('unreadable', seq, undefined, 'It is not valid JSON; does the stream hold other messages, too?');
    }
    try {
      return readMessage(message, this.#door, { line: seq, at: Math.floor(info.timestampNanos / 1e6) });
    } catch (error) {
      return unreadable(seq, message?.position, error);
    }
  }

  /** The client's own time-outs fire first; this one covers a server that hangs. */
  async #ask<Result>(work: () => Promise<Result>): Promise<Result> {
    const { clock, signal } = this.#settings;
    const timeoutMs = 3 * Math.max(LEAST_EXPIRES_MS, this.#timeoutMs);
    try {
      return await within(work(), { clock, timeoutMs, timedOut: () => this.#silent(), signals: [signal] });
    } catch (thrown) {
      if (thrown instanceof ContextCacheError || signal?.aborted) throw thrown;
      throw this.#explain(toError(thrown));
    }
  }

  #silent(): ContextCacheError {
    const { shown } = parseNatsAddress(this.#source.natsUrl);
    const message = `NATS at ${shown} did not deliver the messages of stream ${this.#source.stream} in time. Try again.`;
    return new ContextCacheError('TIMED_OUT', message);
  }

  #explain(cause: Error): ContextCacheError {
    const { shown } = parseNatsAddress(this.#source.natsUrl);
    const { stream } = this.#source;
    if ((cause as Partial<JetStreamApiError>).code === NO_STREAM) {
      const message = `NATS at ${shown} has no stream ${stream}. Name the stream that listens to the topic.`;
      return new ContextCacheError('NOT_FOUND', message, { cause });
    }
    const message = `The stream ${stream} cannot be read from NATS at ${shown}: ${cause.message}.`;
    return new ContextCacheError(this.#connection.isClosed() ? 'UNREACHABLE' : 'BACKEND_FAILED', message, { cause });
  }
}

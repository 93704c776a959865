import { DiscardPolicy, type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { type RawSubscription, subscribeRaw } from '../../support/nats-wire.ts';
import { TopicReader } from './topic-reader.ts';

/** Login of the subscribers. No test changes its password. */
export const READER = { user: 'reader', pass: 'reads' } as const;

/** One topic and its subscriber. */
export interface Topic {
  readonly reader: TopicReader;
  /** Takes the messages received so far. Resolves once the server has none left. */
  collect(): Promise<void>;
  /** Reconnects after the server was away. */
  again(): Promise<void>;
  close(): Promise<void>;
}

/** A topic that is plain NATS. */
export class CoreTopic implements Topic {
  readonly reader = new TopicReader();
  readonly #url: string;
  readonly #subject: string;
  #raw: RawSubscription | undefined;

  static async on(url: string, subject: string): Promise<CoreTopic> {
    const topic = new CoreTopic(url, subject);
    await topic.again();
    return topic;
  }

  private constructor(url: string, subject: string) {
    this.#url = url.replace('//', `//${READER.user}:${READER.pass}@`);
    this.#subject = subject;
  }

  async collect(): Promise<void> {
    await this.#raw?.flush();
    this.#take();
  }

  async again(): Promise<void> {
    this.#take();
    this.#raw?.close();
    this.#raw = await subscribeRaw(this.#url, [this.#subject]);
  }

  async close(): Promise<void> {
    this.#raw?.close();
  }

  #take(): void {
    for (const { payload } of this.#raw?.messages.splice(0) ?? []) this.reader.take(payload);
  }
}

/** A topic with a JetStream stream. The subscriber reads the stored messages. */
export class StreamTopic implements Topic {
  readonly reader = new TopicReader();
  readonly #url: string;
  readonly #subject: string;
  readonly #name: string;
  #connection: NatsConnection | undefined;
  #read = 0;

  static async on(url: string, subject: string): Promise<StreamTopic> {
    const topic = new StreamTopic(url, subject);
    await topic.again();
    return topic;
  }

  private constructor(url: string, subject: string) {
    this.#url = url;
    this.#subject = subject;
    this.#name = subject.replaceAll('.', '-');
  }

  async collect(): Promise<void> {
    const last = (await (await this.#manager()).streams.info(this.#name)).state.last_seq;
    if (this.#read >= last) return;
    const consumers = jetstream(this.#connection as NatsConnection).consumers;
    const consumer = await consumers.get(this.#name, { opt_start_seq: this.#read + 1 });
    while (this.#read < last) {
      for await (const message of await consumer.fetch({ max_messages: 1_000, expires: 1_000 })) {
        this.reader.take(message.string());
        this.#read = message.seq;
        if (this.#read >= last) break;
      }
    }
  }

  async again(): Promise<void> {
    await this.#connection?.close();
    this.#connection = await connect({
      servers: this.#url,
      ...READER,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 20,
    });
    const { streams } = await this.#manager();
    try {
      // Messages that a killed server had not stored are gone, and their sequence numbers are used again.
      this.#read = Math.min(this.#read, (await streams.info(this.#name)).state.last_seq);
    } catch {
      this.#read = 0;
      await streams.add({ name: this.#name, subjects: [this.#subject] });
    }
  }

  /** Limits how many more messages the stream takes; it refuses the others. `undefined`: no limit. */
  async limit(more: number | undefined): Promise<void> {
    const { streams } = await this.#manager();
    const { messages } = (await streams.info(this.#name)).state;
    const max_msgs = more === undefined ? -1 : messages + more;
    await streams.update(this.#name, { max_msgs, discard: DiscardPolicy.New });
  }

  async close(): Promise<void> {
    await this.#connection?.close();
  }

  #manager(): Promise<JetStreamManager> {
    return jetstreamManager(this.#connection as NatsConnection);
  }
}

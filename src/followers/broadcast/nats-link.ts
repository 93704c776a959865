import type { NatsConnection, NatsConnectionImpl } from '@nats-io/transport-node';
import { ContextCacheError } from '../../core/errors.ts';
import { Acknowledgements } from './acknowledgements.ts';
import {
  type FindRoute,
  isPermissionViolation,
  maxPayloadOf,
  plainRoutes,
  streamRoutes,
  type TopicRoute,
} from './topic-route.ts';
import { type TopicMessage, WireFrames } from './wire-frames.ts';

/** How a link is made out of a connection. */
export interface LinkOptions {
  /** What the subjects of answers begin with. */
  readonly inboxPrefix: string | undefined;
  /** Whether streams are asked for. */
  readonly jetstream: 'auto' | false;
  readonly timeoutMs: number;
}

interface KnownRoute extends TopicRoute {
  readonly askedAt: number;
}

/** A stream made while the connection stands is noticed after this time. */
const ROUTE_AGE_MS = 60_000;

/**
 * One connection, from opening to its end: what is known of its topics, and what went wrong with it. Nothing is ever
 * mended in it; a link that is down is replaced.
 */
export class NatsLink {
  readonly #connection: NatsConnection;
  readonly #frames: WireFrames;
  readonly #makeInbox: () => string;
  readonly #findRoute: FindRoute;
  readonly #routes = new Map<string, KnownRoute>();
  readonly #down = new AbortController();
  #acknowledgements: Acknowledgements | undefined;

  private constructor(connection: NatsConnection, makeInbox: () => string, findRoute: FindRoute) {
    this.#connection = connection;
    this.#frames = new WireFrames(writerTo(connection));
    this.#makeInbox = makeInbox;
    this.#findRoute = findRoute;
  }

  /** @throws {ContextCacheError} `BACKEND_FAILED` where the server is so old that it takes no headers. */
  static async over(connection: NatsConnection, options: LinkOptions): Promise<NatsLink> {
    if (connection.info?.headers !== true) {
      await connection.close();
      throw new ContextCacheError('BACKEND_FAILED', 'The NATS server takes no headers. Use nats-server 2.2 or later.');
    }
    const { createInbox } = await import('@nats-io/transport-node');
    const { jetstream, timeoutMs, inboxPrefix } = options;
    const findRoute = jetstream === 'auto' ? await streamRoutes(connection, timeoutMs) : plainRoutes(connection);
    const link = new NatsLink(connection, () => createInbox(inboxPrefix), findRoute);
    void link.#watchEnd();
    void link.#watchStatus();
    return link;
  }

  /** The server's `max_payload`, bytes. */
  get maxPayload(): number {
    return maxPayloadOf(this.#connection);
  }

  /** Aborted, with the cause, once the connection cannot be used any longer. */
  get down(): AbortSignal {
    return this.#down.signal;
  }

  /** The route of a topic that {@link learn} has looked at. */
  route(topic: string): TopicRoute | undefined {
    return this.#routes.get(topic);
  }

  /** Those of the topics whose route is not known, or was asked for too long ago. */
  unknown(topics: Iterable<string>, now: number): string[] {
    return [...topics].filter((topic) => {
      const route = this.#routes.get(topic);
      return route === undefined || now - route.askedAt >= ROUTE_AGE_MS;
    });
  }

  /** Asks for the routes of these topics. */
  async learn(topics: readonly string[], now: number): Promise<void> {
    await Promise.all(
      topics.map(async (topic) => this.#routes.set(topic, { ...(await this.#findRoute(topic)), askedAt: now })),
    );
  }

  /**
   * Sends the messages in order, at once; resolves once the server has handled all and the streams have stored theirs.
   * The next ones may be sent before that.
   */
  async send(messages: Iterable<TopicMessage>): Promise<void> {
    for (const message of messages) this.#frames.add(message, this.#replyTo(message.topic));
    this.#frames.flush();
    await Promise.all([this.#connection.flush(), this.#acknowledgements?.settled()]);
    // What the server refused came before its answer to the flush, but is told by way of an iterator: let it run.
    await new Promise((resolve) => setImmediate(resolve));
    this.down.throwIfAborted();
  }

  /** Ends the link; never rejects. */
  async close(cause: Error): Promise<void> {
    this.#fail(cause);
    try {
      await this.#connection.close();
    } catch {
      // The connection was ending by itself.
    }
  }

  /** Where the stream on the topic, if there is one, is to acknowledge a message. */
  #replyTo(topic: string): string | undefined {
    if (this.#routes.get(topic)?.acknowledged !== true) return undefined;
    this.#acknowledgements ??= new Acknowledgements(this.#connection, this.#makeInbox());
    return this.#acknowledgements.expect(topic);
  }

  #fail(cause: Error): void {
    if (!this.down.aborted) this.#down.abort(cause);
  }

  async #watchEnd(): Promise<void> {
    const cause = await this.#connection.closed();
    const message = 'The connection to NATS was lost. It is made again; the server may tell the reason.';
    this.#fail(new ContextCacheError('UNREACHABLE', message, cause instanceof Error ? { cause } : undefined));
  }

  /** A refused publish is told nowhere else. The iterator ends with the connection. */
  async #watchStatus(): Promise<void> {
    for await (const status of this.#connection.status()) {
      if (status.type !== 'error' || !isPermissionViolation(status.error)) continue;
      const { operation, subject } = status.error;
      if (operation !== 'publish' || !this.#routes.has(subject)) continue;
      const message = `NATS does not let this user publish to the topic ${JSON.stringify(subject)}. Allow it in the server's permissions, or remove the topic.`;
      this.#fail(new ContextCacheError('BACKEND_FAILED', message, { cause: status.error }));
    }
  }
}

/**
 * Writes bytes of the protocol in order with what the client itself sends. Only its own `publish` is passed by, which
 * makes each message by itself.
 */
function writerTo(connection: NatsConnection): (bytes: Uint8Array) => void {
  const { protocol } = connection as NatsConnectionImpl;
  return (bytes) => protocol.sendCommand(bytes);
}

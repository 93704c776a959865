import type { NatsConnection, NatsConnectionImpl } from '@nats-io/transport-node';
import { ContextCacheError } from '../../core/errors.ts';
import { Acknowledgements } from './acknowledgements.ts';
import {
  type FindRoute,
  maxPayloadOf,
  permissionViolation,
  plainRoutes,
  streamRoutes,
  type TopicRoute,
} from './topic-route.ts';
import { type TopicMessage, WireFrames } from './wire-frames.ts';

/** Options of {@link NatsLink.over}. */
export interface LinkOptions {
  /** Beginning of the subjects of answers. */
  readonly inboxPrefix: string | undefined;
  /** `auto`: look for streams; `false`: every topic is plain NATS. */
  readonly jetstream: 'auto' | false;
  readonly timeoutMs: number;
}

interface KnownRoute extends TopicRoute {
  readonly askedAt: number;
}

/** Milliseconds after which a route is looked up again, so that a stream created meanwhile is found. */
const ROUTE_AGE_MS = 60_000;

/**
 * One connection, from opening to its end, with the routes of its topics and the cause of its end. It does not recover; a
 * link that is down is replaced.
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

  /** @throws {ContextCacheError} `BACKEND_FAILED` if the server is too old for headers. */
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

  /** Aborts with the cause once the connection is unusable. */
  get down(): AbortSignal {
    return this.#down.signal;
  }

  /** Returns the route of a topic that {@link learn} has looked up. */
  route(topic: string): TopicRoute | undefined {
    return this.#routes.get(topic);
  }

  /** Returns the topics whose route is unknown, or was looked up too long ago. */
  unknown(topics: Iterable<string>, now: number): string[] {
    return [...topics].filter((topic) => {
      const route = this.#routes.get(topic);
      return route === undefined || now - route.askedAt >= ROUTE_AGE_MS;
    });
  }

  /** Looks up the routes of topics. */
  async learn(topics: readonly string[], now: number): Promise<void> {
    await Promise.all(
      topics.map(async (topic) => this.#routes.set(topic, { ...(await this.#findRoute(topic)), askedAt: now })),
    );
  }

  /**
   * Sends messages at once and in order. Resolves once the server has handled all and the streams have stored theirs. More
   * messages may be sent before that.
   */
  async send(messages: Iterable<TopicMessage>): Promise<void> {
    for (const message of messages) this.#frames.add(message, this.#replyTo(message.topic));
    this.#frames.flush();
    await Promise.all([this.#connection.flush(), this.#acknowledgements?.settled()]);
    // Refusals arrive before the answer to the flush, but through an iterator: let it run.
    await new Promise((resolve) => setImmediate(resolve));
    this.down.throwIfAborted();
  }

  /** Ends the link. Never rejects. */
  async close(cause: Error): Promise<void> {
    this.#fail(cause);
    try {
      await this.#connection.close();
    } catch {
      // The connection was ending by itself.
    }
  }

  /** Returns the reply subject for the acknowledgement of the stream on a topic, if there is a stream. */
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
    const message = 'The connection to NATS was lost. It is made again; the log of the server may say why.';
    this.#fail(new ContextCacheError('UNREACHABLE', message, cause instanceof Error ? { cause } : undefined));
  }

  /** Detects a refused publish, which only the status reports. The iterator ends with the connection. */
  async #watchStatus(): Promise<void> {
    for await (const status of this.#connection.status()) {
      const violation = status.type === 'error' ? permissionViolation(status.error) : undefined;
      if (violation?.operation !== 'publish' || !this.#routes.has(violation.subject)) continue;
      const { subject } = violation;
      const message = `NATS does not let this user publish to the topic ${JSON.stringify(subject)}. Allow it in the server's permissions, or remove the topic.`;
      this.#fail(new ContextCacheError('BACKEND_FAILED', message, { cause: violation }));
    }
  }
}

/**
 * Returns a function that writes bytes of the protocol, in order with what the client itself sends. It bypasses only the
 * client's `publish`, which encodes each message separately.
 */
function writerTo(connection: NatsConnection): (bytes: Uint8Array) => void {
  const { protocol } = connection as NatsConnectionImpl;
  return (bytes) => protocol.sendCommand(bytes);
}

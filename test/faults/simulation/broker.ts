import type { Clock } from '../../../src/core/clock.ts';
import { within } from '../../../src/core/deadline.ts';
import { ContextCacheError } from '../../../src/core/errors.ts';
import type { Link, OpenLink } from '../../../src/followers/broadcast/event-pusher.ts';
import type { TopicRoute } from '../../../src/followers/broadcast/topic-route.ts';
import type { TopicMessage } from '../../../src/followers/broadcast/wire-frames.ts';
import { Server, type SimConnection } from './network.ts';

/** A message as the subscriber receives it. */
export interface Received {
  readonly position: number;
  readonly operation: string;
  readonly namespace: string;
  readonly key: string | null;
  readonly value: unknown;
  readonly version: number;
}

/** The part of NATS that matters: hands messages to the subscriber in the order of arrival. */
export class BrokerServer extends Server {
  readonly received: Received[] = [];
  /** Chooses messages that it acknowledges and loses, for controls. */
  loses: (position: number) => boolean = () => false;

  constructor() {
    super('broker');
  }

  /** Ends the connections. It keeps nothing that it could lose. */
  protected override lose(): void {}

  take({ payload }: TopicMessage): void {
    const { position, version, event_data } = JSON.parse(String(payload));
    if (!this.loses(position)) this.received.push({ position, version, ...event_data });
  }
}

const ROUTE: TopicRoute = { acknowledged: false, maxBytes: 1_048_576 };

/** Connections to the broker for one process. */
export function linksTo(server: BrokerServer, open: () => SimConnection, clock: Clock): OpenLink {
  return async ({ timeoutMs, signals }) => {
    const connection = open();
    const timedOut = () => new ContextCacheError('TIMED_OUT', 'The broker did not answer.');
    await within(
      connection.call('connect', () => undefined),
      { clock, timeoutMs, timedOut, signals },
    );
    return new SimLink(server, connection);
  };
}

class SimLink implements Link {
  readonly maxPayload = ROUTE.maxBytes;
  readonly #server: BrokerServer;
  readonly #connection: SimConnection;
  readonly #topics = new Set<string>();
  readonly #down = new AbortController();

  constructor(server: BrokerServer, connection: SimConnection) {
    this.#server = server;
    this.#connection = connection;
    connection.onLost = (cause) => this.#fail(cause);
  }

  get down(): AbortSignal {
    return this.#down.signal;
  }

  route(topic: string): TopicRoute | undefined {
    return this.#topics.has(topic) ? ROUTE : undefined;
  }

  unknown(topics: Iterable<string>): string[] {
    return [...topics].filter((topic) => !this.#topics.has(topic));
  }

  async learn(topics: readonly string[]): Promise<void> {
    for (const topic of topics) this.#topics.add(topic);
  }

  async send(messages: Iterable<TopicMessage>): Promise<void> {
    try {
      // No caller waits for a single message. The server only has to have answered after the last one.
      for (const message of messages) {
        const sent = this.#connection.call('take', () => this.#server.take(message));
        sent.catch(() => {});
      }
      await this.#connection.call('flush', () => undefined);
    } catch (error) {
      this.#fail(error as Error);
    }
    this.down.throwIfAborted();
  }

  async close(cause: Error): Promise<void> {
    this.#fail(cause);
    this.#connection.close();
  }

  #fail(cause: Error): void {
    if (!this.down.aborted) this.#down.abort(cause);
  }
}

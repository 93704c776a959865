import type { JetStreamApiError, StreamInfo } from '@nats-io/jetstream';
import type { NatsConnection, PermissionViolationError } from '@nats-io/transport-node';
import { toError } from '../../core/errors.ts';

/** How a message gets to a topic, and how large it may be. */
export interface TopicRoute {
  /** A JetStream stream listens and acknowledges what it has stored. */
  readonly acknowledged: boolean;
  /** Bytes of headers and payload at the most. */
  readonly maxBytes: number;
}

/** Finds out how messages get to a topic of one connection. */
export type FindRoute = (topic: string) => Promise<TopicRoute>;

/** Every topic is plain NATS. */
export function plainRoutes(connection: NatsConnection): FindRoute {
  return () => Promise.resolve(plain(connection));
}

/** How long a server without JetStream is asked whether another one of its system has it. */
const ELSEWHERE_TIMEOUT_MS = 1_000;

/**
 * Asks JetStream which stream listens on a topic. Where JetStream is off, or may not be asked, every topic is plain
 * NATS. A server that has JetStream and does not answer in time has not said so: that rejects, as taking a topic for
 * plain would give up its acknowledgements. The caller's own deadline should come before twice `timeoutMs`.
 */
export async function streamRoutes(connection: NatsConnection, timeoutMs: number): Promise<FindRoute> {
  const { jetstreamManager } = await import('@nats-io/jetstream');
  const here = connection.info?.jetstream === true;
  const timeout = here ? 2 * timeoutMs : Math.min(ELSEWHERE_TIMEOUT_MS, timeoutMs / 2);
  const manager = await jetstreamManager(connection, { checkAPI: false, timeout });
  let unavailable = false;
  return async (topic) => {
    if (unavailable) return plain(connection);
    try {
      const [stream] = await manager.streams.names(topic).next();
      return stream === undefined ? plain(connection) : acknowledgedBy(await manager.streams.info(stream), connection);
    } catch (thrown) {
      // Without JetStream the question is answered at once, unless somebody subscribes to everything: then it times
      // out, or gets an answer that makes no sense.
      if (here && !meansUnavailable(toError(thrown))) throw thrown;
      unavailable = true;
      return plain(connection);
    }
  };
}

function plain(connection: NatsConnection): TopicRoute {
  return { acknowledged: false, maxBytes: maxPayloadOf(connection) };
}

function acknowledgedBy({ config }: StreamInfo, connection: NatsConnection): TopicRoute {
  const most = maxPayloadOf(connection);
  const { max_msg_size: limit = -1, no_ack: silent = false } = config;
  return { acknowledged: !silent, maxBytes: limit > 0 ? Math.min(most, limit) : most };
}

/** What NATS allows where nothing else is configured. */
const DEFAULT_MAX_PAYLOAD = 1_048_576;

/** The server's `max_payload`. */
export function maxPayloadOf(connection: NatsConnection): number {
  return connection.info?.max_payload ?? DEFAULT_MAX_PAYLOAD;
}

/** JetStream's own code for "not enabled on this server". */
const NOT_ENABLED = 10_076;

function meansUnavailable(error: Error): boolean {
  if (error.name === 'JetStreamNotEnabled' || isPermissionViolation(error)) return true;
  return error.name === 'JetStreamApiError' && (error as JetStreamApiError).code === NOT_ENABLED;
}

/** Whether the server refused a subject, directly or as the cause of a request's failure. */
export function isPermissionViolation(error: unknown): error is PermissionViolationError {
  if (!(error instanceof Error)) return false;
  return error.name === 'PermissionViolationError' || isPermissionViolation(error.cause);
}

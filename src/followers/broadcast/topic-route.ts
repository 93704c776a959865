import type { JetStreamApiError, StreamInfo } from '@nats-io/jetstream';
import type { NatsConnection, PermissionViolationError } from '@nats-io/transport-node';
import { toError } from '../../core/errors.ts';

/** The kind of a topic, and the greatest size of its messages. */
export interface TopicRoute {
  /** `true` if a JetStream stream listens and acknowledges stored messages. */
  readonly acknowledged: boolean;
  /** Greatest number of bytes of headers and payload. */
  readonly maxBytes: number;
}

/** Looks up the route of a topic on one connection. */
export type FindRoute = (topic: string) => Promise<TopicRoute>;

/** Returns a lookup for which every topic is plain NATS. */
export function plainRoutes(connection: NatsConnection): FindRoute {
  return () => Promise.resolve(plain(connection));
}

/** Milliseconds that the lookup may take at a server without JetStream: another server of its system may have it. */
const ELSEWHERE_TIMEOUT_MS = 1_000;

/**
 * Returns a lookup that asks JetStream which stream listens on a topic. If JetStream is off, or the user may not ask it,
 * every topic is plain NATS. If a server with JetStream does not answer in time, the lookup rejects: treating the topic as
 * plain would lose its acknowledgements. The deadline of the caller should be shorter than twice `timeoutMs`.
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
      // Without JetStream the question is answered at once, unless a client subscribes to everything: then it times
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

/** Default of `max_payload` in NATS, bytes. */
const DEFAULT_MAX_PAYLOAD = 1_048_576;

/** Returns the `max_payload` of the server in bytes. */
export function maxPayloadOf(connection: NatsConnection): number {
  return connection.info?.max_payload ?? DEFAULT_MAX_PAYLOAD;
}

/** The code of JetStream for "not enabled on this server". */
const NOT_ENABLED = 10_076;

function meansUnavailable(error: Error): boolean {
  if (error.name === 'JetStreamNotEnabled' || permissionViolation(error) !== undefined) return true;
  return error.name === 'JetStreamApiError' && (error as JetStreamApiError).code === NOT_ENABLED;
}

/** Returns the server's refusal of a subject, which the error is or is caused by; `undefined` for any other error. */
export function permissionViolation(error: unknown): PermissionViolationError | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error.name === 'PermissionViolationError') return error as PermissionViolationError;
  return permissionViolation(error.cause);
}

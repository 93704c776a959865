import { randomUUID } from 'node:crypto';
import { type Clock, systemClock } from '../../core/clock.ts';
import { ContextCacheError } from '../../core/errors.ts';
import { type NatsAddress, parseNatsAddress } from '../../followers/broadcast/nats-address.ts';
import { connectNats, type NatsConnectionSettings } from '../../followers/broadcast/nats-connect.ts';
import { permissionViolation } from '../../followers/broadcast/topic-route.ts';
import type { CommandStream } from '../command-stream.ts';
import { ifFound } from './error-codes.ts';
import { JetStreamStream } from './jetstream-stream.ts';
import { checkServerVersion } from './server-version.ts';
import { forbidden } from './stream-link.ts';
import { type StreamNames, streamNames } from './stream-names.ts';
import { configOf, identityOf } from './stream-settings.ts';

/** How to reach the servers of a cluster. */
export interface JetStreamOptions {
  /** URLs of the servers: `nats://user:password@host:4222`, `tls://host`; several as an array or separated by commas. */
  readonly servers: string | readonly string[];
  /** Name of the cluster: letters, digits, `-` and `_`. */
  readonly name: string;
  /** Credentials and TLS. A function is called for each connection, so that changed credentials are used. */
  readonly connection?:
    | NatsConnectionSettings
    | (() => NatsConnectionSettings | Promise<NatsConnectionSettings>)
    | undefined;
  /** Name of the connection in the lists of the server. Default `agent-context-cache`. */
  readonly clientName?: string | undefined;
  /** Milliseconds that connecting to one server may take. Default 2,000. */
  readonly connectTimeoutMs?: number | undefined;
  /** Milliseconds that the stream may take to acknowledge a message. Default 5,000. */
  readonly publishTimeoutMs?: number | undefined;
  /**
   * Monitoring ports of the servers, such as `http://host:8222`, which say whether every write is synced. Default: port 8222 of each
   * server.
   */
  readonly monitors?: readonly string[] | undefined;
  /** Default: the system clock. */
  readonly clock?: Clock | undefined;
}

/** How to create the stream of a cluster. */
export interface CreateJetStreamOptions extends JetStreamOptions {
  /** Servers that store each message. Default 3; 1 for a single server. */
  readonly replicas?: number | undefined;
  /** Greatest size of the stream in bytes, on each of its servers. Default 1 GiB. */
  readonly maxBytes?: number | undefined;
}

const CONNECT_TIMEOUT_MS = 2_000;
const PUBLISH_TIMEOUT_MS = 5_000;
const MONITORING_PORT = 8222;
/** Milliseconds that JetStream may take to create a stream. */
export const CREATE_MS = 10_000;
/** Greatest size of a stream in bytes on each of its servers, if none is given. */
export const DEFAULT_MAX_BYTES = 1024 ** 3;

/**
 * Opens the stream of a cluster. Uses no consumers: a user needs to publish commands, to subscribe to what the stream repeats, and to
 * ask for `STREAM.INFO` and `DIRECT.GET`; the holder of the lease also `STREAM.PURGE`.
 *
 * @throws {ContextCacheError} `NOT_FOUND` if the stream does not exist, `BACKEND_FAILED` if the servers are too old, a permission is
 *   missing, or the stream is not set as a cluster needs it; `UNREACHABLE`, `TIMED_OUT`, `LOG_UNAVAILABLE`, `INVALID_OPTION`.
 */
export async function openJetStream(options: JetStreamOptions): Promise<CommandStream> {
  const address = parseNatsAddress(options.servers);
  const stream = new JetStreamStream({
    names: streamNames(options.name),
    address,
    settings: settingsOf(options),
    clientName: options.clientName ?? 'agent-context-cache',
    connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    publishTimeoutMs: options.publishTimeoutMs ?? PUBLISH_TIMEOUT_MS,
    monitors: options.monitors ?? monitorsOf(address),
    clock: options.clock ?? systemClock,
  });
  await stream.start();
  return stream;
}

/**
 * Creates the stream of a cluster. Checks the settings instead if the stream exists, and changes nothing. Needs a user who may use
 * `$JS.API.STREAM.CREATE` and `$JS.API.STREAM.INFO`. Resolves with `true` if the stream is new.
 *
 * @throws {ContextCacheError} `BACKEND_FAILED` if JetStream refuses, for example because there are fewer servers than replicas, or if the
 *   stream exists with settings that a cluster cannot work with; `INVALID_OPTION` if it exists with fewer replicas than the given ones.
 */
export async function createJetStream(options: CreateJetStreamOptions): Promise<boolean> {
  const { replicas = 3, maxBytes = DEFAULT_MAX_BYTES, clock = systemClock } = options;
  const names = streamNames(options.name);
  const address = parseNatsAddress(options.servers);
  const connection = await connectNats({
    address,
    settings: await settingsOf(options)(),
    name: options.clientName ?? 'agent-context-cache',
    timeoutMs: CREATE_MS,
    clock,
    signals: [],
  });
  try {
    checkServerVersion(connection.info?.version, connection.getServer());
    const { jetstreamManager } = await import('@nats-io/jetstream');
    const manager = await jetstreamManager(connection, { checkAPI: false, timeout: CREATE_MS });
    const existing = await ifFound(manager.streams.info(names.stream));
    if (existing !== undefined) {
      identityOf(names, existing.config);
      const { num_replicas: actual } = existing.config;
      if (options.replicas !== undefined && actual < replicas) throw fewerReplicas(names, actual, replicas);
      return false;
    }
    await manager.streams.add({
      ...configOf(names, { replicas, maxBytes, epoch: randomUUID() }),
      name: names.stream,
    });
    return true;
  } catch (error) {
    if (error instanceof ContextCacheError) throw error;
    const violation = permissionViolation(error);
    if (violation !== undefined) throw forbidden(violation, names);
    const reason = error instanceof Error ? error.message : String(error);
    const message = `JetStream at ${address.shown} did not create the stream ${names.stream} with ${replicas} replicas: ${reason}. Check that so many servers with JetStream run and that its group counts all of them (nats server report jetstream).`;
    throw new ContextCacheError('BACKEND_FAILED', message, { cause: error });
  } finally {
    await connection.close();
  }
}

/** Returns the function that gives the credentials of each connection. */
export function settingsOf({ connection = {} }: Pick<JetStreamOptions, 'connection'>) {
  return typeof connection === 'function' ? connection : () => connection;
}

/** Returns the addresses at which the servers' monitoring ports usually are. */
export function monitorsOf({ servers }: NatsAddress): string[] {
  return servers.map((server) => `http://${server.slice(0, server.lastIndexOf(':'))}:${MONITORING_PORT}`);
}

function fewerReplicas({ stream }: StreamNames, actual: number, wanted: number): ContextCacheError {
  const message = `The stream ${stream} keeps each message on ${actual} servers, and replicas is ${wanted}. Change the stream (nats stream edit ${stream} --replicas=${wanted}), or the option.`;
  return new ContextCacheError('INVALID_OPTION', message);
}

import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import type { Authenticator, NatsConnection, NodeConnectionOptions } from '@nats-io/transport-node';
import type { Clock } from '../../core/clock.ts';
import { within } from '../../core/deadline.ts';
import { ContextCacheError, toError } from '../../core/errors.ts';
import { optionNames } from '../../core/options.ts';
import type { NatsAddress } from './nats-address.ts';

/** Credentials and TLS for NATS. Absent fields are taken from the URL. */
export interface NatsConnectionSettings {
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
  /** Path of a `.creds` file, which is read for each connection. */
  readonly credentials?: string;
  /** TLS options of the client: `caFile`, `certFile`, `keyFile`, `handshakeFirst`, …; `{}` demands TLS. */
  readonly tls?: NodeConnectionOptions['tls'];
  /** Beginning of the subjects of answers, if permissions require another one. Default `_INBOX`. */
  readonly inboxPrefix?: string;
}

export const NATS_CONNECTION = optionNames<NatsConnectionSettings>('the connection to NATS', {
  user: true,
  pass: true,
  token: true,
  credentials: true,
  tls: true,
  inboxPrefix: true,
});

/** One attempt to connect. */
export interface ConnectRequest {
  readonly address: NatsAddress;
  readonly settings: NatsConnectionSettings;
  readonly name: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signals: readonly (AbortSignal | undefined)[];
}

/** Milliseconds between two pings. A dead server is detected on an idle connection after about three of them. */
const PING_INTERVAL_MS = 20_000;

/**
 * Opens a connection that does not reconnect by itself; the caller does. An attempt that fails, is aborted or takes too
 * long leaves no socket and no timer behind.
 *
 * @throws {ContextCacheError} `UNREACHABLE`, `TIMED_OUT`, `BACKEND_FAILED` (credentials refused), `INVALID_OPTION`
 *   (credentials file).
 */
export async function connectNats(request: ConnectRequest): Promise<NatsConnection> {
  const { connect, credsAuthenticator } = await import('@nats-io/transport-node');
  const options = clientOptions(request, await credentialsOf(request.settings, credsAuthenticator));
  const sockets = new SocketWatch();
  const attempt = sockets.run(() => connect(options));
  try {
    const connection = await within(attempt, { ...request, timedOut: () => timedOut(request) });
    sockets.close();
    return connection;
  } catch (error) {
    sockets.destroyAll();
    void tidyUp(attempt, sockets);
    throw explain(toError(error), request);
  }
}

/** Ends an abandoned attempt, which may still try other addresses of the host, or succeed. */
async function tidyUp(attempt: Promise<NatsConnection>, sockets: SocketWatch): Promise<void> {
  try {
    const late = await attempt;
    await late.close();
  } catch {
    // The failure has been reported already.
  } finally {
    sockets.close();
  }
}

/** Returns the options of the client: those of the URL, overridden by the given ones. */
function clientOptions(request: ConnectRequest, authenticator: Authenticator | undefined): NodeConnectionOptions {
  const { address, settings } = request;
  const { tls = address.tls ? {} : undefined } = settings;
  const ownLogin = [settings.user, settings.token, settings.credentials].some((given) => given !== undefined);
  const { user, pass, token }: Pick<NatsAddress, 'user' | 'pass' | 'token'> = ownLogin ? settings : address;
  return {
    servers: [...address.servers],
    name: request.name,
    timeout: request.timeoutMs,
    reconnect: false,
    ignoreClusterUpdates: true,
    pingInterval: PING_INTERVAL_MS,
    maxPingOut: 2,
    noAsyncTraces: true,
    ...(user === undefined ? {} : { user }),
    ...(pass === undefined ? {} : { pass }),
    ...(token === undefined ? {} : { token }),
    ...(authenticator === undefined ? {} : { authenticator }),
    ...(tls === undefined ? {} : { tls }),
    ...(settings.inboxPrefix === undefined ? {} : { inboxPrefix: settings.inboxPrefix }),
  };
}

async function credentialsOf(
  settings: NatsConnectionSettings,
  authenticatorOf: (creds: Uint8Array) => Authenticator,
): Promise<Authenticator | undefined> {
  if (settings.credentials === undefined) return undefined;
  try {
    return authenticatorOf(await readFile(settings.credentials));
  } catch (cause) {
    throw new ContextCacheError(
      'INVALID_OPTION',
      `The NATS credentials file ${settings.credentials} cannot be read. Check its path and permissions.`,
      { cause },
    );
  }
}

function timedOut({ address, timeoutMs }: ConnectRequest): ContextCacheError {
  const message = `NATS at ${address.shown} did not answer within ${timeoutMs} ms. Check that the server is not stalled.`;
  return new ContextCacheError('TIMED_OUT', message);
}

function explain(error: Error, request: ConnectRequest): Error {
  const { address, signals } = request;
  if (error instanceof ContextCacheError || signals.some((signal) => signal?.aborted)) return error;
  if (error.name === 'TimeoutError') return timedOut(request);
  if (error.name === 'AuthorizationError' || error.name === 'UserAuthenticationExpiredError') {
    const message = `NATS at ${address.shown} refused the credentials. Check user, password, token or credentials file.`;
    return new ContextCacheError('BACKEND_FAILED', message, { cause: error });
  }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  const message = `NATS at ${address.shown} cannot be reached (${code}). Check the address and that the server runs.`;
  return new ContextCacheError('UNREACHABLE', message, { cause: error });
}

/**
 * Records the sockets that are opened during some work. The client forgets the socket of an attempt that timed out before
 * the greeting of the server, and it would stay open as long as a paused server exists.
 */
class SocketWatch {
  readonly #scope = new AsyncLocalStorage<SocketWatch>();
  readonly #sockets = new Set<Socket>();
  #refuse = false;
  readonly #seen = (message: unknown) => {
    if (this.#scope.getStore() !== this) return;
    const { socket } = message as { socket: Socket };
    this.#sockets.add(socket);
    if (this.#refuse) socket.destroy();
  };

  run<Result>(work: () => Result): Result {
    subscribe('net.client.socket', this.#seen);
    return this.#scope.run(this, work);
  }

  /** Destroys all sockets, and those that are opened from now on. */
  destroyAll(): void {
    this.#refuse = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    unsubscribe('net.client.socket', this.#seen);
    this.#scope.disable();
    this.#sockets.clear();
  }
}

import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { access, constants, readFile } from 'node:fs/promises';
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
 *   (a file of the settings).
 */
export async function connectNats(request: ConnectRequest): Promise<NatsConnection> {
  const { connect, credsAuthenticator } = await import('@nats-io/transport-node');
  const options = clientOptions(request, await credentialsOf(request.settings, credsAuthenticator));
  await checkFiles(request.settings);
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
    throw unreadable('credentials', settings.credentials, cause);
  }
}

/** Checks that the files for TLS can be read. The client would report a missing one as a failed connection. */
async function checkFiles({ tls }: NatsConnectionSettings): Promise<void> {
  for (const [what, file] of [
    ['certificate authority', tls?.caFile],
    ['certificate', tls?.certFile],
    ['private key', tls?.keyFile],
  ] as const) {
    if (file === undefined) continue;
    try {
      await access(file, constants.R_OK);
    } catch (cause) {
      throw unreadable(what, file, cause);
    }
  }
}

function unreadable(what: string, file: string, cause: unknown): ContextCacheError {
  const message = `The NATS ${what} file ${file} cannot be read. Check its path and permissions.`;
  return new ContextCacheError('INVALID_OPTION', message, { cause });
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
  const code = codeOf(error) ?? codeOf(error.cause) ?? error.name;
  const remedy = certificateRemedy(code) ?? 'Check the address and that the server runs.';
  const message = `NATS at ${address.shown} cannot be reached (${code}). ${remedy}`;
  return new ContextCacheError('UNREACHABLE', message, { cause: error });
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** Codes of Node for a certificate that no known authority has signed. */
const UNTRUSTED: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/** Returns what to do if the certificate of the server was refused. */
function certificateRemedy(code: string): string | undefined {
  if (UNTRUSTED.has(code)) {
    return 'Its certificate is not trusted: give the certificate authority that has signed it (tls.caFile, --cluster-ca).';
  }
  if (code === 'CERT_HAS_EXPIRED') return 'Its certificate has expired: give the server a new one.';
  if (code !== 'ERR_TLS_CERT_ALTNAME_INVALID') return undefined;
  return 'Its certificate has other names: connect by one of them, which cannot be an IP address.';
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

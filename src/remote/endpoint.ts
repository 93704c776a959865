import { stat } from 'node:fs/promises';
import type { SecureContextOptions } from 'node:tls';
import { ContextCacheError } from '../core/errors.ts';
import { hostInUrl } from '../wire/address.ts';
import { readServeFile, type ServeFile } from '../wire/serve-file.ts';
import { SOCKET_PATH } from '../wire/socket-protocol.ts';

/** The address of a server, with what a connection to it needs. */
export interface Endpoint {
  readonly url: string;
  readonly token: string;
  /** The token comes from `serve.json`, which a server that takes over replaces only once it listens. */
  readonly isTokenFromFile: boolean;
  readonly tls: SecureContextOptions & { readonly rejectUnauthorized?: boolean };
  /** Silence after which the server counts as hung, milliseconds. Default: that of the protocol, 15 s. */
  readonly hungAfterMs?: number | undefined;
  /** Called when the server has given no sign of life for this many milliseconds, before its connection is given up. */
  readonly onSilence?: ((silentMs: number) => void) | undefined;
  /** Address for messages, without the token. */
  readonly shown: string;
}

/** Finds the server. Called before each connection, because a server may have moved after a restart. */
export type FindEndpoint = () => Promise<Endpoint>;

const URL_LIKE = /^(https?|wss?):\/\//i;

/** Returns whether a target is the URL of a server, and not a data directory. */
export function isUrl(target: string): boolean {
  return URL_LIKE.test(target);
}

/**
 * Returns a function that finds the server of a target: a URL, or a data directory that a process serves.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`.
 */
export function endpointOf(target: string, token: string | undefined, tls: SecureContextOptions = {}): FindEndpoint {
  if (typeof target !== 'string' || target === '') {
    throw new ContextCacheError(
      'INVALID_OPTION',
      'connect takes a data directory, or a URL such as http://127.0.0.1:7071.',
    );
  }
  if (!isUrl(target)) return () => servedDirectory(target, token, tls);
  if (token === undefined) {
    throw new ContextCacheError('INVALID_OPTION', 'connect needs the token of the server: connect(url, { token }).');
  }
  const url = parsedUrl(target);
  url.protocol = url.protocol.replace('http', 'ws');
  url.pathname = SOCKET_PATH;
  const endpoint = { url: url.href, token, isTokenFromFile: false, tls, shown: `the server at ${target}` };
  return async () => endpoint;
}

function parsedUrl(target: string): URL {
  const url = URL.canParse(target) ? new URL(target) : undefined;
  const isBare = url?.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (url !== undefined && isBare && (url.pathname === '/' || url.pathname === SOCKET_PATH)) return url;
  const message = 'The URL of a server has a host and a port and nothing else, such as http://127.0.0.1:7071.';
  throw new ContextCacheError('INVALID_OPTION', message);
}

async function servedDirectory(
  dataDir: string,
  token: string | undefined,
  tls: SecureContextOptions,
): Promise<Endpoint> {
  const file = await readServeFile(dataDir);
  if (file === undefined) {
    const exists = await stat(dataDir).then(
      () => true,
      () => false,
    );
    const problem = exists ? `No process serves ${dataDir}.` : `There is no directory ${dataDir}.`;
    const remedy = 'Serve it with startServer(cache) or context-cache serve.';
    throw new ContextCacheError(exists ? 'UNREACHABLE' : 'NOT_FOUND', `${problem} ${remedy}`);
  }
  return endpointOfFile(file, dataDir, token, tls);
}

/** Returns the address that `serve.json` of a directory names. */
export function endpointOfFile(
  file: ServeFile,
  dataDir: string,
  token?: string,
  tls: SecureContextOptions = {},
): Endpoint {
  const { host = '127.0.0.1', port, shared } = file;
  const isSecure = file.tls === true;
  return {
    url: `${isSecure ? 'wss' : 'ws'}://${hostInUrl(host)}:${port}${SOCKET_PATH}`,
    token: token ?? file.token,
    isTokenFromFile: token === undefined,
    // The file, which only this user can write, names port and process; it vouches for the server as for one without TLS.
    tls: isSecure ? { rejectUnauthorized: false, ...tls } : tls,
    hungAfterMs: shared?.hungAfterMs ?? undefined,
    shown: `the process that serves ${dataDir}`,
  };
}

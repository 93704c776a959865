import type { ServerOptions as TlsOptions } from 'node:https';
import type { Clock } from '../core/clock.ts';
import { ContextCacheError } from '../core/errors.ts';
import { optionNames } from '../core/options.ts';

/** Limits of a server. Each protects the process from its clients. */
export interface ServerLimits {
  /** Most clients at a time; a further one is refused with `OVERLOADED`. Default 256. */
  readonly maxConnections?: number | undefined;
  /** Most requests of one client that are being executed; further ones wait. Default 4,096. */
  readonly maxInFlight?: number | undefined;
  /** Most bytes of a message to the server. Default 64 MiB. */
  readonly maxMessageBytes?: number | undefined;
  /**
   * Longest time for the answer to a request, after which it fails with `TIMED_OUT`, milliseconds. Verifying, compacting and
   * backing up have none. Default 300,000.
   */
  readonly requestTimeoutMs?: number | undefined;
}

/** The limits with their defaults. */
export type Limits = { readonly [Name in keyof ServerLimits]-?: number };

/** Options of `startServer`. */
export interface ServerOptions {
  /** Address to listen on. Default `127.0.0.1`, which only this machine reaches. */
  readonly host?: string | undefined;
  /** Default 0: a free one. */
  readonly port?: number | undefined;
  /**
   * Names besides `host` that clients reach the server by, such as `cache.example`; with a port if a proxy forwards from
   * another one, as in `cache.example:8443`. Requests under any other name are refused. Default: none.
   */
  readonly hostNames?: readonly string[] | undefined;
  /** Token of clients that name the writer of each command themselves. Default: 32 random bytes. */
  readonly token?: string | undefined;
  /** Tokens of agents: everything that is written with such a token is written by that agent. Default: none. */
  readonly agentTokens?: Readonly<Record<string, string>> | undefined;
  /** Certificate and key, as for `https.createServer`. Default: no TLS. */
  readonly tls?: TlsOptions | undefined;
  readonly limits?: ServerLimits | undefined;
  /** Default: the system clock. */
  readonly clock?: Clock | undefined;
}

const LIMITS = optionNames<ServerLimits>('limits', {
  maxConnections: true,
  maxInFlight: true,
  maxMessageBytes: true,
  requestTimeoutMs: true,
});

/** Names of {@link ServerOptions}, for {@link optionNames}. */
export const SERVER_NAMES = {
  host: true,
  port: true,
  hostNames: true,
  token: true,
  agentTokens: true,
  tls: true,
  limits: LIMITS,
  clock: true,
} as const;

/** Names of {@link ServerOptions}. */
export const SERVER_OPTIONS = optionNames<ServerOptions>('startServer', SERVER_NAMES);

const DEFAULT_LIMITS: Limits = {
  maxConnections: 256,
  maxInFlight: 4_096,
  maxMessageBytes: 64 * 1024 * 1024,
  requestTimeoutMs: 300_000,
};

/** A token must be fit for an HTTP header, and too long to be guessed. */
const TOKEN = /^[A-Za-z0-9_-]{16,1024}$/;

/**
 * Checks the options of `startServer`.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`.
 */
export function checkedServerOptions(options: ServerOptions): ServerOptions {
  const { token, agentTokens = {}, host, hostNames = [], port, tls, limits } = SERVER_OPTIONS.checked(options);
  for (const [name, value] of Object.entries({ agentTokens, tls, limits })) {
    if (value !== undefined && (typeof value !== 'object' || value === null || Array.isArray(value)))
      throw invalid(`${name} must be an object.`);
  }
  if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port <= 65_535))
    throw invalid('port must be an integer from 0 to 65,535; 0 takes a free one.');
  if (!Array.isArray(hostNames)) throw invalid('hostNames must be an array of names.');
  for (const [agent, each] of [['', token ?? 'a'.repeat(16)] as const, ...Object.entries(agentTokens)]) {
    if (typeof each === 'string' && TOKEN.test(each)) continue;
    const name = agent === '' ? 'token' : `The token of agent ${JSON.stringify(agent)}`;
    throw invalid(`${name} must have 16 to 1,024 characters of A-Z, a-z, 0-9, "-" and "_".`);
  }
  const tokens = [token, ...Object.values(agentTokens)].filter((each) => each !== undefined);
  if (new Set(tokens).size < tokens.length)
    throw invalid('Each token must be another one, or it does not say who writes.');
  for (const agent of Object.keys(agentTokens)) {
    if (agent === '' || agent.length > 1_024 || !agent.isWellFormed())
      throw invalid('The name of an agent must be a well-formed string of 1 to 1,024 characters.');
  }
  for (const name of [host ?? 'localhost', ...hostNames]) {
    if (typeof name !== 'string' || name === '' || /[\s/]/.test(name))
      throw invalid('host and hostNames take names or addresses.');
  }
  limitsOf(options);
  return options;
}

/** Returns the limits with their defaults. */
export function limitsOf({ limits = {} }: ServerOptions): Limits {
  const merged = { ...DEFAULT_LIMITS, ...withoutUndefined(limits) };
  for (const [name, value] of Object.entries(merged)) {
    if (!Number.isSafeInteger(value) || value < 1) throw invalid(`limits.${name} must be an integer from 1 up.`);
  }
  return merged;
}

function withoutUndefined(limits: ServerLimits): Partial<Limits> {
  return Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined));
}

function invalid(message: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', message);
}

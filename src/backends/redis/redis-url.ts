import type { ConnectionOptions } from 'node:tls';
import { ContextCacheError } from '../../core/errors.ts';

/** The parts of a Redis URL. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly db: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly tls: ConnectionOptions | undefined;
  /** The beginning of every key, from `?prefix=`; `undefined` if the URL names no prefix. */
  readonly prefix: string | undefined;
  /** The URL without user, password and prefix, for messages. */
  readonly description: string;
}

/**
 * Reads `redis://[user:password@]host[:port][/db][?prefix=text]`; `rediss://` is the same over TLS. Defaults: port
 * 6379, database 0, no prefix. The prefix is percent-encoded, as everything behind `?` is.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`; the message never repeats the URL, which may hold a password.
 */
export function parseRedisUrl(text: string, tls?: ConnectionOptions): RedisAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^rediss?:$/.test(url.protocol) || url.hostname === '') {
    throw invalid('is not one of the form redis://[user:password@]host[:port][/db][?prefix=text] or rediss://…');
  }
  if (url.hash !== '') throw invalid('has a part behind #');
  const prefix = prefixOf(url.searchParams);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = url.port === '' ? 6379 : Number(url.port);
  const db = databaseOf(url.pathname);
  return {
    host,
    port,
    db,
    username: url.username === '' ? undefined : plain(url.username),
    password: url.password === '' ? undefined : plain(url.password),
    tls: url.protocol === 'rediss:' ? { ...tls } : undefined,
    prefix,
    description: `${url.protocol}//${url.hostname}:${port}${db === 0 ? '' : `/${db}`}`,
  };
}

function prefixOf(parameters: URLSearchParams): string | undefined {
  for (const name of parameters.keys()) if (name !== 'prefix') throw invalid('has a parameter other than ?prefix=');
  const given = parameters.getAll('prefix');
  if (given.length > 1) throw invalid('has ?prefix= more than once');
  return given[0];
}

function databaseOf(path: string): number {
  if (path === '' || path === '/') return 0;
  if (!/^\/\d{1,5}$/.test(path)) throw invalid('names a database that is not a small number');
  return Number(path.slice(1));
}

function plain(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (cause) {
    throw invalid('has a user or password that is not percent-encoded', cause);
  }
}

/** The URL of a description with the prefix, for messages; without a prefix the description itself. */
export function withPrefix(description: string, prefix: string): string {
  return prefix === '' ? description : `${description}?prefix=${encodeURIComponent(prefix).replaceAll('%3A', ':')}`;
}

/**
 * The prefix of a connection: the option, or that of the URL.
 *
 * @throws {ContextCacheError} `INVALID_OPTION` if both name one and they differ, or if it is not well-formed Unicode.
 */
export function prefixFrom(option: string | undefined, url: string | undefined): string {
  if (option !== undefined && url !== undefined && option !== url) {
    const message = `The Redis URL names the prefix ${JSON.stringify(url)} and the options ${JSON.stringify(option)}. Name it once.`;
    throw new ContextCacheError('INVALID_OPTION', message);
  }
  const prefix = option ?? url ?? '';
  if (typeof prefix === 'string' && prefix.isWellFormed()) return prefix;
  throw new ContextCacheError('INVALID_OPTION', 'The prefix of the keys in Redis must be a well-formed string.');
}

function invalid(problem: string, cause?: unknown): ContextCacheError {
  return new ContextCacheError(
    'INVALID_OPTION',
    `The Redis URL ${problem}. Correct it.`,
    cause === undefined ? {} : { cause },
  );
}

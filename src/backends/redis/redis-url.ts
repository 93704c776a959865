import type { ConnectionOptions } from 'node:tls';
import { ContextCacheError } from '../../core/errors.ts';

/** Where a Redis is and how to log in. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly db: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly tls: ConnectionOptions | undefined;
  /** For messages: without user and password. */
  readonly description: string;
}

/**
 * Reads `redis://[user:password@]host[:port][/db]`; `rediss://` is the same over TLS. Port 6379 and database 0 unless
 * named.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`; the message never repeats the URL, which may hold a password.
 */
export function parseRedisUrl(text: string, tls?: ConnectionOptions): RedisAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^rediss?:$/.test(url.protocol) || url.hostname === '') {
    throw invalid('is not one of the form redis://[user:password@]host[:port][/db] or rediss://…');
  }
  if (url.search !== '' || url.hash !== '') throw invalid('has parameters behind ? or #, and none is known');
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
    description: `${url.protocol}//${url.hostname}:${port}${db === 0 ? '' : `/${db}`}`,
  };
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

function invalid(problem: string, cause?: unknown): ContextCacheError {
  return new ContextCacheError(
    'INVALID_OPTION',
    `The Redis URL ${problem}. Correct it.`,
    cause === undefined ? {} : { cause },
  );
}

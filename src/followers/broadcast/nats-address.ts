import { ContextCacheError } from '../../core/errors.ts';

/** The parts of one or more NATS URLs, and a text that is safe to show. */
export interface NatsAddress {
  /** `host:port` of each server. */
  readonly servers: readonly string[];
  /** The servers without user, password or token, for messages. */
  readonly shown: string;
  /** `true` if the URL of a server begins with `tls:`. */
  readonly tls: boolean;
  readonly user?: string;
  readonly pass?: string;
  /** From `nats://token@host`. */
  readonly token?: string;
}

const DEFAULT_PORT = '4222';

/**
 * Parses one or more NATS URLs (`nats://user:password@host:4222`, `tls://host`, `host:4222`; several as an array
 * or separated by commas). User, password or token are those of the first URL that has any.
 *
 * @throws {ContextCacheError} `INVALID_OPTION`; the URL itself is not shown, as it may hold a password.
 */
export function parseNatsAddress(url: string | readonly string[]): NatsAddress {
  const texts = (typeof url === 'string' ? url.split(',') : url).map((text) => text.trim());
  const urls = texts.filter((text) => text !== '').map(parse);
  if (urls.length === 0) throw new ContextCacheError('INVALID_OPTION', `No NATS URL is given. ${REMEDY}`);
  const servers = urls.map(({ hostname, port }) => `${hostname}:${port || DEFAULT_PORT}`);
  const login = urls.find(({ username }) => username !== '');
  return {
    servers,
    shown: servers.join(', '),
    tls: urls.some(({ protocol }) => protocol === 'tls:'),
    ...(login === undefined ? {} : credentialsOf(login)),
  };
}

const REMEDY = 'Give it as nats://host:4222, with user:password@ before the host where the server wants them.';

function parse(text: string): URL {
  const whole = text.includes('://') ? text : `nats://${text}`;
  const url = URL.canParse(whole) ? new URL(whole) : undefined;
  if (url !== undefined && url.hostname !== '' && (url.protocol === 'nats:' || url.protocol === 'tls:')) return url;
  throw new ContextCacheError('INVALID_OPTION', `A NATS URL cannot be understood. ${REMEDY}`);
}

function credentialsOf({ username, password }: URL): Pick<NatsAddress, 'user' | 'pass' | 'token'> {
  try {
    const name = decodeURIComponent(username);
    return password === '' ? { token: name } : { user: name, pass: decodeURIComponent(password) };
  } catch {
    // The error of the decoder quotes the text, which may be a password.
    throw new ContextCacheError(
      'INVALID_OPTION',
      'User or password in a NATS URL is not percent-encoded: write % as %25.',
    );
  }
}

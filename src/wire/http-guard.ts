import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';

/** The refusal of a request before it is read. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

/** Options of {@link HttpGuard}. */
export interface HttpGuardOptions {
  readonly port: number;
  /** Address of the listener. Default: loopback. */
  readonly host?: string | undefined;
  readonly token: string;
  /** Names the source of token and port in messages. */
  readonly from: string;
}

const LOOPBACK = ['127.0.0.1', 'localhost', '[::1]'];

/**
 * Admits requests with the token, and none from a foreign web page: a browser that was led to the port sends another host
 * (DNS rebinding) or another origin. If the listener is not on loopback, also admits numeric addresses as the host, which
 * cannot be rebound.
 */
export class HttpGuard {
  readonly #hosts: ReadonlySet<string>;
  readonly #anyAddress: boolean;
  readonly #port: number;
  readonly #token: Buffer;
  readonly #from: string;

  constructor({ port, host = '127.0.0.1', token, from }: HttpGuardOptions) {
    this.#anyAddress = !LOOPBACK.includes(host) && host !== '::1';
    this.#hosts = new Set([...LOOPBACK, host].map((name) => `${name}:${port}`));
    this.#port = port;
    this.#token = digest(token);
    this.#from = from;
  }

  /** Returns the refusal of a request; `undefined` if it is admitted. */
  refusal(request: { readonly headers: IncomingHttpHeaders }): Refusal | undefined {
    const stranger = this.stranger(request);
    if (stranger !== undefined) return stranger;
    const token = /^Bearer ([A-Za-z0-9_-]+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (this.holds(token)) return undefined;
    const message = `Send the token of ${this.#from} as "Authorization: Bearer <token>".`;
    return { status: 401, code: 'UNAUTHORIZED', message };
  }

  /** Returns the refusal as {@link refusal} does, for paths that need no token. */
  stranger({ headers }: { readonly headers: IncomingHttpHeaders }): Refusal | undefined {
    if (!this.#isOurs(headers.host ?? '')) {
      const message = `Use http://127.0.0.1 with the port of ${this.#from}.`;
      return { status: 403, code: 'FORBIDDEN', message };
    }
    const { origin } = headers;
    if (origin === undefined || (origin.startsWith('http://') && this.#isOurs(origin.slice('http://'.length)))) {
      return undefined;
    }
    return {
      status: 403,
      code: 'FORBIDDEN',
      message: 'Requests from other web pages are refused. Use a program, or a page of this server.',
    };
  }

  /** Returns whether this is the token, in constant time. */
  holds(token: string | undefined): boolean {
    return token !== undefined && timingSafeEqual(digest(token), this.#token);
  }

  #isOurs(host: string): boolean {
    if (this.#hosts.has(host)) return true;
    const name = /^\[?([0-9a-fA-F.:]+?)\]?:(\d+)$/.exec(host);
    return this.#anyAddress && name !== null && isIP(name[1] ?? '') !== 0 && Number(name[2]) === this.#port;
  }
}

/** Returns a hash of fixed length, so that the comparison does not reveal the length of the token. */
function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';

/** Why a request is refused before anything of it is looked at. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

/** Who is let in. */
export interface HttpGuardOptions {
  readonly port: number;
  /** The address that is listened on. Default: loopback. */
  readonly host?: string | undefined;
  readonly token: string;
  /** For messages: where the token and the port are found. */
  readonly from: string;
}

const LOOPBACK = ['127.0.0.1', 'localhost', '[::1]'];

/**
 * Lets in only who holds the token, and no web page: a browser that was led to the port names another host (DNS
 * rebinding) or another origin. Where more than loopback is listened on, addresses in numbers are let in too, which
 * nobody can rebind.
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

  /** Why the request may not pass; `undefined`: it may. */
  refusal(request: { readonly headers: IncomingHttpHeaders }): Refusal | undefined {
    const stranger = this.stranger(request);
    if (stranger !== undefined) return stranger;
    const token = /^Bearer ([A-Za-z0-9_-]+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (this.holds(token)) return undefined;
    const message = `Send the token of ${this.#from} as "Authorization: Bearer <token>".`;
    return { status: 401, code: 'UNAUTHORIZED', message };
  }

  /** As {@link refusal}, of what needs no token. */
  stranger({ headers }: { readonly headers: IncomingHttpHeaders }): Refusal | undefined {
    if (!this.#isOurs(headers.host ?? '')) {
      const message = `Use http://127.0.0.1 with the port of ${this.#from}.`;
      return { status: 403, code: 'FORBIDDEN', message };
    }
    const { origin } = headers;
    if (origin === undefined || (origin.startsWith('http://') && this.#isOurs(origin.slice('http://'.length)))) {
      return undefined;
    }
    return { status: 403, code: 'FORBIDDEN', message: 'Requests of other web pages are refused.' };
  }

  /** Whether this is the token. */
  holds(token: string | undefined): boolean {
    return token !== undefined && timingSafeEqual(digest(token), this.#token);
  }

  #isOurs(host: string): boolean {
    if (this.#hosts.has(host)) return true;
    const name = /^\[?([0-9a-fA-F.:]+?)\]?:(\d+)$/.exec(host);
    return this.#anyAddress && name !== null && isIP(name[1] ?? '') !== 0 && Number(name[2]) === this.#port;
  }
}

/** Of one length, so that comparing tells nothing about the token's. */
function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

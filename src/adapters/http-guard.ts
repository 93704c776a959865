import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** Why a request is refused before anything of it is looked at. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

const LOOPBACK = ['127.0.0.1', 'localhost', '[::1]'];

/**
 * Lets in only who holds the token, and no web page: a browser that was led to the port names another host (DNS
 * rebinding) or another origin.
 */
export class HttpGuard {
  readonly #hosts: ReadonlySet<string>;
  readonly #token: Buffer;

  constructor(port: number, token: string) {
    this.#hosts = new Set(LOOPBACK.map((host) => `${host}:${port}`));
    this.#token = digest(token);
  }

  /** `undefined`: the request may pass. */
  refusal({ headers }: IncomingMessage): Refusal | undefined {
    if (!this.#hosts.has(headers.host ?? '')) {
      return { status: 403, code: 'FORBIDDEN', message: 'Use http://127.0.0.1 with the port of serve.json.' };
    }
    const { origin } = headers;
    if (origin !== undefined && !this.#isOwn(origin)) {
      return { status: 403, code: 'FORBIDDEN', message: 'Requests of other web pages are refused.' };
    }
    const token = /^Bearer ([A-Za-z0-9_-]+)$/i.exec(headers.authorization ?? '')?.[1];
    if (token !== undefined && timingSafeEqual(digest(token), this.#token)) return undefined;
    const message = 'Send the token of serve.json in the data directory as "Authorization: Bearer <token>".';
    return { status: 401, code: 'UNAUTHORIZED', message };
  }

  #isOwn(origin: string): boolean {
    return origin.startsWith('http://') && this.#hosts.has(origin.slice('http://'.length));
  }
}

/** Of one length, so that comparing tells nothing about the token's. */
function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

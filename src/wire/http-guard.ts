import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';

/** The refusal of a request before it is read. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

/** The bearer of a token. */
export interface Bearer {
  /** The agent that the token stands for; `null` for the token of the server itself. */
  readonly agent: string | null;
}

/** The SHA-256 of the token of each agent. */
export type AgentTokens = ReadonlyMap<string, Uint8Array>;

/** Options of {@link HttpGuard}. */
export interface HttpGuardOptions {
  readonly port: number;
  /** Address of the listener. Default: loopback. */
  readonly host?: string | undefined;
  /** Further names of the machine that clients may use, with a port if it is another one. Default: none. */
  readonly hostNames?: readonly string[] | undefined;
  /** Set if the listener takes TLS only. Default false. */
  readonly isSecure?: boolean | undefined;
  readonly token: string;
  /** Returns the tokens of agents. Default: none. */
  readonly agentTokens?: (() => AgentTokens) | undefined;
  /** Names the source of token and port in messages. */
  readonly from: string;
}

/** A name or a bracketed address with a port, and no bare IPv6 address. */
const HAS_PORT = /^(\[.*\]|[^:]+):\d+$/;
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
  readonly #scheme: 'http://' | 'https://';
  readonly #token: Buffer;
  readonly #agentTokens: () => AgentTokens;
  readonly #from: string;

  constructor(options: HttpGuardOptions) {
    const { port, host = '127.0.0.1', hostNames = [], isSecure = false, token, from } = options;
    this.#anyAddress = !LOOPBACK.includes(host) && host !== '::1';
    const names = [...LOOPBACK, host, ...hostNames].map((name) => name.toLowerCase());
    // Clients leave out the port if it is that of the scheme.
    const bare = port === (isSecure ? 443 : 80) ? names : [];
    this.#hosts = new Set([...names.map((name) => (HAS_PORT.test(name) ? name : `${name}:${port}`)), ...bare]);
    this.#port = port;
    this.#scheme = isSecure ? 'https://' : 'http://';
    this.#token = tokenDigest(token);
    this.#agentTokens = options.agentTokens ?? (() => new Map());
    this.#from = from;
  }

  /** Returns the refusal of a request; `undefined` if it is admitted. */
  refusal(request: { readonly headers: IncomingHttpHeaders }): Refusal | undefined {
    const admitted = this.admit(request);
    return 'status' in admitted ? admitted : undefined;
  }

  /** Returns the bearer of a request's token, or the refusal of the request. */
  admit(request: { readonly headers: IncomingHttpHeaders }): Bearer | Refusal {
    const stranger = this.stranger(request);
    if (stranger !== undefined) return stranger;
    const bearer = this.bearer(/^Bearer ([A-Za-z0-9_-]+)$/i.exec(request.headers.authorization ?? '')?.[1]);
    if (bearer !== undefined) return bearer;
    const message = `Send the token of ${this.#from} as "Authorization: Bearer <token>".`;
    return { status: 401, code: 'UNAUTHORIZED', message };
  }

  /** Returns the refusal as {@link refusal} does, for paths that need no token. */
  stranger({ headers }: { readonly headers: IncomingHttpHeaders }): Refusal | undefined {
    if (!this.#isOurs(headers.host ?? '')) {
      const message = `Use ${this.#scheme}127.0.0.1 with the port of ${this.#from}.`;
      return { status: 403, code: 'FORBIDDEN', message };
    }
    const { origin } = headers;
    const scheme = this.#scheme;
    if (origin === undefined || (origin.startsWith(scheme) && this.#isOurs(origin.slice(scheme.length)))) {
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
    return token !== undefined && timingSafeEqual(tokenDigest(token), this.#token);
  }

  /**
   * Returns the bearer of a token; `undefined` if there is no such token. Compares the token with every known one, each
   * in constant time, so that the time does not depend on which of them it resembles.
   */
  bearer(token: string | undefined): Bearer | undefined {
    if (token === undefined) return undefined;
    const digest = tokenDigest(token);
    let bearer: Bearer | undefined = timingSafeEqual(digest, this.#token) ? { agent: null } : undefined;
    for (const [agent, expected] of this.#agentTokens()) {
      if (timingSafeEqual(digest, expected)) bearer ??= { agent };
    }
    return bearer;
  }

  #isOurs(host: string): boolean {
    if (this.#hosts.has(host.toLowerCase())) return true;
    const name = /^\[?([0-9a-fA-F.:]+?)\]?:(\d+)$/.exec(host);
    return this.#anyAddress && name !== null && isIP(name[1] ?? '') !== 0 && Number(name[2]) === this.#port;
  }
}

/** Returns a hash of fixed length, so that the comparison does not reveal the length of the token. */
export function tokenDigest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

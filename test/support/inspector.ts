import { onTestFinished, vi } from 'vitest';
import { WebSocket } from 'ws';
import { AgentContextCache, type CacheOptions } from '../../src/index.ts';
import { type ClientMessage, LIVE_PROTOCOL, type ServerMessage } from '../../src/inspector/live-protocol.ts';
import type { Addresses, ErrorAnswer } from '../../src/inspector/protocol.ts';
import { type Inspector, type InspectorOptions, startInspector } from '../../src/inspector.ts';

// Some tests send hundreds of requests, and the machine may be slow.
vi.setConfig({ testTimeout: 240_000 });

/** An inspector, with the requests of a page. */
export class Looking {
  readonly inspector: Inspector;

  constructor(inspector: Inspector) {
    this.inspector = inspector;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.inspector.port}`;
  }

  /** Fetches a path, with the token unless other headers are given. */
  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = init.headers ?? {
      authorization: `Bearer ${this.inspector.token}`,
      'content-type': 'application/json',
    };
    return fetch(this.origin + path, { ...init, headers });
  }

  /** Returns the answer of an address; fails if it is an error. */
  async ask<Address extends keyof Addresses>(
    address: Address,
    given: Readonly<Record<string, unknown>> = {},
  ): Promise<Addresses[Address]> {
    const { status, body } = await this.answer(address, given);
    if (status !== 200) throw new Error(`${address}: ${status} ${JSON.stringify(body)}`);
    return body as Addresses[Address];
  }

  /** Returns status and error of an address that refuses. */
  async refused(
    address: keyof Addresses,
    given: Readonly<Record<string, unknown>> = {},
  ): Promise<ErrorAnswer['error'] & { status: number }> {
    const { status, body } = await this.answer(address, given);
    if (status === 200) throw new Error(`${address} answered ${JSON.stringify(body)}`);
    return { ...(body as ErrorAnswer).error, status };
  }

  async answer(address: string, given: Readonly<Record<string, unknown>>): Promise<{ status: number; body: unknown }> {
    const [method = 'GET', path = ''] = address.split(' ');
    const query = new URLSearchParams();
    if (method === 'GET') {
      for (const [name, value] of Object.entries(given)) {
        for (const each of [value].flat()) if (each !== undefined) query.append(name, String(each));
      }
    }
    const init = method === 'GET' ? {} : { method, body: JSON.stringify(given) };
    const response = await this.fetch(`${path}?${query}`, init);
    return { status: response.status, body: await response.json() };
  }

  /** Connects as the page does. */
  async live(): Promise<Live> {
    const protocols = [LIVE_PROTOCOL, `token.${this.inspector.token}`];
    const live = new Live(new WebSocket(`ws://127.0.0.1:${this.inspector.port}/api/live`, protocols));
    onTestFinished(() => live.close());
    await live.next('hello');
    return live;
  }
}

/** The WebSocket of a page. */
export class Live {
  readonly socket: WebSocket;
  readonly messages: ServerMessage[] = [];
  #wake: () => void = () => {};

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data) => {
      this.messages.push(JSON.parse(String(data)));
      this.#wake();
    });
    socket.on('close', () => this.#wake());
    socket.on('error', () => this.#wake());
  }

  send(message: ClientMessage): void {
    this.socket.send(JSON.stringify(message));
  }

  /** Waits for the first message of this type that fits, and removes it. */
  async next<Type extends ServerMessage['type']>(
    type: Type,
    fits: (message: Extract<ServerMessage, { type: Type }>) => boolean = () => true,
  ): Promise<Extract<ServerMessage, { type: Type }>> {
    for (;;) {
      const index = this.messages.findIndex((message) => message.type === type && fits(message as never));
      if (index >= 0) return this.messages.splice(index, 1)[0] as never;
      if (this.socket.readyState > WebSocket.OPEN) throw new Error(`closed while it waited for ${type}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  close(): Promise<void> {
    if (this.socket.readyState === WebSocket.CLOSED) return Promise.resolve();
    const closed = new Promise<void>((resolve) => this.socket.once('close', () => resolve()));
    this.socket.close();
    return closed;
  }
}

/** Opens a cache in memory and its inspector; both end with the test. */
export async function look(
  options: InspectorOptions = {},
  cacheOptions: CacheOptions = {},
): Promise<{ cache: AgentContextCache; looking: Looking }> {
  const cache = new AgentContextCache(cacheOptions);
  onTestFinished(async () => void (await cache.shutdown()));
  return { cache, looking: await lookAt(cache, options) };
}

/** Repeats the attempt until it succeeds; the machine may be busy. */
export function waitFor<Result>(attempt: () => Result | Promise<Result>): Promise<Result> {
  return vi.waitFor(attempt, { timeout: 40_000, interval: 20 });
}

/** Starts an inspector of a cache. */
export async function lookAt(cache: AgentContextCache, options: InspectorOptions = {}): Promise<Looking> {
  return new Looking(await startInspector(cache, options));
}

import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket, connect as tcp } from 'node:net';

/**
 * The state of a proxy. `held`: connections stay open, and nothing passes. `cut`: they end, and new ones are refused. `brief`: new ones
 * end as soon as the client subscribes to something.
 */
export type ProxyState = 'open' | 'held' | 'cut' | 'brief';

/** A TCP proxy in front of a server, with which a test cuts or holds the connection between a node and a server. */
export class TcpProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #state: ProxyState = 'open';
  #heldAt: { readonly text: string; readonly reached: () => void } | undefined;
  /** Number of connections so far. */
  count = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Starts a proxy on a port of its own. */
  static async start(targetPort: number): Promise<TcpProxy> {
    const server = createServer();
    const proxy = new TcpProxy(server);
    server.on('connection', (inner) => proxy.#accept(inner, targetPort));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  set(state: ProxyState): void {
    this.#state = state;
    for (const socket of this.#sockets) {
      if (state === 'cut') socket.destroy();
      else if (state === 'held') socket.pause();
      else socket.resume();
    }
  }

  /** Holds all connections as soon as a client sends this text, which does not pass. Resolves then. */
  holdAt(text: string): Promise<void> {
    return new Promise((reached) => {
      this.#heldAt = { text, reached };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.set('cut');
    this.#server.close();
    await once(this.#server, 'close');
  }

  #accept(inner: Socket, targetPort: number): void {
    this.count += 1;
    if (this.#state === 'cut') {
      inner.destroy();
      return;
    }
    const outer = tcp(targetPort, '127.0.0.1');
    if (this.#state === 'brief') {
      inner.on('data', (bytes) => {
        if (bytes.includes('SUB')) inner.destroy();
      });
    }
    for (const [from, to] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      this.#sockets.add(from);
      from.on('data', (bytes) => {
        if (from === inner && this.#isEnd(bytes)) this.set('held');
        else to.write(bytes);
      });
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      if (this.#state === 'held') from.pause();
    }
  }

  /** Returns whether bytes of a client have the text at which everything is held. */
  #isEnd(bytes: Buffer): boolean {
    if (this.#heldAt === undefined || !bytes.includes(this.#heldAt.text)) return false;
    this.#heldAt.reached();
    this.#heldAt = undefined;
    return true;
  }
}

import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net';

export type Direction = 'toServer' | 'toClient';

/** A requested cut: the bytes that still pass, and the callback. */
interface Cut {
  room: number;
  readonly done: () => void;
}

/**
 * Carries bytes between clients and a server on this machine, and disturbs them on request. A disturbance applies to
 * present and future connections.
 *
 * @example
 * ```ts
 * await using proxy = await FaultProxy.to(redis.port);
 * await proxy.cutAfter('toClient', 17); // resolves once a reply has been cut in two
 * ```
 */
export class FaultProxy implements AsyncDisposable {
  /** Number of bytes that have passed. */
  readonly passed: Record<Direction, number> = { toServer: 0, toClient: 0 };
  /** Number of connections that were accepted. */
  accepted = 0;
  readonly #target: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #cuts: Record<Direction, Cut | undefined> = { toServer: undefined, toClient: undefined };
  #refusing = false;
  #delayMs = 0;
  #stalled: Promise<void> | undefined;
  /** Set if new connections are exempt from the stall. */
  #newFlow = false;
  #flow = () => {};

  static async to(port: number): Promise<FaultProxy> {
    const proxy = new FaultProxy(port);
    await once(proxy.#server.listen(0, '127.0.0.1'), 'listening');
    return proxy;
  }

  private constructor(port: number) {
    this.#target = port;
    this.#server = createServer((client) => this.#accept(client));
  }

  /** Port of the server. */
  get target(): number {
    return this.#target;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Returns the URL of the server with this proxy's address. */
  instead(url: string): string {
    return url.replace(/:\d+$/, `:${this.port}`);
  }

  /** Passes this many bytes in one direction, then ends the connection that carries the next one. Resolves then. */
  cutAfter(direction: Direction, bytes: number): Promise<void> {
    return new Promise((done) => {
      this.#cuts[direction] = { room: bytes, done };
    });
  }

  /** Accepts connections and passes nothing. Data that arrives meanwhile passes later, even if its sender has left. */
  stall(): void {
    this.#stalled ??= new Promise((resolve) => {
      this.#flow = resolve;
    });
  }

  /** Stalls the present connections only; new ones flow. */
  hold(): void {
    this.stall();
    this.#newFlow = true;
  }

  /** Delays every piece by this time. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  /** Ends all connections, and every new one at once. */
  refuse(): void {
    this.#refusing = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Carries everything again, at once. */
  heal(): void {
    this.#refusing = false;
    this.#delayMs = 0;
    this.#cuts.toServer = undefined;
    this.#cuts.toClient = undefined;
    this.#stalled = undefined;
    this.#newFlow = false;
    this.#flow();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.refuse();
    this.#flow();
    this.#server.close();
  }

  #accept(client: Socket): void {
    this.accepted += 1;
    if (this.#refusing) {
      client.destroy();
      return;
    }
    const upstream = createConnection(this.#target, '127.0.0.1');
    for (const socket of [client, upstream]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      // Readers of the connection are notified too.
      socket.on('error', () => {});
      socket.once('close', () => this.#sockets.delete(socket));
    }
    // Belongs to this stall only.
    const spared = this.#newFlow ? this.#stalled : undefined;
    void this.#carry(client, upstream, 'toServer', spared);
    void this.#carry(upstream, client, 'toClient', spared);
  }

  async #carry(from: Socket, to: Socket, direction: Direction, spared: Promise<void> | undefined): Promise<void> {
    try {
      for await (const chunk of from) {
        if (this.#stalled !== spared) await this.#stalled;
        if (this.#delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.#delayMs));
        if (!(await this.#pass(chunk as Buffer, from, to, direction))) return;
      }
      to.end();
    } catch {
      to.destroy();
    }
  }

  /** Returns whether the connection goes on. */
  async #pass(chunk: Buffer, from: Socket, to: Socket, direction: Direction): Promise<boolean> {
    const cut = this.#cuts[direction];
    if (cut !== undefined && cut.room < chunk.length) {
      this.#cuts[direction] = undefined;
      await this.#write(to, chunk.subarray(0, cut.room), direction);
      to.destroy();
      from.destroy();
      cut.done();
      return false;
    }
    if (cut !== undefined) cut.room -= chunk.length;
    return this.#write(to, chunk, direction);
  }

  #write(to: Socket, bytes: Buffer, direction: Direction): Promise<boolean> {
    return new Promise((resolve) => {
      to.write(bytes, (error) => {
        if (!error) this.passed[direction] += bytes.length;
        resolve(!error);
      });
    });
  }
}

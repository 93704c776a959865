import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net';

export type Direction = 'toServer' | 'toClient';

/** A cut that has been ordered: what still passes before it, and whom to tell. */
interface Cut {
  room: number;
  readonly done: () => void;
}

/**
 * Carries bytes between clients and a server on this machine, and can be told to do it badly. What it is told holds for
 * the connections there are and for those to come.
 *
 * @example
 * ```ts
 * await using proxy = await FaultProxy.to(redis.port);
 * await proxy.cutAfter('toClient', 17); // resolves once a reply has been cut in two
 * ```
 */
export class FaultProxy implements AsyncDisposable {
  /** Bytes that have passed. */
  readonly passed: Record<Direction, number> = { toServer: 0, toClient: 0 };
  /** Connections that have been accepted. */
  accepted = 0;
  readonly #target: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #cuts: Record<Direction, Cut | undefined> = { toServer: undefined, toClient: undefined };
  #refusing = false;
  #delayMs = 0;
  #stalled: Promise<void> | undefined;
  /** Whether new connections are spared the stall. */
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

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The URL of the server with this proxy in place of it. */
  instead(url: string): string {
    return url.replace(/:\d+$/, `:${this.port}`);
  }

  /** Lets so many bytes pass in one direction, then ends the connection that carries the next one. Resolves then. */
  cutAfter(direction: Direction, bytes: number): Promise<void> {
    return new Promise((done) => {
      this.#cuts[direction] = { room: bytes, done };
    });
  }

  /** Accepts connections and passes nothing. What comes meanwhile passes later, even if its sender has gone by then. */
  stall(): void {
    this.#stalled ??= new Promise((resolve) => {
      this.#flow = resolve;
    });
  }

  /** As {@link stall}, for the connections there are; new ones flow. */
  hold(): void {
    this.stall();
    this.#newFlow = true;
  }

  /** Every piece waits so long before it passes. */
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
      // Told to whoever reads from it, too.
      socket.on('error', () => {});
      socket.once('close', () => this.#sockets.delete(socket));
    }
    // Of this stall only.
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

  /** Whether the connection goes on. */
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

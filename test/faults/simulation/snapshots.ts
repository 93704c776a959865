import type { Clock } from '../../../src/core/clock.ts';
import { withDeadline } from '../../../src/core/deadline.ts';
import { MemorySnapshotStore } from '../../../src/followers/backup/memory-snapshot-store.ts';
import type { SnapshotStore } from '../../../src/followers/backup/snapshot-store.ts';
import { Server, type SimConnection } from './network.ts';

/** A store of snapshots that loses nothing it has taken. */
export class SnapshotServer extends Server {
  readonly blobs = new Map<string, Uint8Array>();

  constructor() {
    super('snapshots');
  }

  protected override lose(): void {}

  /** Copies the content, for a restore. */
  async copy(): Promise<SnapshotStore> {
    const store = new MemorySnapshotStore();
    for (const [name, bytes] of this.blobs) await store.put(name, bytes);
    return store;
  }
}

/** The store of one process: calls the server over the network, over a new connection after each failure. */
export class SimSnapshotStore implements SnapshotStore {
  readonly description = 'simulated snapshots';
  readonly #server: SnapshotServer;
  readonly #open: () => SimConnection;
  readonly #clock: Clock;
  #connection: SimConnection | undefined;

  constructor(server: SnapshotServer, open: () => SimConnection, clock: Clock) {
    this.#server = server;
    this.#open = open;
    this.#clock = clock;
  }

  async put(name: string, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    // The name of a part is the hash of its content, that of a manifest its instant and position.
    await this.#call(`put ${name}`, () => this.#server.blobs.set(name, bytes.slice()), signal);
  }

  get(name: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#call(`get ${name}`, () => this.#server.blobs.get(name)?.slice(), signal);
  }

  has(names: readonly string[], signal?: AbortSignal): Promise<boolean[]> {
    return this.#call('has', () => names.map((name) => this.#server.blobs.has(name)), signal);
  }

  list(prefix: string, signal?: AbortSignal): Promise<string[]> {
    return this.#call(
      'list',
      () => [...this.#server.blobs.keys()].filter((name) => name.startsWith(prefix)).sort(),
      signal,
    );
  }

  async remove(names: readonly string[], signal?: AbortSignal): Promise<void> {
    await this.#call(
      `remove ${names.join()}`,
      () => names.forEach((name) => void this.#server.blobs.delete(name)),
      signal,
    );
  }

  async close(): Promise<void> {
    this.#connection?.close();
  }

  #call<T>(what: string, run: () => T, signal?: AbortSignal): Promise<T> {
    if (this.#connection === undefined || this.#connection.broken !== undefined) this.#connection = this.#open();
    const connection = this.#connection;
    const called = withDeadline(() => connection.call(what, run), {
      what,
      timeoutMs: 2_000,
      clock: this.#clock,
      signal,
    });
    // After a time-out, calls under way have an unknown outcome.
    called.catch(() => connection.close());
    return called;
  }
}

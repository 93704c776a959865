import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectTo } from 'node:net';
import { join } from 'node:path';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NodeConnectionOptions } from '@nats-io/transport-node';
import { end, freePort, freeze, launch, PortTakenError } from '../../support/server-process.ts';
import { removeTempDir, tempDir } from '../../support/temp-dir.ts';

/** One server of a {@link NatsCluster}, a process of its own with a directory of its own. */
export interface NatsNode {
  readonly name: string;
  readonly url: string;
  readonly port: number;
  /** Address of the monitoring port. */
  readonly monitor: string;
  readonly dir: string;
  /** Sends SIGKILL and waits for the end of the process. */
  kill(): Promise<void>;
  /** Sends SIGTERM and waits for the end of the process. */
  stop(): Promise<void>;
  /** Starts the server again on its directory. */
  start(): Promise<void>;
  /** Stops all threads: connections stay open and nothing answers. */
  pause(): void;
  resume(): void;
}

/** How to start the servers. */
export interface NatsClusterOptions {
  /** Program of nats-server. */
  readonly program: string;
  /** Default 3. With 1 the server is not clustered. */
  readonly size?: number;
  /** Text that is added to each configuration, such as `accounts { … }`. */
  readonly config?: string;
  /** Value of `sync_interval`. Default: that of the server. */
  readonly sync?: 'always';
  /** Bytes that the streams of each server may reserve. Default: a part of the disk. */
  readonly space?: readonly number[];
}

/** Real nats-servers with JetStream that form one cluster. Disposal kills them and removes their files. */
export class NatsCluster implements AsyncDisposable {
  readonly nodes: readonly NatsNode[];
  readonly #home: string;

  private constructor(nodes: readonly NatsNode[], home: string) {
    this.nodes = nodes;
    this.#home = home;
  }

  /** Starts the servers. Resolves once each answers and JetStream counts all of them. */
  static async start(options: NatsClusterOptions): Promise<NatsCluster> {
    const { size = 3 } = options;
    for (let attempt = 1; ; attempt += 1) {
      const home = await tempDir('nats-cluster');
      const ports = await Promise.all(Array.from({ length: 3 * size }, freePort));
      const cluster = new NatsCluster(
        Array.from({ length: size }, (_, index) => new Server(index, ports, home, options)),
        home,
      );
      const starts = await Promise.allSettled(cluster.nodes.map((node) => node.start()));
      const failure = starts.find((start) => start.status === 'rejected')?.reason ?? (await cluster.#unmet());
      if (failure === undefined) return cluster;
      await cluster[Symbol.asyncDispose]();
      if (attempt < 5 && (failure instanceof PortTakenError || failure instanceof ServerLeftOutError)) continue;
      throw failure;
    }
  }

  /** Waits until each server is a member of JetStream's group. Returns an error if one is left out of it for good. */
  async #unmet(): Promise<ServerLeftOutError | undefined> {
    const size = this.nodes.length;
    if (size === 1) return;
    const deadline = performance.now() + DEADLINE_MS;
    let ledUntil = Number.POSITIVE_INFINITY;
    while (performance.now() < deadline) {
      const groups = await Promise.all(this.nodes.map(groupOf));
      const led = groups.find((group) => group?.replicas !== undefined);
      if (led?.replicas?.filter(({ offline = false }) => !offline).length === size - 1) return;
      // A group that has a leader takes the others within a second, or never.
      if (led !== undefined) ledUntil = Math.min(ledUntil, performance.now() + LEFT_OUT_MS);
      if (performance.now() > ledUntil) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return new ServerLeftOutError();
  }

  /** URLs of all servers. */
  get urls(): string[] {
    return this.nodes.map(({ url }) => url);
  }

  get monitors(): string[] {
    return this.nodes.map(({ monitor }) => monitor);
  }

  /** Connects to the servers and lends the manager of JetStream. */
  async manage<Result>(
    work: (manager: JetStreamManager) => Promise<Result>,
    login: Partial<NodeConnectionOptions> = {},
  ): Promise<Result> {
    const connection = await connect({ servers: this.urls, ignoreClusterUpdates: true, ...login });
    try {
      return await work(await jetstreamManager(connection, { checkAPI: false, timeout: 5_000 }));
    } finally {
      await connection.close();
    }
  }

  /** Returns the server that leads a stream. */
  async leader(stream: string, login?: Partial<NodeConnectionOptions>): Promise<NatsNode> {
    const name = await eventually(() =>
      this.manage(async (manager) => (await manager.streams.info(stream)).cluster?.leader, login),
    );
    const found = this.nodes.find((node) => node.name === name) ?? this.nodes[0];
    if (found === undefined) throw new Error('The cluster has no servers.');
    return found;
  }

  /** Waits until each server has the whole stream. */
  async current(stream: string): Promise<void> {
    await eventually(async () => {
      const { cluster } = await this.manage((manager) => manager.streams.info(stream));
      const current = cluster?.replicas?.filter((replica) => replica.current && !replica.offline);
      return current?.length === this.nodes.length - 1 ? true : undefined;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
    removeTempDir(this.#home);
  }
}

/** Copies the directory of a stopped server. */
export function copyOf(node: NatsNode): { readonly restore: () => void } {
  const copy = `${node.dir}.copy`;
  rmSync(copy, { recursive: true, force: true });
  cpSync(node.dir, copy, { recursive: true });
  return {
    restore: () => {
      rmSync(node.dir, { recursive: true, force: true });
      cpSync(copy, node.dir, { recursive: true });
    },
  };
}

/** Milliseconds: a busy machine takes ten times as long as a quiet one to elect its leaders. */
const DEADLINE_MS = 90_000;
/** Milliseconds after which a server that JetStream's leader does not know is taken for left out. */
const LEFT_OUT_MS = 10_000;

/** Repeats work until it gives a value, because a cluster that has just started has no leader yet. */
export async function eventually<Result>(work: () => Promise<Result | undefined>): Promise<Result> {
  const deadline = performance.now() + DEADLINE_MS;
  for (let failure: unknown; ; ) {
    try {
      const result = await work();
      if (result !== undefined) return result;
    } catch (error) {
      failure = error;
    }
    if (performance.now() > deadline) throw failure ?? new Error('Nothing came in time.');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/**
 * A server that is started together with the others is left out of JetStream's group by nats-server 2.10 in one of some hundred starts, for
 * as long as it runs.
 */
class ServerLeftOutError extends Error {
  constructor() {
    super('A server was left out of the group of JetStream.');
  }
}

/** What a server knows about JetStream's group; only its leader knows the replicas. */
interface Group {
  readonly replicas?: readonly { readonly name: string; readonly offline?: boolean }[];
}

async function groupOf({ monitor }: NatsNode): Promise<Group | undefined> {
  const response = await fetch(`${monitor}/jsz`);
  return ((await response.json()) as { meta_cluster?: Group }).meta_cluster;
}

class Server implements NatsNode {
  readonly name: string;
  readonly url: string;
  readonly port: number;
  readonly monitor: string;
  readonly dir: string;
  readonly #program: string;
  readonly #home: string;
  #child: ChildProcess | undefined;

  constructor(index: number, ports: readonly number[], home: string, options: NatsClusterOptions) {
    const { program, size = 3, config = '', sync, space } = options;
    this.name = `n${index + 1}`;
    const [port, route, http] = ports.slice(3 * index) as [number, number, number];
    this.port = port;
    this.url = `nats://127.0.0.1:${port}`;
    this.monitor = `http://127.0.0.1:${http}`;
    this.#program = program;
    this.#home = join(home, this.name);
    this.dir = join(this.#home, 'data');
    mkdirSync(this.dir, { recursive: true });
    const routes = Array.from({ length: size }, (_, other) => `nats-route://127.0.0.1:${ports[3 * other + 1]}`);
    const clustered = `cluster { name: test, listen: "127.0.0.1:${route}", routes: [${routes.join(', ')}] }`;
    const limit = space === undefined ? '' : `, max_file_store: ${space[index]}`;
    const text = [
      `server_name: ${this.name}`,
      `listen: "127.0.0.1:${port}"`,
      `http: "127.0.0.1:${http}"`,
      `jetstream { store_dir: "${this.dir}"${sync === undefined ? '' : `, sync_interval: ${sync}`}${limit} }`,
      size === 1 ? '' : clustered,
      config,
    ];
    writeFileSync(join(this.#home, 'nats.conf'), text.join('\n'));
  }

  async start(): Promise<void> {
    this.#child = await launch({
      program: this.#program,
      args: ['-c', join(this.#home, 'nats.conf')],
      logFile: join(this.#home, 'server.log'),
      answers: () => this.#answers(),
    });
  }

  async kill(): Promise<void> {
    if (this.#child !== undefined) await end(this.#child, 'SIGKILL');
  }

  async stop(): Promise<void> {
    if (this.#child !== undefined) await end(this.#child, 'SIGTERM');
  }

  pause(): void {
    if (this.#child === undefined || !freeze(this.#child)) throw new Error(`The server ${this.name} does not run.`);
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  async #answers(): Promise<boolean> {
    try {
      const response = await fetch(`${this.monitor}/varz`, { signal: AbortSignal.timeout(1_000) });
      const { server_name: name } = (await response.json()) as { server_name?: string };
      if (name !== this.name) return false;
      // The port for clients is opened after that of the monitor.
      const socket = connectTo(this.port, '127.0.0.1');
      await once(socket, 'connect').finally(() => socket.destroy());
      return true;
    } catch {
      return false;
    }
  }
}

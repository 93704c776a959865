import type { ChildProcess } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { dirname, join } from 'node:path';
import { end, findProgram, freePort, freeze, launch, PortTakenError, type ServerKind } from './server-process.ts';
import { removeTempDir, tempDir } from './temp-dir.ts';

/** A real server process of a test. */
export interface TestServer extends AsyncDisposable {
  /** `redis://127.0.0.1:port` or `nats://127.0.0.1:port`. */
  readonly url: string;
  readonly port: number;
  /** Id of the running process; changes with {@link restart}. */
  readonly pid: number;
  /** The server's data directory. */
  readonly dir: string;
  /** The server's log since its last start. */
  readonly logFile: string;
  /** Sends SIGTERM and waits for the end of the process. */
  stop(): Promise<void>;
  /** Sends SIGKILL and waits for the end of the process. */
  kill(): Promise<void>;
  /** Sends SIGSTOP: connections stay open and nothing answers. */
  pause(): void;
  resume(): void;
  /** Starts the server again on the same port and directory; stops it first if it runs. */
  restart(): Promise<void>;
}

export interface RedisOptions {
  /** More arguments, such as `['--maxmemory', '1mb']`. They win over the defaults (no persistence). */
  readonly args?: readonly string[];
  /** Default: a temporary directory of its own, removed on disposal. */
  readonly dir?: string;
  /** Default: a free one. */
  readonly port?: number;
}

export interface NatsOptions {
  /** Default true. */
  readonly jetstream?: boolean;
  /** Text of a configuration file, such as `max_payload: 1024`. */
  readonly config?: string;
  /** Default: a temporary directory of its own, removed on disposal. JetStream keeps its streams there. */
  readonly dir?: string;
  /** Default: a free one. */
  readonly port?: number;
}

/** Starts a redis-server without persistence that answers when the promise resolves. */
export function startRedis(options: RedisOptions = {}): Promise<TestServer> {
  const program = requireProgram('redis-server', 'REDIS_SERVER');
  return start('redis', options, (port, dir, home) => ({
    program,
    args: [
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', dir],
      ...['--save', '', '--appendonly', 'no', '--daemonize', 'no'],
      ...(options.args ?? []),
    ],
    logFile: join(home, 'server.log'),
    answers: async (pid) => {
      const reply = await converse(port, 'PING\r\nINFO server\r\n', /process_id:\d+|-NOAUTH|-DENIED/);
      // A server with a password does not reveal its process id; the port was free, so it is ours.
      return /-NOAUTH|-DENIED/.test(reply) || reply.includes(`process_id:${pid}\r`);
    },
  }));
}

/** Starts a nats-server, by default with JetStream, that answers when the promise resolves. */
export function startNats(options: NatsOptions = {}): Promise<TestServer> {
  const program = requireProgram('nats-server', 'NATS_SERVER');
  return start('nats', options, (port, dir, home) => {
    const name = `test-${process.pid}-${port}`;
    const { jetstream = true, config } = options;
    const configFile = join(home, CONFIG_FILE);
    // In the file, because arguments do not survive a reload. In its first line: see `reloadNats`.
    const head = `server_name: "${name}" ${jetstream ? `; jetstream { store_dir: "${dir}" }` : ''}`;
    writeFileSync(configFile, `${head}\n${config ?? ''}`);
    return {
      program,
      args: [...['-a', '127.0.0.1', '-p', String(port)], ...['-c', configFile]],
      logFile: join(home, 'server.log'),
      answers: async () => (await converse(port, '', /\r\n/)).includes(`"server_name":"${name}"`),
    };
  });
}

const CONFIG_FILE = 'nats.conf';

/** Reloads a running nats-server with another `config` by signal; resolves once it is in effect. */
export async function reloadNats(server: TestServer, config: string): Promise<void> {
  const file = join(dirname(server.logFile), CONFIG_FILE);
  const [head] = readFileSync(file, 'utf8').split('\n', 1);
  writeFileSync(file, `${head}\n${config}`);
  const logged = () => readFileSync(server.logFile, 'utf8');
  const before = logged().length;
  process.kill(server.pid, 'SIGHUP');
  for (let news = ''; !news.includes('Reloaded server configuration'); news = logged().slice(before)) {
    if (news.includes('Failed to reload')) throw new Error(`nats-server did not take the configuration: ${news}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function requireProgram(name: string, variable: string): string {
  const program = findProgram(name, process.env[variable]);
  if (program !== undefined) return program;
  throw new Error(`${name} was not found: run "node scripts/test-servers.mjs", or set ${variable} to its path.`);
}

type MakeKind = (port: number, dir: string, home: string) => ServerKind;

/** Attempts with another port, or with the same one, after another process has just taken it. */
const PORT_ATTEMPTS = 8;

async function start(
  scheme: 'redis' | 'nats',
  options: { readonly dir?: string; readonly port?: number },
  make: MakeKind,
): Promise<TestServer> {
  const home = await tempDir(scheme);
  const dir = options.dir ?? join(home, 'data');
  await mkdir(dir, { recursive: true });
  for (let attempt = 1; ; attempt += 1) {
    const port = options.port ?? (await freePort());
    const kind = make(port, dir, home);
    try {
      const child = options.port === undefined ? await launch(kind) : await relaunch(kind);
      return new RunningServer(scheme, port, dir, home, kind, child);
    } catch (error) {
      if (error instanceof PortTakenError && options.port === undefined && attempt < PORT_ATTEMPTS) continue;
      removeTempDir(home);
      throw error;
    }
  }
}

/** Milliseconds between attempts on a given port: its holder may be ending. */
async function relaunch(kind: ServerKind): Promise<ChildProcess> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await launch(kind);
    } catch (error) {
      if (!(error instanceof PortTakenError) || attempt >= PORT_ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50 * attempt));
    }
  }
}

class RunningServer implements TestServer {
  readonly url: string;
  readonly port: number;
  readonly dir: string;
  readonly logFile: string;
  readonly #home: string;
  readonly #kind: ServerKind;
  #child: ChildProcess;

  constructor(scheme: string, port: number, dir: string, home: string, kind: ServerKind, child: ChildProcess) {
    this.url = `${scheme}://127.0.0.1:${port}`;
    this.port = port;
    this.dir = dir;
    this.logFile = kind.logFile;
    this.#home = home;
    this.#kind = kind;
    this.#child = child;
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  stop(): Promise<void> {
    return end(this.#child, 'SIGTERM');
  }

  kill(): Promise<void> {
    return end(this.#child, 'SIGKILL');
  }

  pause(): void {
    if (!freeze(this.#child)) throw new Error(`The server ${this.url} does not run, so it cannot be stopped.`);
  }

  resume(): void {
    this.#signal('SIGCONT');
  }

  async restart(): Promise<void> {
    await this.stop();
    this.#child = await relaunch(this.#kind);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    removeTempDir(this.#home);
  }

  #signal(signal: NodeJS.Signals): void {
    if (!this.#child.kill(signal)) throw new Error(`The server ${this.url} does not run, so it cannot get ${signal}.`);
  }
}

/** Connects, sends `text` and returns the answer up to a match, or up to the failure of the connection. */
function converse(port: number, text: string, until: RegExp): Promise<string> {
  return new Promise((resolve) => {
    let reply = '';
    const socket = createConnection({ port, host: '127.0.0.1' });
    const done = () => {
      socket.destroy();
      resolve(reply);
    };
    socket.setTimeout(2_000, done);
    socket.on('error', done).on('close', done);
    socket.on('connect', () => {
      if (text !== '') socket.write(text);
    });
    socket.on('data', (chunk) => {
      reply += chunk.toString('latin1');
      if (until.test(reply)) done();
    });
  });
}

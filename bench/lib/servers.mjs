import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const START_TIMEOUT_MS = 20_000;
/** The server must not disconnect a subscriber that is slower than the publisher. */
const NATS_CONFIG = 'max_pending: 1GB\nwrite_deadline: "60s"\n';

/** Finds a server's program by its environment variable, on PATH, or where scripts/test-servers.mjs has put it. */
function findProgram(name) {
  const override = process.env[name.toUpperCase().replace('-', '_')];
  if (override) return override;
  const fetched = join(import.meta.dirname, '../../node_modules/.cache/test-servers/bin');
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', fetched];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Returns the server's version, or `undefined` if the program is missing. */
export function versionOfServer(name) {
  const program = findProgram(name);
  if (program === undefined) return undefined;
  const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  return /v=?(\d[\w.]*)/.exec(stdout ?? '')?.[1] ?? stdout?.trim();
}

const KINDS = {
  redis: (port, dir, args) => ({
    name: 'redis-server',
    args: ['--port', port, '--bind', '127.0.0.1', '--dir', dir, '--save', '', '--appendonly', 'no', ...args],
    ask: 'PING\r\n',
    answer: '+PONG',
  }),
  nats: (port, dir, args) => {
    const config = join(dir, 'nats.conf');
    writeFileSync(config, NATS_CONFIG);
    return {
      name: 'nats-server',
      args: ['-a', '127.0.0.1', '-p', port, '-c', config, ...args],
      ask: '',
      answer: 'INFO',
    };
  },
};

/** Starts a server on a free port with its files in `dir`. Returns `undefined` if the program is missing. */
export async function startServer(kind, dir, args = []) {
  const port = await freePort();
  const { name, args: all, ask, answer } = KINDS[kind](String(port), dir, args);
  const program = findProgram(name);
  if (program === undefined) return undefined;
  const child = spawn(program, all, { stdio: 'ignore' });
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (!(await answers(port, ask, answer))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      kill();
      throw new Error(`${name} did not come up (exit code ${child.exitCode}).`);
    }
    await sleep(20);
  }
  return {
    url: `${kind}://127.0.0.1:${port}`,
    async stop() {
      process.off('exit', kill);
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      kill();
      await gone;
    },
  };
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

function answers(port, ask, answer) {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: '127.0.0.1' });
    const done = (result) => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(1_000, () => done(false));
    socket.on('error', () => done(false)).on('close', () => done(false));
    socket.on('connect', () => ask && socket.write(ask));
    socket.on('data', (data) => done(data.toString().startsWith(answer)));
  });
}

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const START_TIMEOUT_MS = 60_000;

/** The nats-server of the line 2.15: by NATS_SERVER_2_15, or where scripts/test-servers.mjs has put it. */
const PROGRAM =
  process.env.NATS_SERVER_2_15 ||
  join(import.meta.dirname, '../../../node_modules/.cache/test-servers/nats/2.15/nats-server');

/** Returns why no cluster of servers can be started; `undefined` if one can. */
export function missingNats() {
  if (existsSync(PROGRAM)) return undefined;
  return 'no nats-server 2.15: run node scripts/test-servers.mjs, or name one in NATS_SERVER_2_15';
}

/** Returns the version of the servers of a cluster. */
export function natsVersion() {
  return /v(\d+\.\d+\.\d+)/.exec(spawnSync(PROGRAM, ['--version'], { encoding: 'utf8' }).stdout ?? '')?.[1];
}

/**
 * Starts servers with JetStream that form a cluster, with their files in `dir`, and creates the stream of the cluster `name`.
 * `syncAlways`: each write is synced before it is acknowledged.
 */
export async function startNatsCluster({ dir, name, size = 3, syncAlways = false }) {
  const { createCluster } = await import('../ours.mjs');
  const ports = await freePorts(3 * size);
  const servers = Array.from({ length: size }, (_, index) => serverOf(index, { ports, size, dir, syncAlways }));
  process.on('exit', () => {
    for (const server of servers) server.kill();
  });
  await Promise.all(servers.map((server) => server.start()));
  const urls = servers.map(({ url }) => url);
  await repeated(() => createCluster({ servers: urls, name, replicas: size, maxBytes: 8 * 1024 ** 3 }));
  const manage = async (work) => {
    const [{ connect }, { jetstreamManager }] = await Promise.all([
      import('@nats-io/transport-node'),
      import('@nats-io/jetstream'),
    ]);
    const connection = await connect({ servers: urls, ignoreClusterUpdates: true });
    try {
      return await work(await jetstreamManager(connection, { checkAPI: false, timeout: 5_000 }));
    } finally {
      await connection.close();
    }
  };
  const info = () => repeated(() => manage(({ streams }) => streams.info(`ACC_${name}_0`)));
  return {
    urls,
    servers,
    info,
    async leader() {
      const { cluster } = await info();
      return servers.find((server) => server.name === cluster?.leader) ?? servers[0];
    },
    async stop() {
      await Promise.all(servers.map((server) => server.kill()));
    },
  };
}

/** Returns a server of a cluster that has not started yet. */
export function serverOf(index, { ports, size, dir, syncAlways = false, program = PROGRAM }) {
  const name = `n${index + 1}`;
  const [port, route, http] = ports.slice(3 * index);
  const home = join(dir, name);
  mkdirSync(home, { recursive: true });
  const routes = Array.from({ length: size }, (_, other) => `nats-route://127.0.0.1:${ports[3 * other + 1]}`);
  const config = [
    `server_name: ${name}`,
    `listen: "127.0.0.1:${port}"`,
    `http: "127.0.0.1:${http}"`,
    `jetstream { store_dir: "${home}"${syncAlways ? ', sync_interval: always' : ''} }`,
    size === 1 ? '' : `cluster { name: bench, listen: "127.0.0.1:${route}", routes: [${routes.join(', ')}] }`,
  ];
  const file = join(home, 'nats.conf');
  writeFileSync(file, config.join('\n'));
  let child;
  const end = async (signal) => {
    // Without a process id it has never started.
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  };
  return {
    name,
    url: `nats://127.0.0.1:${port}`,
    async start() {
      let failure;
      child = spawn(program, ['-c', file], { stdio: 'ignore' });
      child.once('error', (error) => {
        failure = error;
      });
      child.once('exit', (code, signal) => {
        failure ??= new Error(`The nats-server ${name} has ended (${signal ?? code}).`);
      });
      const answers = async () => {
        if (failure !== undefined) throw failure;
        return (await fetch(`http://127.0.0.1:${http}/varz`, { signal: AbortSignal.timeout(5_000) })).ok || undefined;
      };
      await repeated(answers, { isOver: () => failure !== undefined });
    },
    /** Ends the server without warning. */
    kill: () => end('SIGKILL'),
    /** Ends the server as an operator does. */
    stop: () => end('SIGTERM'),
  };
}

/** Repeats work until it succeeds: a cluster that has just started has no leader yet. Throws when the time is up, or once `isOver` holds. */
export async function repeated(work, { timeoutMs = START_TIMEOUT_MS, isOver = () => false } = {}) {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    let failure;
    try {
      const result = await work();
      if (result !== undefined) return result;
    } catch (error) {
      failure = error;
    }
    if (performance.now() > deadline || (failure !== undefined && isOver()))
      throw failure ?? new Error(`There was no answer within ${timeoutMs / 1_000} s.`);
    await sleep(20);
  }
}

async function freePorts(count) {
  const probes = await Promise.all(
    Array.from({ length: count }, async () => {
      const probe = createServer().listen(0, '127.0.0.1');
      await once(probe, 'listening');
      return probe;
    }),
  );
  const ports = probes.map((probe) => probe.address().port);
  await Promise.all(probes.map((probe) => once(probe.close(), 'close')));
  return ports;
}

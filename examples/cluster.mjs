// Three nodes on one machine share one memory. A JetStream stream orders their writes, and each node reads from its own memory.
// Starts nats-server by itself (NATS_SERVER, or the one on the path; 2.10.27 or later), unless CLUSTER_SERVERS names servers.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentContextCache } from 'agent-context-cache';
import { createCluster } from 'agent-context-cache/cluster';

const folder = await mkdtemp(join(tmpdir(), 'cluster-'));
const { servers, stop } = process.env.CLUSTER_SERVERS
  ? { servers: process.env.CLUSTER_SERVERS, stop: async () => {} }
  : await startServer(process.env.NATS_SERVER || 'nats-server');
try {
  await run();
} finally {
  await stop();
  await rm(folder, { recursive: true });
}

async function run() {
  const name = `example-${process.pid}`;
  // One server keeps each message here; on three machines it is three.
  await createCluster({ servers, name, replicas: 1 });
  const open = (node) => AgentContextCache.open({ cluster: { servers, name, node }, dataDir: join(folder, node) });
  const [planner, searcher, booker] = await Promise.all(['planner', 'searcher', 'booker'].map(open));

  // A write is visible here when its promise resolves, and on another node once that one has reached its position.
  const { position } = await planner.set('plan', ['search', 'book'], 'trip', { agent: 'planner' });
  await searcher.reached(position);
  console.log('searcher reads', searcher.get('plan', 'trip'));

  // All nodes see writes in one order, so of two that expect the same version exactly one wins.
  const { version } = searcher.entry('plan', 'trip');
  await booker.reached(position);
  const claims = [searcher, booker].map((node) => node.set('plan', ['book'], 'trip', { ifVersion: version }));
  const outcomes = (await Promise.allSettled(claims)).map(({ status }) => status);
  console.log('claims:', outcomes.sort().join(', '));

  // Increments of all nodes at once lose nothing.
  const nodes = [planner, searcher, booker];
  await Promise.all(nodes.flatMap((node) => Array.from({ length: 100 }, () => node.increment('steps', 1, 'trip'))));
  await Promise.all(nodes.map((node) => node.barrier()));
  console.log('steps:', nodes.map((node) => node.get('steps', 'trip')).join(', '));

  // A node that was stopped continues at its own position.
  await booker.shutdown();
  await planner.set('plan', ['pay'], 'trip');
  const again = await open('booker');
  console.log('booker is back and reads', again.get('plan', 'trip'));
  await Promise.all([planner, searcher, again].map((node) => node.shutdown()));
}

/** Starts nats-server with JetStream on a free port. */
async function startServer(program) {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  const child = spawn(program, ['-js', '-sd', join(folder, 'jetstream'), '-a', '127.0.0.1', '-p', String(port)]);
  await once(child, 'spawn');
  for await (const text of child.stderr.setEncoding('utf8')) if (text.includes('Server is ready')) break;
  const stop = async () => {
    child.kill();
    await once(child, 'exit');
  };
  return { servers: `nats://127.0.0.1:${port}`, stop };
}

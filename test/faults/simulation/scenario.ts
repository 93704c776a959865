import { isDeepStrictEqual } from 'node:util';
import type { SnapshotStore } from '../../../src/backup.ts';
import { MemorySnapshotStore } from '../../../src/followers/backup/memory-snapshot-store.ts';
import { AgentContextCache, type Entry } from '../../../src/index.ts';
import type { Random } from '../support.ts';
import { ProcessClock } from './timeline.ts';
import type { World } from './world.ts';

export const NAMESPACES = ['default', 'a', 'p/1:a'];
export const KEYS = ['k0', 'k1', 'k2', 'k3'];
const AGENTS = 3;

/** Starts agents and faults, until everything is healed. */
export async function begin(world: World): Promise<void> {
  if (world.random.below(3) === 0) await liveBefore(world);
  world.restartAfter(0);
  for (let agent = 0; agent < AGENTS; agent += 1) work(world, `agent-${agent}`, 0);
  trouble(world);
  world.timeline.after(world.healsAt - world.timeline.now, () => world.heal());
}

/** Makes a snapshot of an earlier cache, from which the simulated one starts. */
async function liveBefore(world: World): Promise<void> {
  const store = new MemorySnapshotStore();
  const kept: SnapshotStore = Object.assign(store, { close: async () => {} });
  const cache = new AgentContextCache({
    clock: new ProcessClock(world.timeline),
    natsUrl: null,
    backup: { store: kept },
  });
  for (let n = 0; n < 20; n += 1) {
    const namespace = world.random.pick(NAMESPACES);
    if (n === 10) await cache.dropNamespace(namespace);
    else await cache.set(world.random.pick(KEYS), { earlier: n }, namespace);
  }
  await cache.backup();
  for await (const update of cache.readLog()) world.earlier.push(update);
  await cache.shutdown();
  world.restoreFrom = kept;
}

/** Lets an agent do something now and then, sometimes many things at once. */
function work(world: World, agent: string, done: number): void {
  const { random, timeline } = world;
  const pause = random.below(4) === 0 ? random.next() * 5 : random.next() * 700;
  timeline.after(pause, () => {
    const { cache } = world.process;
    if (world.healed) return;
    if (cache !== undefined) {
      const namespace = random.pick(NAMESPACES);
      if (random.below(4) === 0) audit(world, cache, namespace);
      void world.process.follow(`${agent}/${done} ${namespace}`, operate(cache, random, namespace, agent, done));
    }
    work(world, agent, done + 1);
  });
}

/** Compares the present state with the log, at any moment. */
function audit(world: World, cache: AgentContextCache, namespace: string): void {
  const { now } = world.timeline;
  let logged: Entry[];
  try {
    logged = cache.at(cache.position).entries(namespace);
  } catch (error) {
    // The storage cannot be read while it is reopened.
    if ((error as { code?: string }).code !== 'LOG_UNAVAILABLE') world.fail(`a view: ${String(error)}`);
    return;
  }
  const live = cache.entries(namespace);
  const same = isDeepStrictEqual(
    byKey(live),
    byKey(logged.filter(({ expiresAt }) => expiresAt === null || expiresAt > now)),
  );
  // Until a crashed namespace is restarted, its state lacks the last update of the log.
  if (same) world.crashed.delete(namespace);
  else if (!world.crashed.has(namespace)) {
    world.fail(`the state of ${namespace} at ${cache.position}: ${JSON.stringify({ live, logged })}`);
  }
}

export function byKey(entries: readonly Entry[]): Entry[] {
  return [...entries].sort((a, b) => (`${a.namespace}|${a.key}` < `${b.namespace}|${b.key}` ? -1 : 1));
}

function operate(
  cache: AgentContextCache,
  random: Random,
  namespace: string,
  agent: string,
  n: number,
): Promise<unknown> {
  const key = random.pick(KEYS);
  const value = { by: agent, n };
  const chance = random.below(100);
  const ttl = 1 + random.below(3_000);
  if (chance < 35) return cache.set(key, value, namespace, { agent });
  if (chance < 45) return cache.set(key, value, namespace, { agent, ttl });
  if (chance < 50) return cache.set(key, value, namespace, { agent, ifVersion: random.below(3) });
  if (chance < 60) return cache.delete(key, namespace, { agent });
  if (chance < 68) return cache.touch(key, namespace, { agent, ttl });
  if (chance < 70) return cache.clearNamespace(namespace, { agent });
  if (chance < 73) return cache.dropNamespace(namespace, { agent });
  if (chance < 83)
    return cache.update(key, (old) => ({ old: JSON.stringify(old ?? null).length, ...value }), namespace, { agent });
  if (chance < 88) return cache.getOrSet(key, () => value, namespace, { agent }).then(() => undefined);
  if (chance < 92) return cache.ask({ type: 'namespace.passivate', namespace });
  const steps = KEYS.slice(random.below(3)).map((each) => ({ operation: 'set' as const, key: each, value }));
  return cache.batch([...steps, { operation: 'delete', key }], namespace, { agent });
}

/** Causes a fault now and then. */
function trouble(world: World): void {
  const { random, timeline } = world;
  timeline.after(150 + random.next() * 1_000, () => {
    if (world.healed) return;
    goWrong(world, random.below(16));
    trouble(world);
  });
}

function goWrong(world: World, what: number): void {
  const { random, timeline, network } = world;
  const { trouble: disk, storage } = world.disk;
  const server = random.pick(world.servers);
  const until = timeline.now + random.next() * 3_000;
  world.trace.note(`trouble ${what}`);
  if (what < 3) {
    world.crash(what < 2);
    if (world.harmsIndex && random.below(3) === 0) world.harmIndex();
  } else if (what < 4) disk.failingUntil = timeline.now + random.next() * 1_000;
  else if (what < 5) disk.closedUntil = disk.failingUntil = until;
  else if (what < 6) disk.failureRate = random.pick([0, 0.02]);
  else if (what < 7) network.faultRate = random.pick([0, 0.05, 0.3]);
  else if (what < 9) server.awayUntil = until;
  else if (what < 11) server.crash(random);
  else if (what < 13) world.mirror.persist();
  else if (what < 15) storage.killWriter();
  else world.fragileUntil = timeline.now + random.next() * 1_000;
}

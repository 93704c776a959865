import assert from 'node:assert/strict';
import { AgentContextCache, type Update } from '../../../src/index.ts';
import { foldTo } from '../../support/past.ts';
import { byKey, KEYS, NAMESPACES } from './scenario.ts';
import type { World } from './world.ts';

/** Simulated milliseconds within which all followers must catch up once the faults are over. */
const PROGRESS_MS = 60_000;

const PATIENT_TURNS = 20;

/** Checks that everything comes to rest and is right once the faults are over. */
export async function checkHealed(world: World): Promise<void> {
  // Everything due has expired by then.
  await world.run(world.healsAt + 4_000);
  const cameToRest = await world.run(world.healsAt + PROGRESS_MS, () => atRest(world));
  assert(
    cameToRest,
    `no rest: ${JSON.stringify({ health: world.process.cache?.health(), underWay: [...world.process.underWay] })}`,
  );
  const cache = world.process.cache as AgentContextCache;
  await finish(world, cache.flush());
  const log = await logOf(world, cache);
  checkLog(world, log);
  checkLive(world, cache, log);
  checkViews(world, cache, log);
  await finish(world, checkHistory(world, cache, log));
  checkMirror(world, cache);
  checkSubscriber(world, log);
  await checkRestart(world, log);
  await checkBackup(world, log);
}

function atRest(world: World): boolean {
  const { cache, underWay } = world.process;
  if (cache === undefined || underWay.size > 0) return false;
  const { log, followers, backup, namespaces } = cache.health();
  if (namespaces.failed.length > 0) return false;
  const rested = followers.every(({ state, lag, attempts }) => state === 'following' && lag === 0 && attempts === 0);
  if (log.status !== 'ready' || !rested || backup?.running !== false) return false;
  return (backup.lastSnapshot?.position ?? 0) === log.head || log.head === 0;
}

/** Runs the world until the work has ended. */
async function finish<T>(world: World, work: Promise<T>): Promise<T> {
  let ended = false;
  const end = () => {
    ended = true;
  };
  work.then(end, end);
  // Some work goes on from turn to turn and uses neither disk nor network nor clock.
  for (let turns = 0; turns < PATIENT_TURNS && !ended; turns += 1) await world.timeline.settle();
  const inTime = await world.run(world.timeline.now + PROGRESS_MS, () => ended);
  assert(inTime, 'something is pending for ever');
  return work;
}

function logOf(world: World, cache: AgentContextCache): Promise<Update[]> {
  return finish(
    world,
    (async () => {
      const log = [...world.earlier];
      for await (const update of cache.readLog({ from: log.length + 1 })) log.push(update);
      return log;
    })(),
  );
}

function checkLog(world: World, log: readonly Update[]): void {
  for (const [index, update] of log.entries()) assert.equal(update.position, index + 1, 'a gap in the log');
  for (const { position, version, namespace } of world.acked) {
    const { version: found, namespace: of } = log[position - 1] ?? {};
    assert.deepEqual({ version: found, namespace: of }, { version, namespace }, `acknowledged at ${position} and lost`);
  }
  for (const update of world.told)
    assert.deepEqual(log[update.position - 1], update, `told at ${update.position}, lost`);
}

function checkLive(world: World, cache: AgentContextCache, log: readonly Update[]): void {
  const { now } = world.timeline;
  const folded = foldTo(log, log.length);
  assert.deepEqual(cache.listNamespaces(), folded.names(), 'namespaces');
  for (const name of NAMESPACES) {
    const expected = folded.entries(name).filter(({ expiresAt }) => expiresAt === null || expiresAt > now);
    assert.deepEqual(byKey(cache.entries(name)), expected, `the live state of ${name}`);
    for (const { key, value } of expected) assert.deepEqual(cache.get(key, name), value);
  }
}

function checkViews(world: World, cache: AgentContextCache, log: readonly Update[]): void {
  const first = world.earlier.length;
  for (let i = 0; i < 6; i += 1) {
    const position = i === 0 ? log.length : first + world.random.below(log.length - first + 1);
    using view = cache.at(position);
    const folded = foldTo(log, position);
    assert.deepEqual(view.listNamespaces(), folded.names(), `the namespaces at ${position}`);
    for (const name of NAMESPACES) {
      assert.deepEqual(byKey(view.entries(name)), folded.entries(name), `${name} at ${position}`);
    }
  }
}

async function checkHistory(world: World, cache: AgentContextCache, log: readonly Update[]): Promise<void> {
  const folded = foldTo(log, log.length);
  const [namespace, key] = ['a', KEYS[0] as string];
  const versions = [];
  for await (const version of cache.history(key, namespace)) versions.push(version);
  const kept = folded.history(key, namespace).filter(({ position }) => position > world.earlier.length);
  assert.deepEqual(versions, kept, 'the history of a key');
}

function checkMirror(world: World, cache: AgentContextCache): void {
  for (const name of NAMESPACES) {
    const mirrored = Object.fromEntries(world.mirror.spaces.get(name) ?? []);
    const entries = cache.at(cache.position).entries(name);
    assert.deepEqual(
      mirrored,
      Object.fromEntries(entries.map(({ key, value }) => [key, value])),
      `the mirror of ${name}`,
    );
  }
}

function checkSubscriber(world: World, log: readonly Update[]): void {
  let last = world.earlier.length;
  const expected = log.slice(world.earlier.length).filter(({ operation }) => operation !== 'touch');
  let index = 0;
  for (const message of world.broker.received) {
    const { position } = message;
    if (position <= last) continue;
    const update = expected[index];
    assert.equal(position, update?.position, `the subscriber got ${position}, and not ${update?.position}`);
    assert.deepEqual(
      [message.namespace, message.key, message.version],
      [update?.namespace, update?.key, update?.version],
    );
    assert.deepEqual(message.value, update?.value);
    last = position;
    index += 1;
  }
  assert.equal(index, expected.length, 'the subscriber has not got the last updates');
}

/** Checks that a clean end leaves nothing behind, and that the next start finds the same. */
async function checkRestart(world: World, log: readonly Update[]): Promise<void> {
  const { cache, clock } = world.process;
  const report = await finish(world, (cache as AgentContextCache).shutdown({ timeoutMs: 10_000 }));
  assert.deepEqual(report, { undelivered: [], unfinishedCommands: false, backupError: undefined, logError: undefined });
  assert.equal(clock.pending, 0, 'timers are left');
  world.restartAfter(1);
  await world.run(world.timeline.now + 5_000, () => world.process.cache !== undefined);
  const again = world.process.cache as AgentContextCache;
  assert.deepEqual(
    byKey(NAMESPACES.flatMap((name) => again.at(log.length).entries(name))),
    byKey(NAMESPACES.flatMap((name) => foldTo(log, log.length).entries(name))),
    'after a clean end',
  );
  checkLive(world, again, await logOf(world, again));
  await finish(world, again.shutdown({ timeoutMs: 10_000 }));
}

/** Checks that the newest snapshot restores the state at its position. */
async function checkBackup(world: World, log: readonly Update[]): Promise<void> {
  if (log.length === 0) return;
  const { clock } = world.process;
  const restored = await finish(
    world,
    AgentContextCache.open({
      restoreFrom: await world.snapshots.copy(),
      clock,
      natsUrl: null,
      onError: (error) => world.fail(error.message),
    }),
  );
  const { position } = restored;
  assert.equal(position, log.length, 'the newest snapshot is not of the end');
  for (const name of NAMESPACES)
    assert.deepEqual(byKey(restored.entries(name)), foldTo(log, position).entries(name), `restored ${name}`);
  await finish(world, restored.shutdown());
}

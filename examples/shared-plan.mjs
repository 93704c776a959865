// Three processes share a plan. The first one that starts holds the directory; it does not matter which.
// node shared-plan.mjs starts the other two: node shared-plan.mjs DIRECTORY ROLE
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentContextCache } from 'agent-context-cache';

const [, script, given, role = 'planner'] = process.argv;
const dataDir = given ?? (await mkdtemp(join(tmpdir(), 'shared-plan-')));
const others = given ? [] : ['searcher', 'booker'].map((name) => fork(script, [dataDir, name]));
const ended = others.map((child) => once(child, 'exit'));

const memory = await AgentContextCache.share(dataDir, { natsUrl: null });
const trip = memory.namespace('trip');

/** Resolves with the value of a key as soon as a process has set it. */
async function waitFor(key) {
  for await (const update of trip.watch({ keys: [key], include: 'snapshot' })) {
    if (update.operation === 'set') return update.value;
  }
}

const roles = {
  async planner() {
    await trip.set('plan', { from: 'YYZ', to: 'LIS', budget: 900 }, { agent: role });
    await waitFor('booking');
  },
  async searcher() {
    const { budget } = await waitFor('plan');
    const offers = [
      { flight: 'TP 258', price: 780 },
      { flight: 'AC 814', price: 1020 },
    ];
    await trip.set(
      'offer',
      offers.find(({ price }) => price <= budget),
      { agent: role },
    );
  },
  async booker() {
    await trip.set('booking', { ...(await waitFor('offer')), state: 'booked' }, { agent: role });
  },
};

await roles[role]();
await Promise.all(ended);
if (others.length > 0) {
  for await (const { position, agent, key } of memory.readLog()) console.log(position, agent, key);
  console.log(await trip.get('booking'));
}
await memory.shutdown();
if (!given) await rm(dataDir, { recursive: true });

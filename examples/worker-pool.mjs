// A pool of workers with a leader, which hands out tasks and is killed in the middle. Another worker becomes the leader, the
// memory gets another holder, and every task is done once. Workers: node worker-pool.mjs DIRECTORY NAME
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentContextCache } from 'agent-context-cache';

const TASKS = 12;
/** The leader must renew its lead within this time, milliseconds. */
const LEAD_MS = 1_000;
const [, script, given, name = 'main'] = process.argv;
const dataDir = given ?? (await mkdtemp(join(tmpdir(), 'worker-pool-')));

if (given) await work();
else await supervise();

async function work() {
  const memory = await AgentContextCache.share(dataDir, { natsUrl: null, onError: () => {} });
  const pool = memory.namespace('pool');
  const tasks = memory.namespace('tasks');
  while ((await tasks.listKeys()).length < TASKS || (await unfinished()).length > 0) {
    await quietly(lead);
    await quietly(doTask);
    await sleep(20);
  }
  await memory.shutdown();

  /** An outcome may be unknown when the holder is lost, and another worker may be first: the next round looks again. */
  async function quietly(step) {
    try {
      await step();
    } catch (error) {
      if (!['OUTCOME_UNKNOWN', 'VERSION_CONFLICT'].includes(error.code)) throw error;
    }
  }

  async function isLeading() {
    const lead = await pool.entry('leader');
    if (lead !== undefined && lead.value !== name) return false;
    // The version makes one of several candidates the leader; the entry expires unless the leader renews it.
    await pool.set('leader', name, { ttl: LEAD_MS, ifVersion: lead?.version ?? 0, agent: name });
    return true;
  }

  /** Hands out the next task. */
  async function lead() {
    if (!(await isLeading())) return;
    const next = (await tasks.listKeys()).length + 1;
    if (next <= TASKS) await tasks.set(`task-${next}`, { state: 'open' }, { ifVersion: 0, agent: name });
  }

  async function unfinished() {
    return (await tasks.entries()).filter(({ value }) => value.state !== 'done');
  }

  /** Does one open task. The version makes sure that only one worker marks it as done. */
  async function doTask() {
    const [task] = await unfinished();
    if (task === undefined) return;
    await tasks.set(task.key, { state: 'done', by: name }, { ifVersion: task.version, agent: name });
  }
}

async function supervise() {
  const workers = new Map(['ann', 'bob', 'cem'].map((each) => [each, fork(script, [dataDir, each])]));
  const ends = [...workers.values()].map((worker) => once(worker, 'exit'));
  const memory = await AgentContextCache.share(dataDir, { natsUrl: null, onError: () => {} });
  let leader;
  for await (const { namespace, key, value } of memory.watch({ since: 0 })) {
    if (namespace === 'pool' && key === 'leader' && value) leader = value;
    if (namespace === 'tasks' && key === 'task-4') break;
  }
  workers.get(leader).kill('SIGKILL');
  console.log('The leader was killed.');
  await Promise.all(ends);
  const done = new Map();
  const leaders = new Set();
  for await (const { operation, namespace, key, value, agent } of memory.readLog()) {
    if (operation !== 'set') continue;
    if (namespace === 'pool') leaders.add(agent);
    if (namespace === 'tasks' && value.state === 'done') done.set(key, (done.get(key) ?? 0) + 1);
  }
  console.log(
    `${done.size} tasks, each done ${[...new Set(done.values())].join(' or ')} time; ${leaders.size > 1 ? 'more than one' : 'one'} leader`,
  );
  await memory.shutdown();
  await rm(dataDir, { recursive: true });
}

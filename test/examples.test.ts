import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildDist, projectRoot } from './support/dist.ts';
import { natsRelease } from './support/nats-release.ts';
import { startNats, startRedis } from './support/servers.ts';

beforeAll(buildDist);

/** A line of each example's output that is printed only if the example worked. */
const SHOWS: Readonly<Record<string, string>> = {
  'ai-sdk.mjs': 'first: Take | the train. 1 call\nsecond: Take | the train. 1 call',
  'backup.mjs': '{ seen: 999 } at position 1000',
  'cluster.mjs': "claims: fulfilled, rejected\nsteps: 300, 300, 300\nbooker is back and reads [ 'pay' ]",
  'durable.mjs': "2 preferences { name: 'Ada', seat: 'aisle' }",
  'first.mjs': 'VERSION_CONFLICT: the plan is at version 3',
  'fleet.mjs':
    'chain of 10: the right writers\nbisect finds position 1202: the false fact\nimpact: 9 later writes, as a walk over the log finds them\n' +
    'retracted: 9 entries restored; step 4 stays, checker decided otherwise\nequal to a replay without it',
  'fork.mjs': 'merged 1 update: train by thrifty',
  'hand-over.mjs': '4 booker delete offers',
  'keyv.mjs': 'upseller { euro: 1020 }\nsearcher { euro: 780 }\nLIS { euro: 1020 }',
  'langchain.mjs': "[ 'I am Ann', 'Hello Ann', 'Do you know me?', 'Of course' ]",
  'langgraph.mjs': 'rewound: 1 messages, last city Lisbon',
  'mcp.mjs': "plan booker { to: 'Lisbon', nights: 4, flight: 'TP 258' }",
  'openai-agents.mjs': "[ 'Where to in June?', 'And in July?' ]",
  'own-backend.mjs': 'BACKEND_FAILED: no secrets here',
  'redis-and-nats.mjs': 'mirror following 3 delivered 0 to go',
  'shared-plan.mjs': "{ flight: 'TP 258', price: 780, state: 'booked' }",
  'time-travel.mjs': 'broken by upseller at position 3',
  'trip-agents.mjs': 'conflict, the plan is at version 3',
  'unstorage.mjs': "planner's plan: undefined -> search, book\nbooker's plan: search, book -> book\nplan is gone",
  'typed-commands.mjs': '1 namespace in memory, 1 error',
  'worker-pool.mjs': '12 tasks, each done 1 time; more than one leader',
};

describe('the examples', () => {
  const examples = readdirSync(join(projectRoot, 'examples')).filter((name) => name.endsWith('.mjs'));

  const newer = natsRelease('2.15');

  it.for(examples)('%s runs and prints its result', async (name, { skip }) => {
    if (name === 'cluster.mjs' && 'missing' in newer) skip(newer.missing);
    await using redis = await startRedis();
    await using nats = await startNats();
    const program = 'program' in newer ? newer.program : '';
    const env = { ...process.env, REDIS_URL: redis.url, NATS_URL: nats.url, NATS_SERVER: program };
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [join(projectRoot, 'examples', name)], {
      env,
      timeout: 120_000,
    });
    expect(stderr).toBe('');
    expect(stdout).toContain(SHOWS[name] ?? 'nothing is expected of this example yet: add a line to SHOWS');
  });
});

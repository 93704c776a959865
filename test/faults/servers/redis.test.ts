import { setTimeout as sleep } from 'node:timers/promises';
import { describe, it } from 'vitest';
import { times } from '../support.ts';
import { RedisRig, type RedisRigOptions } from './redis-rig.ts';
import { STOP_MS } from './side.ts';

interface Fault {
  readonly name: string;
  /** The error that the follower must report. */
  readonly says: RegExp;
  readonly options?: RedisRigOptions;
  /** Duration after it was noticed, in real milliseconds. Default: a moment. */
  readonly lastsMs?: number;
  begin(rig: RedisRig): Promise<unknown> | undefined;
  heal(rig: RedisRig): Promise<unknown> | undefined;
}

const KEEPS = ['--appendonly', 'yes', '--appendfsync', 'no'];
/** Loads slowly, so that the caches meet it while it does. */
const SLOW_TO_LOAD = ['--key-load-delay', '2000', '--loading-process-events-interval-bytes', '1024'];
const LOGIN = 'writer:right@';

/** The server is put back in time, so values may decrease too. */
async function restartForgetting(rig: RedisRig): Promise<void> {
  for (const watch of rig.watches) watch.forget();
  await rig.server.restart();
}

/** Present connections stay logged in. */
const dropConnections = (rig: RedisRig, user: string) => rig.admin.call('CLIENT', 'KILL', 'USER', user);

const faults: readonly Fault[] = [
  {
    name: 'killed, and restarted with all it had',
    says: /cannot be reached/,
    options: { args: KEEPS },
    begin: (rig) => rig.server.kill(),
    heal: (rig) => rig.server.restart(),
  },
  {
    name: 'killed, and restarted empty',
    says: /cannot be reached/,
    begin: (rig) => rig.server.kill(),
    heal: restartForgetting,
  },
  {
    name: 'killed, and restarted with what it had a while ago',
    says: /cannot be reached/,
    begin: async (rig) => {
      await rig.admin.call('SAVE');
      await sleep(200);
      await rig.server.kill();
    },
    heal: restartForgetting,
  },
  {
    name: 'stopped for 30 seconds',
    says: /did not answer|has not answered/,
    lastsMs: STOP_MS,
    begin: async (rig) => rig.server.pause(),
    heal: async (rig) => rig.server.resume(),
  },
  {
    name: 'made a replica that takes no writes (READONLY)',
    says: /READONLY/,
    begin: (rig) => rig.admin.call('REPLICAOF', '127.0.0.1', '1'),
    heal: (rig) => rig.admin.call('REPLICAOF', 'NO', 'ONE'),
  },
  {
    name: 'loading for a long time (LOADING)',
    says: /does not serve yet.*loading/,
    options: { args: SLOW_TO_LOAD },
    begin: async (rig) => {
      const fill = `for i = 1, 30000 do redis.call('SET', 'f' .. i, i) end`;
      await rig.admin.call('SELECT', '1');
      await rig.admin.eval(fill, 0);
      await rig.admin.call('SELECT', '0');
      await rig.admin.call('SAVE');
      await rig.server.kill();
      await restartForgetting(rig);
    },
    heal: (rig) => rig.admin.call('CONFIG', 'SET', 'key-load-delay', '0'),
  },
  {
    name: 'out of memory (OOM)',
    says: /OOM/,
    begin: (rig) => rig.admin.call('CONFIG', 'SET', 'maxmemory', '1'),
    heal: (rig) => rig.admin.call('CONFIG', 'SET', 'maxmemory', '0'),
  },
  {
    name: 'of which the password is changed, and changed back',
    says: /WRONGPASS/,
    options: {
      login: LOGIN,
      prepare: (admin) => admin.call('ACL', 'SETUSER', 'writer', 'on', '>right', '~*', '+@all'),
    },
    begin: async (rig) => {
      await rig.admin.call('ACL', 'SETUSER', 'writer', 'resetpass', '>wrong');
      await dropConnections(rig, 'writer');
    },
    heal: (rig) => rig.admin.call('ACL', 'SETUSER', 'writer', 'resetpass', '>right'),
  },
  {
    name: 'that begins to demand a password of everybody',
    says: /NOAUTH/,
    begin: async (rig) => {
      await rig.admin.call('CONFIG', 'SET', 'requirepass', 'secret');
      await rig.admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    },
    heal: (rig) => rig.admin.call('CONFIG', 'SET', 'requirepass', ''),
  },
  {
    name: 'that no longer allows scripts',
    says: /NOPERM/,
    options: {
      login: LOGIN,
      prepare: (admin) => admin.call('ACL', 'SETUSER', 'writer', 'on', '>right', '~*', '+@all'),
    },
    begin: (rig) => rig.admin.call('ACL', 'SETUSER', 'writer', '-@scripting'),
    heal: (rig) => rig.admin.call('ACL', 'SETUSER', 'writer', '+@scripting'),
  },
  {
    name: 'that refuses in the middle of a step, when the data is written and the position is not',
    says: /refused/,
    options: {
      login: LOGIN,
      prepare: (admin) => admin.call('ACL', 'SETUSER', 'writer', 'on', '>right', '~*', '+@all'),
    },
    begin: (rig) => rig.admin.call('ACL', 'SETUSER', 'writer', '-hset'),
    heal: (rig) => rig.admin.call('ACL', 'SETUSER', 'writer', '+hset'),
  },
];

describe.concurrent('holds no call up and soon has a whole mirror again, with', () => {
  // A loop, because `each` shortens the names.
  for (const fault of faults) it(`a Redis ${fault.name}`, () => endure(fault));
});

async function endure(fault: Fault): Promise<void> {
  for (let round = 0; round < times(1, 3); round += 1) {
    await using rig = await RedisRig.start(fault.options);
    await sleep(200);
    await fault.begin(rig);
    await rig.nobodyWaits();
    await rig.noticed(fault.says);
    await rig.nobodyWaits();
    await sleep(fault.lastsMs ?? times(200, 30_000));
    await fault.heal(rig);
    await rig.settled(`after it was ${fault.name}`);
  }
}

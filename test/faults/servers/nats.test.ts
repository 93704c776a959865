import { setTimeout as sleep } from 'node:timers/promises';
import { describe, it } from 'vitest';
import { times } from '../support.ts';
import { NatsRig } from './nats-rig.ts';
import { StreamTopic } from './nats-topic.ts';
import { STOP_MS } from './side.ts';

type Kind = 'core' | 'stream';

interface Fault {
  readonly name: string;
  /** The error that the follower must report. */
  readonly says: RegExp;
  /** Default: both. */
  readonly kinds?: readonly Kind[];
  /** Duration after it was noticed, in real milliseconds. Default: a moment. */
  readonly lastsMs?: number;
  begin(rig: NatsRig): Promise<unknown>;
  heal(rig: NatsRig): Promise<unknown>;
}

async function limitStreams(rig: NatsRig, more: number | undefined): Promise<void> {
  for (const topic of rig.topics) if (topic instanceof StreamTopic) await topic.limit(more);
}

const faults: readonly Fault[] = [
  {
    name: 'killed, and restarted',
    says: /cannot be reached/,
    begin: async (rig) => {
      await rig.quiet();
      await rig.server.kill();
      rig.resumeWriters();
    },
    heal: (rig) => rig.restart(),
  },
  {
    name: 'killed while it is published to, and restarted',
    says: /cannot be reached/,
    begin: (rig) => rig.server.kill(),
    heal: async (rig) => {
      rig.excuseWhatIsConfirmed();
      await rig.restart();
    },
  },
  {
    name: 'ended while it is published to, and restarted with its streams',
    says: /cannot be reached/,
    kinds: ['stream'],
    begin: (rig) => rig.server.stop(),
    heal: (rig) => rig.restart(),
  },
  {
    name: 'killed, and restarted without its streams',
    says: /cannot be reached/,
    kinds: ['stream'],
    begin: async (rig) => {
      await rig.quiet();
      await rig.server.kill();
      await rig.forgetStreams();
      rig.resumeWriters();
    },
    heal: (rig) => rig.restart(),
  },
  {
    name: 'stopped for 30 seconds',
    says: /did not/,
    lastsMs: STOP_MS,
    begin: async (rig) => rig.server.pause(),
    heal: async (rig) => rig.server.resume(),
  },
  {
    name: 'of which the password is changed by a reload, and changed back',
    says: /refused the credentials/,
    begin: (rig) => rig.reload({ password: 'other' }),
    heal: (rig) => rig.reload({}),
  },
  {
    name: 'of which the password is changed for good, and the caches are told later',
    says: /refused the credentials/,
    kinds: ['core'],
    begin: (rig) => rig.reload({ password: 'other' }),
    heal: async (rig) => {
      rig.login = { user: 'writer', pass: 'other' };
    },
  },
  {
    name: 'that permits no publishing any more',
    says: /does not let this user publish|permission|did not tell/i,
    begin: (rig) => rig.reload({ publish: '"nothing"' }),
    heal: (rig) => rig.betweenWindows(() => rig.reload({})),
  },
  {
    name: 'whose streams are full',
    says: /did not store/,
    kinds: ['stream'],
    begin: async (rig) => {
      await rig.quiet();
      await limitStreams(rig, 100);
      rig.resumeWriters();
    },
    heal: (rig) => rig.betweenWindows(() => limitStreams(rig, undefined)),
  },
];

describe.concurrent('holds no call up and soon has a subscriber with everything, with', () => {
  // A loop, because `each` shortens the names.
  for (const fault of faults) {
    for (const kind of fault.kinds ?? (['core', 'stream'] as const)) {
      it(`a NATS (${kind}) ${fault.name}`, () => endure(fault, kind));
    }
  }
});

async function endure(fault: Fault, kind: Kind): Promise<void> {
  for (let round = 0; round < times(1, 3); round += 1) {
    await using rig = await NatsRig.start(kind);
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

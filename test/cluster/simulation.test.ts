import { describe, expect, test } from 'vitest';
import type { StreamMessage } from '../../src/cluster/command-stream.ts';
import type { Leases } from '../../src/cluster/machine/leases.ts';
import { PROTOCOL_LEASE } from '../../src/cluster/machine/machine.ts';
import { Sessions, type Turn } from '../../src/cluster/machine/sessions.ts';
import type { ClusterNode } from '../../src/cluster/node.ts';
import { ModelReplica } from '../support/model-replica.ts';
import { type Control, SimulatedCluster } from '../support/simulated-cluster.ts';
import { NoSessions } from './support/no-sessions.ts';

/** Number of simulations of each kind; `CLUSTER_SEEDS` gives another. */
const SEEDS = Number(process.env.CLUSTER_SEEDS ?? 20);
const STEPS = 400;
/** Ids that a {@link WindowOfIds} remembers. */
const WINDOW = 8;

async function problemsOf(seed: number, control?: Control, isUpgraded?: boolean): Promise<string[]> {
  const cluster = new SimulatedCluster(seed, control, isUpgraded);
  await cluster.run(STEPS);
  return cluster.problems();
}

/** Returns the problems of the first simulation that has any. A rule may matter in few of them. */
async function firstProblems(control: Control, isUpgraded?: boolean): Promise<string[]> {
  for (let seed = 0; seed < 10 * SEEDS; seed += 1) {
    const problems = await problemsOf(seed, control, isUpgraded);
    if (problems.length > 0) return problems;
  }
  return [];
}

/** Leaves nodes that understand the first protocol alone out of a choice. */
function forgetOldBuilds(sessions: Sessions): void {
  const live = sessions.live.bind(sessions);
  sessions.live = function* (now, withinMs) {
    for (const entry of live(now, withinMs)) if (entry[1].maxProtocol > 1) yield entry;
  };
}

/** Gives the lease of the protocol for much longer than it was asked for. */
function endlessLeases(leases: Leases): void {
  const take = leases.take.bind(leases);
  leases.take = (name, session, forMs, now) => take(name, session, name === PROTOCOL_LEASE ? 100 * forMs : forMs, now);
}

/** Gives leases for longer on the first node than on the others. */
function longerLeases({ session, machine: { leases } }: ClusterNode): void {
  const take = leases.take.bind(leases);
  if (session === 's-1') leases.take = (name, holder, forMs, now) => take(name, holder, 2 * forMs, now);
}

/** Takes every message once, unless it comes again later than the window, as a stream with `Nats-Msg-Id` alone does. */
class WindowOfIds extends Sessions {
  readonly #known: string[] = [];

  override turnOf(id: string, counter: number): Turn {
    const message = `${id}:${counter}`;
    if (this.#known.includes(message)) return 'duplicate';
    this.#known.push(message);
    if (this.#known.length > WINDOW) this.#known.shift();
    return 'applied';
  }

  override has(): boolean {
    return true;
  }
}

/** Takes every message once, in whatever order they come. */
class SetOfIds extends Sessions {
  readonly #known = new Set<string>();

  override turnOf(id: string, counter: number): Turn {
    const message = `${id}:${counter}`;
    if (this.#known.has(message)) return 'duplicate';
    this.#known.add(message);
    return 'applied';
  }

  override has(): boolean {
    return true;
  }
}

/** Removes what has expired by the clock of its machine. */
class LocalTime extends ModelReplica {
  readonly #now: () => number;

  constructor(now: () => number) {
    super();
    this.#now = now;
  }

  override expire(): void {
    super.expire(this.#now());
  }
}

const withSessions = (create: () => Sessions): Control => ({
  node: (node) => void Object.assign(node.machine, { sessions: create() }),
});

/** Loses a message now and then, and renumbers those that follow if nothing checks the sequence. */
function withHoles(isChecked: boolean): Control {
  let received = 0;
  const control = (node: ClusterNode) => {
    const apply = node.machine.apply.bind(node.machine);
    let isHoled = false;
    node.machine.apply = (message: StreamMessage) => {
      received += 1;
      if (received % 40 === 0 && !isHoled) {
        isHoled = true;
        return { turn: 'malformed', session: '', counter: 0 };
      }
      return apply(isChecked ? message : { ...message, sequence: node.machine.sequence + 1 });
    };
  };
  return { node: control };
}

describe('a simulated cluster', () => {
  test('does each write once, in the order of its writer, and all nodes end equal', async () => {
    for (let seed = 0; seed < SEEDS; seed += 1) expect(await problemsOf(seed), `seed ${seed}`).toEqual([]);
  });

  test('raises its protocol while nodes are upgraded, cut off and the stream is down, and no node that was there has to leave', async () => {
    const raises: string[] = [];
    let leftLater = 0;
    for (let seed = 0; seed < SEEDS; seed += 1) {
      const cluster = new SimulatedCluster(seed, {}, true);
      await cluster.run(STEPS);
      expect(cluster.problems(), `seed ${seed}`).toEqual([]);
      raises.push(...cluster.raises);
      leftLater += cluster.leftLater;
    }
    for (const answer of ['raised to 2', 'FORMAT_UNSUPPORTED', 'LOG_UNAVAILABLE']) expect(raises).toContain(answer);
    expect(leftLater).toBeGreaterThan(0);
  });

  test.each([
    ['is raised without asking the members', { node: ({ machine }) => forgetOldBuilds(machine.sessions) }],
    [
      'may be raised after a silence of the stream',
      { node: ({ machine }) => Object.defineProperty(machine, 'steadySince', { value: Number.NEGATIVE_INFINITY }) },
    ],
    ['may be raised by a command that was held up', { node: ({ machine }) => endlessLeases(machine.leases) }],
  ] satisfies [string, Control][])(
    'puts nodes that are there out of service if its protocol %s',
    async (_, control) => {
      expect((await firstProblems(control, true)).join('\n')).toMatch(/has failed: FORMAT_UNSUPPORTED/);
    },
  );

  test('differs if a node goes on under a protocol that it does not understand', async () => {
    // It may be voted out before the end.
    const problems = await firstProblems({ ignoresProtocol: true }, true);
    expect(problems.join('\n')).toMatch(/the nodes differ|have come to another state/);
  });

  test('writes, and loses some of the answers', async () => {
    const cluster = new SimulatedCluster(1);
    await cluster.run(STEPS);
    const outcomes = cluster.writes.map(({ outcome }) => outcome);
    expect(outcomes.filter((outcome) => outcome === 'done').length).toBeGreaterThan(20);
    expect(outcomes).not.toContain('waiting');
  });

  test('does writes twice without sessions', async () => {
    const problems = await firstProblems(withSessions(() => new NoSessions()));
    expect(problems.join('\n')).toMatch(/was done twice/);
  });

  test('does writes twice with ids that are known for a while', async () => {
    const problems = await firstProblems(withSessions(() => new WindowOfIds()));
    expect(problems.join('\n')).toMatch(/was done twice/);
  });

  test('does writes in another order with a set of ids', async () => {
    const problems = await firstProblems(withSessions(() => new SetOfIds()));
    expect(problems.join('\n')).toMatch(/was done after a later one/);
  });

  test('differs if entries expire by the clock of each machine', async () => {
    const control: Control = { replica: (clock) => new LocalTime(() => clock.now()) };
    expect(await firstProblems(control)).toContain('the nodes differ');
  });

  test('puts a node out of service whose leases are others', async () => {
    const problems = await firstProblems({ node: longerLeases });
    expect(problems.join('\n')).toMatch(/has failed: LOG_CORRUPT .* have come to another state/);
  });

  test('differs if a node goes on over a message that it lacks', async () => {
    expect((await firstProblems(withHoles(false))).join('\n')).toMatch(/the nodes differ/);
  });

  test('stops a node that lacks a message', async () => {
    expect((await firstProblems(withHoles(true))).join('\n')).toMatch(/LOG_CORRUPT Message \d+ of the stream follows/);
  });
});

import { expect, test } from 'vitest';
import { createJetStream, openJetStream } from '../../src/cluster/jetstream/open-jetstream.ts';
import type { AgentContextCache } from '../../src/index.ts';
import { openNode } from '../support/cluster.ts';
import { type Operation, shown } from './checkers/history.ts';
import { checkLinearizable } from './checkers/linearizable.ts';
import { checkAgainstLog, type LoggedUpdate } from './checkers/witness.ts';
import { DisturbedStream } from './support/disturbed-stream.ts';
import { eventually, NatsCluster } from './support/nats-cluster.ts';
import { describeOn } from './support/releases.ts';
import { TcpProxy } from './support/tcp-proxy.ts';
import { Workload } from './support/workload.ts';

const isLong = process.env.CLUSTER === 'long';
/** Seconds of faults. `CLUSTER=long` makes it ten minutes on each release; `CLUSTER_SECONDS` any other time. */
const SECONDS = Number(process.env.CLUSTER_SECONDS ?? (isLong ? 600 : 35));
/** `CLUSTER_RELEASE` runs the long form on one of the two releases. */
const RELEASES = (['2.10', '2.15'] as const).filter((line) => {
  return line === (process.env.CLUSTER_RELEASE ?? (isLong ? line : '2.15'));
});
const NODES = 3;
/**
 * Workloads with keys and sessions of their own. More of them give more histories in the same time, and each key is
 * contended as much: a session that writes with a condition must have met the key before.
 */
const WORKLOADS = isLong ? 4 : 1;
/** Sessions of a workload on each node. */
const SESSIONS_A_NODE = isLong ? 12 : 3;
const NAME = 'histories';
const DISTURBANCE = { lost: 0.01, unanswered: 0.01, repeated: 0.02 };

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(Math.random() * items.length)] as Item;

/** A node with its own way to the servers and its own clock. */
class Member {
  readonly proxies: readonly TcpProxy[];
  readonly #name: string;
  readonly #updates: Map<number, string>;
  cache: AgentContextCache | undefined;
  stream: DisturbedStream | undefined;
  clockOffsetMs = 0;

  constructor(name: string, proxies: readonly TcpProxy[], updates: Map<number, string>) {
    this.#name = name;
    this.proxies = proxies;
    this.#updates = updates;
  }

  async join(): Promise<void> {
    const servers = this.proxies.map(({ url }) => url);
    this.stream = new DisturbedStream(await openJetStream({ servers, name: NAME }), DISTURBANCE);
    const clock = {
      now: () => Date.now() + this.clockOffsetMs,
      elapsed: () => performance.now(),
      setTimeout: (run: () => void, ms: number) => setTimeout(run, ms),
      clearTimeout: (timer: unknown) => clearTimeout(timer as NodeJS.Timeout),
    };
    const log = { capacityUpdates: 10_000_000, capacityBytes: 8 * 1024 ** 3 };
    this.cache = await openNode(this.stream, { node: this.#name, writeTimeoutMs: 4_000, log, clock });
  }

  async crash(): Promise<void> {
    const { cache, stream } = this;
    this.cache = undefined;
    for (const proxy of this.proxies) proxy.set('open');
    await stream?.crash();
    await cache?.shutdown({ timeoutMs: 0 });
  }

  /** Reads the log of this node, and compares it with that of others. */
  async log(): Promise<LoggedUpdate[]> {
    const updates: LoggedUpdate[] = [];
    for await (const { position, namespace, version, operation, value } of this.cache?.readLog() ?? []) {
      const written = operation === 'set' ? (value as string) : undefined;
      updates.push({ position, key: namespace, version, value: written });
      const text = `${namespace} ${version} ${operation} ${JSON.stringify(value)}`;
      expect(this.#updates.get(position) ?? text).toBe(text);
      this.#updates.set(position, text);
    }
    return updates;
  }
}

/** Does one thing to the servers or nodes, and undoes it. Returns what it did. */
async function disturb(servers: NatsCluster, members: readonly Member[]): Promise<string> {
  const member = pick(members);
  const server = Math.random() < 0.5 ? await servers.leader(`ACC_${NAME}_0`) : pick(servers.nodes);
  const faults: Readonly<Record<string, () => Promise<void>>> = {
    'server killed': async () => {
      await server.kill();
      await sleep(2_000);
      await server.start();
    },
    'server paused': async () => {
      server.pause();
      await sleep(3_000);
      server.resume();
    },
    'connection cut': async () => {
      for (const proxy of member.proxies) proxy.set('cut');
      await sleep(Math.random() * 3_000);
      for (const proxy of member.proxies) proxy.set('open');
    },
    'connection held': async () => {
      for (const proxy of member.proxies) proxy.set('held');
      await sleep(Math.random() * 6_000);
      for (const proxy of member.proxies) proxy.set('open');
    },
    'node crashed': async () => {
      await member.crash();
      await sleep(500);
      await eventually(async () => {
        await member.join();
        return true;
      });
    },
    'clock jumped': async () => {
      member.clockOffsetMs = (Math.random() - 0.5) * 86_400_000;
    },
  };
  const [name, fault] = pick(Object.entries(faults)) as [string, () => Promise<void>];
  await fault();
  return name;
}

describeOn(RELEASES, 'three nodes and three servers', (release) => {
  test(`are linearizable and end equal after ${SECONDS} s of faults`, {
    timeout: (2 * SECONDS + 180) * 1_000,
  }, async () => {
    await using servers = await NatsCluster.start({ program: release.program, ...(isLong ? { sync: 'always' } : {}) });
    await eventually(async () => {
      await createJetStream({ servers: servers.urls, name: NAME });
      return true;
    });
    const updates = new Map<number, string>();
    const members: Member[] = [];
    for (let index = 0; index < NODES; index += 1) {
      const proxies = await Promise.all(servers.nodes.map(({ port }) => TcpProxy.start(port)));
      const member = new Member(`n${index + 1}`, proxies, updates);
      await member.join();
      members.push(member);
    }
    const workloads = Array.from({ length: WORKLOADS }, (_, w) => new Workload(`w${w}`, NODES * SESSIONS_A_NODE));
    let isOver = false;
    const sessions = workloads.flatMap((workload, w) =>
      members.flatMap((member, node) =>
        Array.from({ length: SESSIONS_A_NODE }, (_, index) =>
          workload.session(
            `s${w}-${node}-${index}`,
            () => member.cache,
            () => isOver,
          ),
        ),
      ),
    );
    const done: Record<string, number> = {};
    for (const until = performance.now() + SECONDS * 1_000; performance.now() < until; ) {
      const fault = await disturb(servers, members);
      done[fault] = (done[fault] ?? 0) + 1;
      await sleep(500 + Math.random() * 1_000);
    }
    isOver = true;
    await Promise.all(sessions);
    // The last fault may have left the stream without a leader for longer than a write waits.
    const barrierOf = (member: Member) => eventually(() => Promise.resolve(member.cache?.barrier()).then(() => true));
    await Promise.all(members.map(barrierOf));
    const positions = members.map(({ cache }) => cache?.position ?? 0);
    await Promise.all(members.map(({ cache }) => cache?.reached(Math.max(...positions))));

    const digests = await Promise.all(members.map(({ cache }) => cache?.digest()));
    expect(new Set(digests).size).toBe(1);
    // The hash covers messages without updates too, so it is compared once all have read the same messages.
    const hashes = await eventually(async () => {
      const states = members.map(({ cache }) => cache?.health().cluster);
      return new Set(states.map((state) => state?.sequence)).size === 1
        ? states.map((state) => state?.hash)
        : undefined;
    });
    expect(new Set(hashes).size).toBe(1);
    const logs = await Promise.all(members.map((member) => member.log()));
    expect(logs.map((log) => log[0]?.position)).toEqual([1, 1, 1]);
    const operations = workloads.flatMap((workload) => workload.operations);
    expect(checkAgainstLog(operations, logs[0] ?? [])).toBeUndefined();
    const histories = byKey(operations.filter(({ ask }) => ask.type !== 'get' || ask.isAfterBarrier));
    for (const history of histories.values()) {
      expect(checkLinearizable(history), history.map(shown).join('\n')).toBeUndefined();
    }

    const counts: Record<string, number> = {};
    for (const { answer } of operations) counts[answer.type] = (counts[answer.type] ?? 0) + 1;
    expect(counts.done).toBeGreaterThan(SECONDS);
    const gapMs = Math.max(...workloads.map(({ longestGapMs }) => longestGapMs));
    const gap = `longest write gap of a workload ${Math.round(gapMs)} ms`;
    const numbers = `${operations.length} operations in ${histories.size} histories of ${meansOf([...histories.values()])}`;
    console.info(release.version, numbers, counts, done, gap);
    await Promise.all(members.map(({ cache }) => cache?.shutdown({ timeoutMs: 0 })));
    await Promise.all(members.flatMap(({ proxies }) => proxies.map((proxy) => proxy[Symbol.asyncDispose]())));
  });
});

/** Returns means for a history: operations, sessions, operations with a condition, operations called during another. */
function meansOf(histories: readonly (readonly Operation[])[]): string {
  const sums = { operations: 0, sessions: 0, conditions: 0, concurrent: 0 };
  for (const history of histories) {
    sums.operations += history.length;
    // A session goes on under another number after a crash or an unknown outcome.
    sums.sessions += new Set(history.map(({ session }) => session.split('.')[0])).size;
    sums.conditions += history.filter(({ ask }) => 'ifVersion' in ask).length;
    let latest = 0;
    for (const { calledAt, returnedAt } of [...history].sort((a, b) => a.calledAt - b.calledAt)) {
      if (calledAt < latest) sums.concurrent += 1;
      if (returnedAt < Infinity) latest = Math.max(latest, returnedAt);
    }
  }
  return Object.entries(sums)
    .map(([name, sum]) => `${(sum / histories.length).toFixed(1)} ${name}`)
    .join(', ');
}

function byKey(operations: readonly Operation[]): Map<string, Operation[]> {
  const groups = new Map<string, Operation[]>();
  for (const operation of operations) {
    const group = groups.get(operation.key);
    if (group === undefined) groups.set(operation.key, [operation]);
    else group.push(operation);
  }
  return groups;
}

import { randomUUID } from 'node:crypto';
import { jetstream, type PubAck } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import type { CommandStream, Following } from '../../src/cluster/command-stream.ts';
import { openJetStream } from '../../src/cluster/jetstream/open-jetstream.ts';
import { streamNames } from '../../src/cluster/jetstream/stream-names.ts';
import { configOf } from '../../src/cluster/jetstream/stream-settings.ts';
import type { Outcome } from '../../src/cluster/machine/machine.ts';
import { openMessage } from '../../src/cluster/machine/message-decoder.ts';
import { ClusterNode } from '../../src/cluster/node.ts';
import { StreamClock } from '../../src/cluster/stream-clock.ts';
import { systemClock } from '../../src/core/clock.ts';
import { ContextCacheError } from '../../src/core/errors.ts';
import { UNTIMED } from '../../src/core/expiry.ts';
import type { Request } from '../../src/core/request.ts';
import { ModelReplica } from '../support/model-replica.ts';
import { door } from '../support/request.ts';
import type { Operation } from './checkers/history.ts';
import { checkLinearizable } from './checkers/linearizable.ts';
import { eventually, NatsCluster } from './support/nats-cluster.ts';
import { NoSessions } from './support/no-sessions.ts';
import { describeOn } from './support/releases.ts';

/** Milliseconds for which a server remembers the ids of messages: the shortest time that it takes. */
const ID_WINDOW_MS = 100;

/** A stream whose node can be kept from reading, and publishes with ids. */
class HeldStream implements CommandStream {
  readonly #stream: CommandStream;
  readonly #connection: NatsConnection;
  readonly #subject: string;
  readonly #held: (() => void)[] = [];
  #isHeld = false;
  /** `true`: the node does not get the acknowledgement of its next message. */
  losesNext = false;
  /** Sequence of the newest message of this node that is stored. */
  stored = 0;
  onProblem: CommandStream['onProblem'];

  constructor(stream: CommandStream, connection: NatsConnection, subject: string) {
    this.#stream = stream;
    this.#connection = connection;
    this.#subject = subject;
  }

  get connected(): boolean {
    return this.#stream.connected;
  }

  get problem() {
    return this.#stream.problem;
  }

  hold(): void {
    this.#isHeld = true;
  }

  /** Delivers what was held and what comes, one message in each turn. */
  release(): void {
    this.#held.shift()?.();
    setImmediate(() => this.#isHeld && this.release());
  }

  async publish(message: Uint8Array): Promise<number> {
    const { session, counter } = openMessage(message) ?? {};
    const isLost = this.losesNext;
    this.losesNext = false;
    const { seq }: PubAck = await jetstream(this.#connection).publish(this.#subject, message, {
      msgID: `${session}:${counter}`,
    });
    this.stored = Math.max(this.stored, seq);
    if (isLost) throw new ContextCacheError('OUTCOME_UNKNOWN', 'The test has lost an acknowledgement.');
    return seq;
  }

  follow(...[after, receive, failed]: Parameters<CommandStream['follow']>): Following {
    const hold: typeof receive = (message) => {
      if (this.#isHeld) this.#held.push(() => receive(message));
      else receive(message);
    };
    return this.#stream.follow(after, hold, failed);
  }

  info() {
    return this.#stream.info();
  }

  purge(upTo: number) {
    return this.#stream.purge(upTo);
  }

  async close(): Promise<void> {
    this.#isHeld = false;
    await this.#stream.close();
    await this.#connection.close();
  }
}

interface Opened {
  readonly node: ClusterNode;
  readonly replica: ModelReplica;
  readonly stream: HeldStream;
}

/** Shares a barrier until it resolves, also after it was sent. */
function sharesBarriers(node: ClusterNode): void {
  const barrier = node.barrier.bind(node);
  let shared: Promise<void> | undefined;
  node.barrier = () => {
    shared ??= barrier().finally(() => {
      shared = undefined;
    });
    return shared;
  };
}

describeOn(['2.10', '2.15'], 'rules that are broken on a real server', ({ program }) => {
  let servers: NatsCluster;
  beforeAll(async () => {
    servers = await NatsCluster.start({ program, size: 1 });
  });
  afterAll(() => servers[Symbol.asyncDispose]());

  const create = async (name: string) => {
    const names = streamNames(name);
    const config = configOf(names, { replicas: 1, maxBytes: 1024 ** 2, epoch: 'e' });
    const duplicate_window = ID_WINDOW_MS * 1_000_000;
    await servers.manage(({ streams }) => streams.add({ ...config, duplicate_window, name: names.stream }));
  };

  const open = async (cluster: string, name: string, control: (node: ClusterNode) => void = () => {}) => {
    const connection = await connect({ servers: servers.urls });
    const { commands } = streamNames(cluster);
    const stream = new HeldStream(await openJetStream({ servers: servers.urls, name: cluster }), connection, commands);
    const replica = new ModelReplica();
    const node = new ClusterNode({
      ...{ stream, replica, name, version: '1', clock: systemClock, streamClock: new StreamClock(systemClock) },
      ...{ newSession: randomUUID, maxQueued: 1_000, writeTimeoutMs: 200_000, onFailed: () => {}, onStalled: () => {} },
    });
    onTestFinished(() => node.close());
    control(node);
    await node.join();
    return { node, replica, stream } satisfies Opened;
  };

  const write = ({ node }: Opened, request: Request) =>
    new Promise<Outcome>((settle) => {
      node.submit(request, settle);
    });

  test.each([
    ['once', 'sessions', () => {}],
    ['again', 'ids alone', (node) => void Object.assign(node.machine, { sessions: new NoSessions() })],
  ] satisfies [string, string, (node: ClusterNode) => void][])(
    'a write that is repeated after the server has forgotten its id is done %s with %s',
    async (kind, rule, control) => {
      const cluster = rule.replace(' ', '-');
      await create(cluster);
      const opened = await open(cluster, 'n', control);
      const { stream, replica, node } = opened;
      const { last } = await stream.info();
      // The node does not see that its message is stored, and sends it again until the server stores it once more.
      stream.hold();
      stream.losesNext = true;
      const written = write(opened, door.increment(UNTIMED, 'n', 'count', 1, undefined));
      await eventually(async () => ((await stream.info()).last >= last + 2 ? true : undefined));
      const stored = await servers.manage(({ streams }) =>
        Promise.all([1, 2].map((next) => streams.getMessage(`ACC_${cluster}_0`, { seq: last + next }))),
      );
      const [first, second] = stored.map((message) => [message?.header.get('Nats-Msg-Id'), message?.data]);
      expect(first?.[0]).toBe(`${node.session}:2`);
      expect(second).toEqual(first);
      stream.release();
      expect(await written).toMatchObject({ changed: true });
      await node.barrier();
      const count = expect(replica.namespaces.get('n')?.entries.get('count')?.value);
      if (kind === 'again') count.toBeGreaterThan(1);
      else count.toBe(1);
    },
  );

  test.each([
    ['correct', 'until it is sent', () => {}],
    ['stale', 'until it resolves', sharesBarriers],
  ] satisfies [string, string, (node: ClusterNode) => void][])(
    'a read after a barrier is %s if barriers are shared %s',
    async (kind, _, control) => {
      await create(kind);
      const a = await open(kind, 'a', control);
      const b = await open(kind, 'b');
      await a.node.barrier();
      const { last } = await a.stream.info();
      a.stream.hold();
      const older = a.node.barrier();
      await eventually(async () => (a.stream.stored > last ? true : undefined));
      // Ordered behind that barrier, and acknowledged before the next one is asked for.
      expect(await write(b, door.set(UNTIMED, 'k', 'k', 'new', undefined))).toMatchObject({ version: 1 });
      const read = a.node.barrier().then(() => {
        const { version, entries } = a.replica.namespaces.get('k') ?? {};
        return { value: entries?.get('k')?.value as string | undefined, version };
      });
      a.stream.release();
      await older;
      const history: Operation[] = [
        {
          ...{ session: 'b', key: 'k', calledAt: 0, returnedAt: 1 },
          ...{ ask: { type: 'set', value: 'new' }, answer: { type: 'done', version: 1, isChanged: true } },
        },
        {
          ...{ session: 'a', key: 'k', calledAt: 2, returnedAt: 3 },
          ...{ ask: { type: 'get', isAfterBarrier: true }, answer: { type: 'read', ...(await read) } },
        },
      ];
      const verdict = expect(checkLinearizable(history));
      if (kind === 'stale') verdict.toMatch(/no order/i);
      else verdict.toBeUndefined();
    },
  );
});

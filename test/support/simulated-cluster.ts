import { leave } from '../../src/cluster/leave.ts';
import { LIVE_MS, PROTOCOL_LEASE, PROTOCOLS, type Protocols } from '../../src/cluster/machine/machine.ts';
import { ClusterNode } from '../../src/cluster/node.ts';
import { raiseProtocol } from '../../src/cluster/raise-protocol.ts';
import { StreamClock } from '../../src/cluster/stream-clock.ts';
import type { Acknowledgement, Appended } from '../../src/core/command.ts';
import type { ContextCacheError } from '../../src/core/errors.ts';
import { UNTIMED } from '../../src/core/expiry.ts';
import { ManualClock } from './manual-clock.ts';
import { type Fate, type MemoryConnection, MemoryStream } from './memory-stream.ts';
import { ModelReplica } from './model-replica.ts';
import { door } from './request.ts';

/** A way to break a rule, to see that the checks find it. */
export interface Control {
  readonly replica?: (clock: ManualClock) => ModelReplica;
  readonly node?: (node: ClusterNode) => void;
  /** `true`: a node goes on under a protocol that it does not understand. */
  readonly ignoresProtocol?: boolean;
}

/** A build of the package: what it understands, and what its data does under each protocol. */
interface Build {
  readonly version: string;
  readonly protocols: Protocols;
  readonly rule: (protocol: number, namespace: string) => string;
}

const OLD: Build = { version: '1.0.0', protocols: PROTOCOLS, rule: (_, namespace) => namespace };
/** Under the second protocol this build writes what is for `x` to `y`. */
const NEW: Build = {
  version: '2.0.0',
  protocols: { min: 1, max: 2 },
  rule: (protocol, namespace) => (protocol >= 2 && namespace === 'x' ? 'y' : namespace),
};

interface Member {
  readonly name: string;
  readonly node: ClusterNode;
  readonly replica: ModelReplica;
  readonly connection: MemoryConnection;
  readonly build: Build;
  /** `false` until it has joined, and after it was cut off for so long that the others take it for gone. */
  isPresent: boolean;
}

/** What became of one write. */
interface Write {
  readonly writer: string;
  readonly number: number;
  outcome: 'waiting' | 'done' | 'unknown' | 'refused';
}

const FATES: readonly Fate[] = [
  ...(['stored', 'stored', 'stored', 'stored', 'stored'] as const),
  ...(['stored, acknowledgement lost', 'stored late', 'lost', 'refused', 'stored twice'] as const),
];

/**
 * A cluster of three without servers, threads or time of its own: which task runs next, what becomes of a message, and who
 * crashes is drawn from a seed.
 */
export class SimulatedCluster {
  readonly failures: ContextCacheError[] = [];
  readonly writes: Write[] = [];
  /** Number of nodes that were away when the protocol was raised, and left service when they came back. */
  leftLater = 0;
  /** Answers to raises. */
  readonly raises: string[] = [];
  readonly #clock = new ManualClock();
  readonly #stream = new MemoryStream(() => this.#clock.now());
  readonly #control: Control;
  readonly #isUpgraded: boolean;
  #state: number;
  #tasks: (() => void)[] = [];
  #members: Member[] = [];
  #sessions = 0;
  #started = 0;

  /** `isUpgraded`: nodes are replaced by those of a newer build, and the protocol is raised. */
  constructor(seed: number, control: Control = {}, isUpgraded = false) {
    this.#state = seed + 1;
    this.#control = control;
    this.#isUpgraded = isUpgraded;
    this.#stream.schedule = (run) => void this.#tasks.push(run);
    this.#stream.fateOf = () => this.#pick(FATES);
  }

  /** Runs some steps, then lets everything come to rest. */
  async run(steps: number): Promise<void> {
    for (let i = 0; i < 3; i += 1) this.#join();
    for (let i = 0; i < steps; i += 1) await this.#step();
    this.#stream.fateOf = () => 'stored';
    for (const { connection } of this.#members) connection.restore();
    for (let i = 0; i < 60; i += 1) {
      this.#clock.advance(250);
      await this.#settle();
    }
  }

  /** Returns what is wrong, after {@link run}. */
  problems(): string[] {
    const found = this.failures.map(({ code, message }) => `a node has failed: ${code} ${message}`);
    const states = this.#members.map(({ node, replica }) => JSON.stringify([node.machine.stored(), replica.content()]));
    if (new Set(states).size > 1) found.push('the nodes differ');
    if (this.#members.some(({ node }) => node.waiting > 0)) found.push('a command still waits');
    return [...found, ...this.#orderProblems()];
  }

  /** Each write appends its number, so that the list shows which were done, how often, and in which order. */
  #orderProblems(): string[] {
    const found: string[] = [];
    const appended = this.#members[0]?.replica.updates.filter(({ namespace }) => namespace === 'list') ?? [];
    const last = new Map<string, number>();
    const done = new Set<string>();
    for (const { value } of appended) {
      const [writer, number] = value as [string, number];
      const id = `${writer}:${number}`;
      if (done.has(id)) found.push(`write ${id} was done twice`);
      else if (number < (last.get(writer) ?? 0)) found.push(`write ${id} was done after a later one`);
      done.add(id);
      last.set(writer, number);
    }
    for (const { writer, number, outcome } of this.writes) {
      const id = `${writer}:${number}`;
      if (outcome === 'done' && !done.has(id)) found.push(`write ${id} was acknowledged and is lost`);
      if (outcome === 'refused' && done.has(id)) found.push(`write ${id} was refused and is done`);
    }
    return found;
  }

  #join(build = OLD, predecessor?: string): void {
    this.#started += 1;
    const name = `n-${this.#started}`;
    const connection = this.#stream.connect();
    const replica = this.#control.replica?.(this.#clock) ?? new ModelReplica();
    const protocols = { ...build.protocols };
    const node: ClusterNode = new ClusterNode({
      ...{ stream: connection, replica, name, version: build.version, clock: this.#clock, protocols, predecessor },
      streamClock: new StreamClock(this.#clock, (run) => void this.#tasks.push(run)),
      newSession: () => {
        this.#sessions += 1;
        return `s-${this.#sessions}`;
      },
      ...{ maxQueued: 1_000, writeTimeoutMs: 8_000 },
      onFailed: (error) => this.#failed(member, error),
      onStalled: () => {},
      schedule: (run) => void this.#tasks.push(run),
    });
    const member: Member = { name, node, replica, connection, build, isPresent: false };
    const execute = replica.execute.bind(replica);
    replica.execute = (request) =>
      execute(Object.assign(request, { namespace: build.rule(node.machine.protocol, request.namespace) }));
    this.#control.node?.(node);
    this.#members.push(member);
    const joined = () => {
      member.isPresent = true;
      if (this.#control.ignoresProtocol === true) protocols.max = Number.POSITIVE_INFINITY;
    };
    // A process whose node cannot join ends, and is started again.
    node.join().then(joined, () => node.isRunning && this.#replace(member));
  }

  /** A node that was away while the protocol was raised may leave service, and is replaced by one of the newer build. */
  #failed(member: Member, error: ContextCacheError): void {
    if (error.code === 'FORMAT_UNSUPPORTED' && !member.isPresent) {
      this.leftLater += 1;
      this.#replace(member, NEW);
    } else this.failures.push(error);
  }

  /** What an operator and the network do while a cluster is upgraded. */
  async #upgradeStep(member: Member): Promise<void> {
    const dice = this.#random(10);
    if (dice < 2) this.#raise(member);
    else if (dice < 4) this.#replace(member, NEW, member.node.session);
    else if (dice < 6) await this.#beAway(member);
    else await this.#outage();
  }

  #raise({ node }: Member): void {
    raiseProtocol(node, this.#pick([2, undefined])).then(
      (protocol) => this.raises.push(`raised to ${protocol}`),
      ({ code }) => this.raises.push(code),
    );
  }

  /** Cuts a node off until the others take it for gone. Another one raises the protocol meanwhile. */
  async #beAway(member: Member): Promise<void> {
    for (const { connection } of this.#members) connection.restore();
    member.connection.cut();
    for (let i = 0; i < 18; i += 1) {
      if (i === 14) this.#raise(this.#pick(this.#members));
      if (i === 14) member.isPresent = false;
      this.#clock.advance(5_000);
      await this.#settle();
    }
    member.connection.restore();
    for (let i = 0; i < 12; i += 1) {
      this.#clock.advance(250);
      await this.#settle();
    }
    const { machine, session } = member.node;
    member.isPresent = [...machine.sessions.live(machine.time, LIVE_MS)].some(([id]) => id === session);
  }

  /**
   * Cuts all nodes off for longer than the others take one for gone. A raise may be on its way, or is asked for as soon as it is over. The
   * node that raises is connected first.
   */
  async #outage(): Promise<void> {
    const raising = this.#pick(this.#members.filter(({ build }) => build === NEW));
    if (raising === undefined) return;
    const { leases, time } = raising.node.machine;
    const isBefore = this.#random(2) === 0;
    if (isBefore) this.#raise(raising);
    await this.#runTasks(isBefore ? 200 : 0, () => leases.held(PROTOCOL_LEASE, time) !== undefined);
    await this.#runTasks(this.#random(12));
    for (const { connection } of this.#members) connection.cut();
    for (let i = 0; i < 14; i += 1) this.#clock.advance(5_000);
    raising.connection.restore();
    if (!isBefore) this.#raise(raising);
    for (let i = this.#random(20); i > 0; i -= 1) {
      this.#clock.advance(100);
      await this.#runTasks(20);
    }
    for (const { connection } of this.#members) connection.restore();
  }

  async #runTasks(most: number, isEnough = () => false): Promise<void> {
    for (let i = 0; i < most && !isEnough(); i += 1) {
      this.#runTask();
      for (let j = 0; j < 3; j += 1) await undefined;
    }
  }

  async #step(): Promise<void> {
    const member = this.#pick(this.#members);
    if (this.#isUpgraded && this.#random(20) === 0) await this.#upgradeStep(member);
    const dice = this.#random(100);
    if (dice < 45) this.#runTask();
    else if (dice < 70) this.#write(member);
    else if (dice < 85) this.#clock.advance(this.#random(400));
    else if (dice < 93) this.#disturb(member);
    else if (dice < 95) member.connection.cut();
    else if (dice < 99) for (const { connection } of this.#members) connection.restore();
    else await this.#stop(member);
    // Lets promises settle.
    for (let i = 0; i < 3; i += 1) await undefined;
  }

  #write({ name, node }: Member): void {
    const write: Write = { writer: name, number: this.writes.length + 1, outcome: 'waiting' };
    this.writes.push(write);
    node.submit(door.append(UNTIMED, 'list', [name, write.number], undefined), (outcome) => {
      const { code } = outcome as { code?: string };
      if (!(outcome instanceof Error))
        write.outcome = (outcome as Acknowledgement & Appended).changed ? 'done' : 'refused';
      else write.outcome = code === 'OUTCOME_UNKNOWN' ? 'unknown' : 'refused';
    });
  }

  /** Writes that race and expire. */
  #disturb({ node }: Member): void {
    const key = this.#pick(['a', 'b', 'c']);
    const namespace = this.#pick(['x', 'y', 'z']);
    const ttl = 1 + this.#random(2_000);
    node.submit(door.set(UNTIMED, namespace, key, ttl, { ttl }), () => {});
    node.submit(door.increment(UNTIMED, namespace, 'n', 1, { ttl: 5_000 }), () => {});
    if (this.#random(4) === 0) node.submit({ type: 'lease', name: 'mirror', forMs: 1_000 }, () => {});
    if (this.#random(8) === 0) node.submit(door.whole(UNTIMED, 'context.drop', namespace), () => {});
  }

  /** Ends a node, each second one with a goodbye, which may be lost, and starts another one from nothing. */
  async #stop(member: Member): Promise<void> {
    if (this.#started % 2 === 0) {
      member.isPresent = false;
      void leave(member.node, true, this.#clock, 1_000);
      await this.#runTasks(20);
    }
    this.#replace(member);
  }

  /** Ends a node without a word, and starts another one from nothing. */
  #replace(member: Member, build = member.build, predecessor?: string): void {
    if (!this.#members.includes(member)) return;
    this.#members = this.#members.filter((each) => each !== member);
    member.connection.cut();
    void member.node.close();
    this.#join(build, predecessor);
  }

  #runTask(): void {
    const [task] = this.#tasks.splice(this.#random(this.#tasks.length || 1), 1);
    task?.();
  }

  async #settle(): Promise<void> {
    for (let i = 0; i < 2_000 && this.#tasks.length > 0; i += 1) {
      this.#runTask();
      await undefined;
    }
    for (let i = 0; i < 5; i += 1) await undefined;
  }

  /** Returns one of the items; of none, none. */
  #pick<Item>(items: readonly Item[]): Item {
    return items[this.#random(items.length)] as Item;
  }

  /** A number from 0 to `below` - 1, by a linear congruential generator. */
  #random(below: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * below);
  }
}

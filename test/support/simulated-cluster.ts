import { ClusterNode } from '../../src/cluster/node.ts';
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
}

interface Member {
  readonly name: string;
  readonly node: ClusterNode;
  readonly replica: ModelReplica;
  readonly connection: MemoryConnection;
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
  readonly #clock = new ManualClock();
  readonly #stream = new MemoryStream(() => this.#clock.now());
  readonly #control: Control;
  #state: number;
  #tasks: (() => void)[] = [];
  #members: Member[] = [];
  #sessions = 0;
  #started = 0;

  constructor(seed: number, control: Control = {}) {
    this.#state = seed + 1;
    this.#control = control;
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

  #join(): void {
    this.#started += 1;
    const name = `n-${this.#started}`;
    const connection = this.#stream.connect();
    const replica = this.#control.replica?.(this.#clock) ?? new ModelReplica();
    const node = new ClusterNode({
      ...{ stream: connection, replica, name, version: '0.0.0', clock: this.#clock },
      streamClock: new StreamClock(this.#clock, (run) => void this.#tasks.push(run)),
      newSession: () => {
        this.#sessions += 1;
        return `s-${this.#sessions}`;
      },
      ...{ maxQueued: 1_000, writeTimeoutMs: 8_000 },
      onFailed: (error) => void this.failures.push(error),
      onStalled: () => {},
      schedule: (run) => void this.#tasks.push(run),
    });
    this.#control.node?.(node);
    node.join().catch(() => {});
    this.#members.push({ name, node, replica, connection });
  }

  async #step(): Promise<void> {
    const member = this.#pick(this.#members);
    const dice = this.#random(100);
    if (dice < 45) this.#runTask();
    else if (dice < 70) this.#write(member);
    else if (dice < 85) this.#clock.advance(this.#random(400));
    else if (dice < 93) this.#disturb(member);
    else if (dice < 95) member.connection.cut();
    else if (dice < 99) for (const { connection } of this.#members) connection.restore();
    else this.#crash(member);
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

  /** Ends a node without a word, and starts another one from nothing. */
  #crash(member: Member): void {
    this.#members = this.#members.filter((each) => each !== member);
    member.connection.cut();
    void member.node.close();
    this.#join();
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

  #pick<Item>(items: readonly Item[]): Item {
    return items[this.#random(items.length)] as Item;
  }

  /** A number from 0 to `below` - 1, by a linear congruential generator. */
  #random(below: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * below);
  }
}

import { onTestFinished } from 'vitest';
import { MemorySnapshotStore } from '../../../src/backup.ts';
import { INTERNALS } from '../../../src/engine/internals.ts';
import type { AgentContextCache } from '../../../src/index.ts';
import { type NodeOptions, openNode } from '../../support/cluster.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { type MemoryConnection, MemoryStream } from '../../support/memory-stream.ts';

/** A node of a {@link TimedCluster}. */
export interface Member {
  readonly node: AgentContextCache;
  readonly clock: ManualClock;
  readonly connection: MemoryConnection;
}

/** A cluster whose nodes have clocks of their own: one whose clock stands still does not look at its leases. */
export class TimedCluster {
  readonly stream: MemoryStream;
  readonly members: Member[] = [];
  readonly #clock = new ManualClock();

  constructor() {
    this.stream = new MemoryStream(() => this.#clock.now());
  }

  async join(name: string, options: NodeOptions): Promise<AgentContextCache> {
    const clock = new ManualClock();
    clock.advance(this.#clock.now() - clock.now());
    const connection = this.stream.connect();
    const node = await openNode(connection, { node: name, clock, ...options });
    this.members.push({ node, clock, connection });
    onTestFinished(async () => {
      await node.shutdown({ timeoutMs: 0 });
    });
    return node;
  }

  async pass(ms: number, paused?: Member): Promise<void> {
    for (let passed = 0; passed < ms; passed += 250) {
      this.#clock.advance(250);
      for (const member of this.members) if (member !== paused) member.clock.advance(250);
      await rest();
    }
  }

  /** Lets time pass until something holds. */
  async until(holds: () => boolean | Promise<boolean>, paused?: Member): Promise<void> {
    for (let i = 0; i < 400; i += 1) {
      if (await holds()) return;
      await this.pass(250, paused);
    }
    throw new Error('It did not come true in time.');
  }

  holders(work: string): Member[] {
    return this.members.filter(({ node }) => node.health().followers.some(({ name }) => name === work));
  }

  lease(work: string): string | undefined {
    const { leases = [] } = this.members.at(-1)?.node.health().cluster ?? {};
    return leases.find(({ name }) => name === work)?.node;
  }
}

/** A store that can be held up before it writes. */
export class SlowStore extends MemorySnapshotStore {
  isWaiting = false;
  #held: Promise<void> | undefined;
  #release = () => {};

  hold(): void {
    this.#held = new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  release(): void {
    this.#held = undefined;
    this.#release();
  }

  override async put(...given: Parameters<MemorySnapshotStore['put']>): Promise<void> {
    this.isWaiting = this.#held !== undefined;
    await this.#held;
    await super.put(...given);
  }
}

/** Lists the snapshots of a node. */
export async function listOf(node: AgentContextCache) {
  return (await node[INTERNALS].parts.backup?.list()) ?? [];
}

/** Waits for what sockets bring. */
export async function rest(): Promise<void> {
  for (let i = 0; i < 5; i += 1) await new Promise(setImmediate);
  await new Promise((resolve) => setTimeout(resolve, 2));
}

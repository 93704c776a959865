import type { SnapshotStore } from '../../../src/backup.ts';
import type { AgentContextCache, CacheOptions, OpenOptions, Update } from '../../../src/index.ts';
import { Random } from '../support.ts';
import { BrokerServer } from './broker.ts';
import { type DiskSabotage, SimDisk } from './disk.ts';
import { MirrorServer } from './mirror.ts';
import { type Server, SimNetwork } from './network.ts';
import { type Acked, SimProcess } from './process.ts';
import { SnapshotServer } from './snapshots.ts';
import { Timeline, Trace } from './timeline.ts';

/** Deliberate errors that must be found. */
export interface Sabotage {
  readonly disk?: DiskSabotage | undefined;
  readonly mirrorLoses?: ((update: Update) => boolean) | undefined;
  readonly brokerLoses?: ((position: number) => boolean) | undefined;
  readonly internals?: CacheOptions['internals'] | undefined;
  /** A server that stays unreachable when everything else is healed. */
  readonly staysAway?: 'mirror' | 'broker' | undefined;
  /** Extra milliseconds of calls that do not depend on the seed. */
  readonly jitter?: (() => number) | undefined;
}

/** Duration of the faults, in milliseconds. */
const TROUBLE_MS = 7_000;

/** A process, its disk, its servers and the network between them, on one timeline, from one seed. */
export class World {
  readonly trace = new Trace();
  readonly timeline = new Timeline(this.trace);
  readonly random: Random;
  readonly sabotage: Sabotage;
  readonly disk: SimDisk;
  readonly network: SimNetwork;
  readonly mirror = new MirrorServer();
  readonly broker = new BrokerServer();
  readonly snapshots = new SnapshotServer();
  /** Acknowledgements to agents. */
  readonly acked: Acked[] = [];
  /** Updates of an earlier cache, and its snapshot from which this one starts. */
  readonly earlier: Update[] = [];
  restoreFrom: SnapshotStore | undefined;
  /** Instant until which the fold fails now and then. */
  fragileUntil = 0;
  /** Namespaces whose actor has crashed and may not be back. */
  readonly crashed = new Set<string>();
  /** `true` once the stored index was damaged by the world, so that it must be rebuilt. */
  isIndexHarmed = false;
  /** Updates that watchers received. */
  readonly told: Update[] = [];
  readonly settings: Partial<OpenOptions>;
  readonly healsAt: number;
  /** Damages the stored index now and then. */
  readonly harmsIndex: boolean;
  process: SimProcess;
  /** Number of ends of the process in the middle of its work. */
  deaths = 0;
  #problem: Error | undefined;
  #starting: Promise<void> | undefined;

  constructor(seed: number, sabotage: Sabotage = {}) {
    this.random = new Random(seed);
    this.sabotage = sabotage;
    const own = () => new Random(this.random.below(2 ** 31));
    this.disk = new SimDisk(this.timeline, own(), sabotage.disk);
    this.network = new SimNetwork(this.timeline, own(), sabotage.jitter);
    this.mirror.loses = sabotage.mirrorLoses ?? (() => false);
    this.broker.loses = sabotage.brokerLoses ?? (() => false);
    this.settings = {
      passivateAfterMs: this.random.pick([0, 300, 2_000]),
      maxResidentNamespaces: this.random.pick([1, 2, 100]),
      log: { capacityUpdates: this.random.pick([2, 10, 1_000]) },
    };
    this.harmsIndex = this.random.below(3) === 0;
    this.healsAt = this.timeline.now + TROUBLE_MS;
    this.process = new SimProcess(this);
  }

  get servers(): readonly Server[] {
    return [this.mirror, this.broker, this.snapshots];
  }

  get healed(): boolean {
    return this.timeline.now >= this.healsAt;
  }

  /** Reports a violation. The first one counts. */
  fail(problem: string): void {
    this.#problem ??= new Error(problem);
  }

  assertWell(): void {
    if (this.#problem !== undefined) throw this.#problem;
  }

  /** Lets time pass until `done` returns true, or until an instant. */
  async run(until: number, done: () => boolean = () => false): Promise<boolean> {
    while (!done()) {
      this.assertWell();
      await this.#starting;
      const { next } = this.timeline;
      if (next === undefined || next > until) {
        this.timeline.passUntil(until);
        return done();
      }
      await this.timeline.step();
    }
    return true;
  }

  /** Ends the machine or only the process in the middle of its work, and restarts it. */
  crash(power: boolean): void {
    this.trace.note(`crash ${power}`);
    this.deaths += 1;
    this.process.die();
    if (power) this.disk.powerCut();
    else this.disk.processDied();
    this.restartAfter(this.random.next() * 500);
  }

  /** Damages the index, unless a process has it open. */
  harmIndex(): void {
    if (this.disk.storage.harm() !== undefined) this.isIndexHarmed = true;
  }

  restartAfter(delayMs: number): void {
    this.process.die();
    const born = new SimProcess(this);
    this.process = born;
    this.timeline.after(delayMs, () => void this.#start(born));
  }

  async #start(process: SimProcess): Promise<void> {
    // It loads modules before it uses its disk, which takes real time: simulated time waits for it.
    this.#starting = process.reachesDisk.then(() => this.timeline.settle());
    await process.start();
    // A process manager restarts it.
    if (process.alive && process.cache === undefined) {
      this.disk.processDied();
      this.restartAfter(200);
    }
  }

  /** Ends all faults. */
  heal(): void {
    this.trace.note('healed');
    this.network.faultRate = 0;
    this.disk.trouble.end();
    this.fragileUntil = 0;
    const { cache } = this.process;
    for (const namespace of cache?.health().namespaces.failed ?? []) {
      void this.process.follow('restart', (cache as AgentContextCache).ask({ type: 'namespace.restart', namespace }));
    }
    for (const server of this.servers) {
      server.awayUntil = server.name === this.sabotage.staysAway ? Number.POSITIVE_INFINITY : 0;
    }
  }
}

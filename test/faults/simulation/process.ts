import { apply } from '../../../src/core/apply.ts';
import { AgentContextCache, type OpenOptions } from '../../../src/index.ts';
import { linksTo } from './broker.ts';
import { SimMirror } from './mirror.ts';
import type { Server, SimConnection } from './network.ts';
import { SimSnapshotStore } from './snapshots.ts';
import { ProcessClock } from './timeline.ts';
import type { Living } from './trouble.ts';
import type { World } from './world.ts';

/** Failures that no fault of disk or network explains. */
const NEVER_RIGHT = new Set(['INVARIANT', 'LOG_CORRUPT', 'TypeError', 'RangeError', 'ReferenceError']);

/** Reasons to rebuild an index that nothing has damaged: there is none, or it could not be opened again and again. */
const FOR_GOOD_REASON = /it is missing|has ended \d+ times|simulated: /;

/** An acknowledgement to an agent. */
export interface Acked {
  readonly position: number;
  readonly version: number;
  readonly namespace: string;
}

/** One life of the process that holds the cache. Has no effect after {@link SimProcess.die}. */
export class SimProcess implements Living {
  alive = true;
  cache: AgentContextCache | undefined;
  /** Operations under way. */
  readonly underWay = new Set<string>();
  readonly clock: ProcessClock;
  /** Resolves when it first uses its disk, or has ended before. */
  readonly reachesDisk: Promise<void>;
  readonly #world: World;
  #reached: () => void = () => {};

  constructor(world: World) {
    this.#world = world;
    this.clock = new ProcessClock(world.timeline);
    this.reachesDisk = new Promise((resolve) => {
      this.#reached = resolve;
    });
  }

  /** Opens the cache. That may fail while the disk does. */
  async start(): Promise<void> {
    const { world } = this;
    try {
      const cache = await AgentContextCache.open(this.#options());
      if (!this.alive) return;
      this.cache = cache;
      cache.subscribe((update) => this.alive && world.told.push(update));
      world.trace.note(`opened ${cache.position}`);
    } catch (error) {
      if (!this.alive) return;
      const { code, message } = error as { code?: string; message: string };
      world.trace.note(`not opened ${code}`);
      if (code === 'NOT_EMPTY') world.restoreFrom = undefined;
      else if (code !== 'LOG_UNAVAILABLE' && code !== 'OUTCOME_UNKNOWN') world.fail(`opening: ${code} ${message}`);
    } finally {
      this.#reached();
    }
  }

  /** Waits for an operation of an agent and notes its outcome. */
  async follow(name: string, work: Promise<unknown>): Promise<void> {
    const { world } = this;
    this.underWay.add(name);
    try {
      const result = (await work) as { position?: number; version?: number; changed?: boolean; namespace?: string };
      if (!this.alive) return;
      world.trace.note(`${name} acked ${result?.position}`);
      if (result?.changed) world.acked.push({ ...(result as Acked), namespace: name.split(' ')[1] as string });
    } catch (error) {
      if (!this.alive) return;
      const { code } = error as { code?: string };
      world.trace.note(`${name} failed ${code ?? String(error)}`);
      if (code === undefined || NEVER_RIGHT.has(code)) world.fail(`${name}: ${String(error)}`);
    } finally {
      this.underWay.delete(name);
    }
  }

  die(): void {
    this.alive = false;
    this.clock.die();
  }

  private get world(): World {
    return this.#world;
  }

  #options(): OpenOptions {
    const { disk, mirror, broker, snapshots, sabotage, settings } = this.world;
    const to = (server: Server) => (): SimConnection => this.world.network.connect(this, server);
    return {
      ...settings,
      dataDir: '/simulated',
      restoreFrom: this.world.restoreFrom,
      restart: { intensity: 3, periodMs: 2_000, backOffMs: 20 },
      clock: this.clock,
      secondaryCache: new SimMirror(mirror, to(mirror)),
      natsUrl: 'nats://simulated:4222',
      subjectId: null,
      topics: ['agents.context'],
      backup: {
        enabled: true,
        mode: 'on_change',
        interval: 3,
        keep: 2,
        store: new SimSnapshotStore(snapshots, to(snapshots), this.clock),
      },
      mirrorTimeoutMs: 1_500,
      backOff: { initialMs: 50, maximumMs: 1_000, stalledAfter: 5 },
      internals: {
        ...disk.openFor(this, this.#reached),
        openLink: linksTo(broker, to(broker), this.clock),
        apply: (state, update) => this.#fold(state, update),
        // Often, so that faults hit it.
        checkpointMs: 100,
        ...sabotage.internals,
      },
      onError: (error) => this.#report(error),
    };
  }

  #fold(...[state, update]: Parameters<typeof apply>): void {
    const { world } = this;
    if (this.alive && world.timeline.now < world.fragileUntil && world.random.below(5) === 0) {
      world.crashed.add(update.namespace);
      world.trace.note(`crash of ${update.namespace}`);
      throw new Error('simulated: the fold is broken');
    }
    apply(state, update);
  }

  #report(error: Error): void {
    if (!this.alive) return;
    const rebuilt = / is rebuilt from position .* \((.*)\)/.exec(error.message)?.[1];
    if (rebuilt !== undefined) this.world.trace.note(`index rebuilt: ${rebuilt}`);
    if (this.world.isIndexHarmed) {
      if (/The (index|log and the index) /.test(error.message)) return;
    } else if (rebuilt !== undefined && !FOR_GOOD_REASON.test(rebuilt)) {
      this.world.fail(`the index was rebuilt: ${rebuilt}`);
    }
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
      const name = (cause as { code?: string }).code ?? cause.name;
      if (NEVER_RIGHT.has(name)) this.world.fail(`reported: ${name} ${cause.message}\n${cause.stack}`);
    }
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import { AgentContextCache, type OpenOptions } from '../../../src/index.ts';
import { removeTempDir, tempDir } from '../../support/temp-dir.ts';
import { long, type Random, times } from '../support.ts';
import { HurriedClock } from './hurried-clock.ts';
import { callsThatWait } from './local-calls.ts';
import { SteadyWriter } from './writer.ts';

/** Factor of the caches' clock: in the short form 30 seconds of their time pass in 3. */
export const HURRY = times(10, 1);
/** How long a server is stopped, in real milliseconds. */
export const STOP_MS = 30_000 / HURRY;
/** Time limit for mirror and subscriber after healing, in milliseconds. Most of it is for a busy machine. */
const HEALED_MS = 10_000;
const SLACK_MS = times(20_000, 5_000);

/** One cache that is written to all the time, and its one follower, whose server is disturbed. */
export class Side implements AsyncDisposable {
  readonly name: 'in memory' | 'durable';
  readonly cache: AgentContextCache;
  readonly writer: SteadyWriter;
  readonly clock: HurriedClock;
  readonly #follower: 'mirror' | 'broadcaster';
  readonly #dataDir: string | undefined;

  static async open(
    name: Side['name'],
    follower: Side['follower'],
    random: Random,
    hurry: number,
    options: (clock: HurriedClock) => OpenOptions,
  ): Promise<Side> {
    const dataDir = name === 'durable' ? await tempDir('servers') : undefined;
    const clock = new HurriedClock(hurry);
    const cache = await AgentContextCache.open({
      // Small, so that missed updates are coalesced.
      log: { capacityUpdates: 256 },
      onError: () => {},
      natsUrl: null,
      ...options(clock),
      dataDir,
      clock,
    });
    return new Side(name, follower, cache, new SteadyWriter(cache, random, long ? 2_000 : 600), clock, dataDir);
  }

  private constructor(
    name: Side['name'],
    follower: Side['follower'],
    cache: AgentContextCache,
    writer: SteadyWriter,
    clock: HurriedClock,
    dataDir: string | undefined,
  ) {
    this.name = name;
    this.#follower = follower;
    this.cache = cache;
    this.writer = writer;
    this.clock = clock;
    this.#dataDir = dataDir;
  }

  get follower(): 'mirror' | 'broadcaster' {
    return this.#follower;
  }

  get health() {
    const health = this.cache.health().followers.find(({ name }) => name === this.#follower);
    if (health === undefined) throw new Error(`There is no ${this.#follower}.`);
    return health;
  }

  /** Returns whether everything committed was delivered. */
  get delivered(): boolean {
    return this.health.state === 'following' && this.health.lag === 0;
  }

  /** Returns the local calls that wait for a server while no deadline of the cache can come. */
  async callsThatWait(): Promise<string[]> {
    this.clock.freeze();
    try {
      return await callsThatWait(this.cache, this.name === 'in memory');
    } finally {
      this.clock.thaw();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.writer.pause();
    this.clock.thaw();
    await this.cache.shutdown({ timeoutMs: 0 });
    if (this.#dataDir !== undefined) removeTempDir(this.#dataDir);
  }
}

/** Waits until it holds. `where`: for the error. */
export async function until(holds: () => boolean, where: () => string, limitMs = HEALED_MS + SLACK_MS): Promise<void> {
  const end = performance.now() + limitMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`Not within ${limitMs} ms: ${where()}`);
    await sleep(5);
  }
}

/** Compares again until there is no difference or the time limit for healing is over. Returns the last difference. */
export async function lastDifferences(look: () => Promise<string[]>): Promise<string[]> {
  const end = performance.now() + HEALED_MS + SLACK_MS;
  for (;;) {
    const differences = await look();
    if (differences.length === 0 || performance.now() > end) return differences.slice(0, 10);
    await sleep(20);
  }
}

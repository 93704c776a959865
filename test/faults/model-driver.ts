import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SnapshotStore } from '../../src/backup.ts';
import { apply } from '../../src/core/apply.ts';
import { MemorySnapshotStore } from '../../src/followers/backup/memory-snapshot-store.ts';
import { AgentContextCache, type OpenOptions, type Update } from '../../src/index.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { type Answer, type Logged, Model } from './model.ts';
import { SimDisk } from './simulation/disk.ts';
import { Timeline, Trace } from './simulation/timeline.ts';
import { Random } from './support.ts';

export const NAMESPACES = ['default', 'a', '__proto__', 'p/1:a/0\0é'];
export const KEYS = ['k0', 'k1', 'k2', '__proto__'];

/** How the process ends before it returns: by a shutdown, a kill, or a power cut. */
export type End = 'shutdown' | 'kill' | 'power cut';

/** A deliberate error that must be found. */
export interface Planted {
  readonly rule?: Model['rule'] | undefined;
  readonly skips?: ((update: Update) => boolean) | undefined;
}

/** A cache beside its model. Each command goes to both, and the results are compared. */
export class Driver {
  /** Clock of the process that holds the cache. */
  clock = new ManualClock();
  model = new Model();
  readonly durable: boolean;
  cache!: AgentContextCache;
  /** Counts what happened in all runs: runs in which nothing happens find nothing. */
  readonly seen: Map<string, number>;
  readonly #planted: Planted;
  readonly #pending: Promise<void>[] = [];
  /** The namespace whose actor crashes at its next update. */
  #fragile: string | undefined;
  #crashed = false;
  #disk = newDisk();
  #process = { alive: true };
  readonly #store = new KeptStore();

  constructor(durable: boolean, planted: Planted = {}, seen: Map<string, number> = new Map()) {
    this.durable = durable;
    this.seen = seen;
    this.#planted = planted;
    if (planted.rule !== undefined) this.model.rule = planted.rule;
  }

  async open(options: OpenOptions = {}): Promise<void> {
    this.#process = { alive: true };
    this.cache = await AgentContextCache.open({
      clock: this.clock,
      natsUrl: null,
      backup: { store: this.#store },
      restart: { intensity: 1_000_000, periodMs: 1, backOffMs: 0 },
      log: this.durable ? { capacityUpdates: 3 } : {},
      passivateAfterMs: 400,
      onError: () => {},
      internals: {
        ...this.#disk.openFor(this.#process, () => {}),
        apply: (state, update) => this.#fold(state, update),
        checkpointMs: 500,
      },
      ...(this.durable ? { dataDir: '/simulated' } : {}),
      ...options,
    });
  }

  note(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }

  /** Starts a write and notes its expected result. `wait`: waits for it. */
  async write(
    write: () => Promise<unknown>,
    expected: () => Answer | 'conflict' | 'crash',
    wait: boolean,
  ): Promise<void> {
    const work = write();
    const answer = expected();
    this.#pending.push(this.#compare(work, answer));
    if (wait) await this.settle();
  }

  /** Removes expired entries of a namespace from the model, as any command to the namespace does first. */
  expireNow(namespace: string): void {
    for (const { key } of this.model.over(namespace, this.clock.now()))
      this.model.expire(namespace, key, this.clock.now());
  }

  /** Waits until every write has been answered as expected. */
  async settle(): Promise<void> {
    await Promise.all(this.#pending.splice(0));
    assert.equal(this.cache.position, this.model.head, 'the position');
  }

  /** Advances time. The order in which namespaces expire is free; the removed entries are compared. */
  async advance(ms: number): Promise<void> {
    await this.settle();
    for (const step of [ms, 0, 0]) {
      this.clock.advance(step);
      for (let i = 0; i < 3; i += 1) await nextTurn();
      await this.#followExpiries();
    }
    const left = NAMESPACES.flatMap((name) => this.model.over(name, this.clock.now()));
    assert.deepEqual(left, [], 'what is over is still there');
  }

  /** Makes the actor of a namespace crash at the namespace's next update. */
  async crashAt(namespace: string, write: () => Promise<void>): Promise<void> {
    await this.settle();
    this.#fragile = namespace;
    this.#crashed = false;
    await write();
    this.#fragile = undefined;
    await this.advance(0);
  }

  /** Returns whether the actor has crashed. */
  get crashed(): boolean {
    return this.#crashed;
  }

  async reopen(end: End): Promise<void> {
    if (!this.durable) return;
    await this.settle();
    // An expiry made by a refused command is acknowledged to no caller.
    await this.cache.flush();
    if (end === 'shutdown') await this.#shutdown();
    else {
      this.#process.alive = false;
      const now = this.clock.now();
      this.clock = new ManualClock();
      this.clock.advance(now - this.clock.now());
      if (end === 'kill') this.#disk.processDied();
      else this.#disk.powerCut();
    }
    await this.open();
    this.note(end);
    await this.advance(0);
  }

  async backup(): Promise<void> {
    await this.settle();
    const { position } = await this.cache.backup();
    assert.equal(position, this.model.head, 'the position of the snapshot');
  }

  /** Restarts from the newest snapshot, in a new directory. */
  async restore(): Promise<void> {
    await this.settle();
    if ((await this.#store.newest()) === undefined) await this.backup();
    const newest = (await this.#store.newest()) as number;
    await this.#shutdown();
    this.#disk = newDisk();
    await this.open({ restoreFrom: this.#store });
    this.note('restored');
    this.model.restore(newest);
    await this.advance(0);
  }

  /** Forks the cache and the model at a position. */
  async fork(position: number): Promise<Driver> {
    const branch = new Driver(false, this.#planted, this.seen);
    branch.clock = this.clock;
    branch.cache = await this.cache.fork({ at: position, log: {} });
    branch.model = this.model.fork(position);
    return branch;
  }

  /** Discards the past, but no more than asked. */
  async compact(keepUpdates: number): Promise<void> {
    await this.settle();
    await this.cache.compact({ keepUpdates });
    const { begin: now } = this.cache.health().retention;
    const { begin, head } = this.model;
    assert(now >= begin && now <= Math.max(begin, head - keepUpdates), `the past of ${head} begins at ${now}`);
    if (now > begin) this.note('compacted');
    this.model.forget(now);
  }

  /** Merges the changes of a branch. The updates it writes are taken from the cache; their effect is compared. */
  async merge(branch: Driver): Promise<void> {
    const { updates } = await this.cache.merge(branch.cache, { onConflict: 'theirs' });
    const written = await this.log(this.model.head + 1);
    // Expired entries are removed first, as by any command.
    const merged = written.filter(({ operation }) => operation !== 'expire');
    assert.equal(merged.length, updates, 'the report of the merge');
    for (const update of written) assert.deepEqual(update, this.model.adopt(update));
    this.note('merged');
  }

  async log(from = this.model.begin + 1): Promise<Logged[]> {
    await this.cache.flush();
    const log: Logged[] = [];
    for await (const { bytes: _, ...update } of this.cache.readLog({ from })) log.push(update);
    return log;
  }

  async end(): Promise<void> {
    await this.#shutdown();
  }

  async #shutdown(): Promise<void> {
    const { logError } = await this.cache.shutdown({ timeoutMs: 10_000 });
    assert.equal(logError, undefined);
    assert.deepEqual(this.clock.pending, [], 'timers are left');
  }

  async #compare(work: Promise<unknown>, expected: Answer | 'conflict' | 'crash'): Promise<void> {
    const came = await work.then(
      (answer) => answer,
      ({ code }) => code,
    );
    this.note(typeof expected === 'string' ? expected : 'written');
    if (expected === 'conflict') assert.equal(came, 'VERSION_CONFLICT');
    else if (expected === 'crash') assert.equal(came, 'NAMESPACE_UNAVAILABLE');
    else assert.deepEqual(came, expected, 'the answer');
  }

  async #followExpiries(): Promise<void> {
    for (const update of await this.log(this.model.head + 1)) {
      const [next] = this.model.over(update.namespace, this.clock.now());
      this.note('expired');
      assert.equal(update.operation, 'expire');
      assert.equal(update.key, next?.key, 'another key is taken out');
      this.model.expire(update.namespace, next?.key as string, this.clock.now());
      assert.deepEqual(update, this.model.log.at(-1));
    }
  }

  #fold(...[state, update]: Parameters<typeof apply>): void {
    if (update.namespace === this.#fragile) {
      this.#fragile = undefined;
      this.#crashed = true;
      throw new Error('simulated: the fold is broken');
    }
    if (this.#planted.skips?.(update) === true) apply(state, { ...update, operation: 'evict', key: 'no such key' });
    else apply(state, update);
  }
}

/** A store that outlives the caches that close it. */
class KeptStore extends MemorySnapshotStore implements SnapshotStore {
  override async close(): Promise<void> {}

  /** Position of the newest snapshot. */
  async newest(): Promise<number | undefined> {
    const name = (await this.list('snapshot-')).at(-1);
    return name === undefined ? undefined : Number(name.split('-')[2]);
  }
}

/** A disk that is never slow and never fails. A power cut takes what is not synced. */
function newDisk(): SimDisk {
  const disk = new SimDisk(new Timeline(new Trace()), new Random(1));
  disk.trouble.slowRate = 0;
  return disk;
}

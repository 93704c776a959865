import assert from 'node:assert/strict';
import { TimeSlice } from '../../../src/core/time-slice.ts';
import { createUpdate } from '../../../src/core/update.ts';
import { readBaseSync, writeBase } from '../../../src/storage/disk/base/base-file.ts';
import type { Files } from '../../../src/storage/disk/files.ts';
import { compressSegment } from '../../../src/storage/disk/log/compress-segment.ts';
import { DiskLog } from '../../../src/storage/disk/log/disk-log.ts';
import { segmentName } from '../../../src/storage/disk/log/segment.ts';
import { isCompressed } from '../../../src/storage/disk/log/segment-file.ts';
import { Random } from '../support.ts';
import { type FilesSabotage, SimFileSystem } from './sim-files.ts';
import { ProcessClock, Timeline, Trace } from './timeline.ts';
import { Trouble } from './trouble.ts';

const DATA_DIR = '/simulated/data';
const PATH = `${DATA_DIR}/db`;
const GENERATIONS = 6;
/** Simulated milliseconds after which a call must have ended once the disk works. */
const PATIENCE_MS = 60_000;

/** What happened in a life, to see that it was not idle. */
export interface LogLife {
  readonly trace: string;
  readonly updates: number;
  readonly cuts: number;
  readonly bases: number;
  /** Number of files that were compressed. */
  readonly compressed: number;
}

/** A log over processes that die and disks that fail, without anything above the log. */
export async function liveLog(seed: number, sabotage: FilesSabotage = {}): Promise<LogLife> {
  const life = new Life(seed, sabotage);
  try {
    for (let generation = 0; generation < GENERATIONS; generation += 1) await life.generation();
    return await life.end();
  } catch (cause) {
    const repeat = `FAULT_SEED=${seed} npx vitest run --config vitest.faults.config.ts test/faults/simulation/log`;
    throw new Error(`Seed ${seed}: ${(cause as Error).message}\nRepeat it with ${repeat}\n${life.trace.last()}`, {
      cause,
    });
  }
}

class Life {
  readonly trace = new Trace();
  readonly #timeline = new Timeline(this.trace);
  readonly #random: Random;
  readonly #trouble: Trouble;
  readonly #system: SimFileSystem;
  /** `false`: the log does not wait for the disk, and a power cut may take the end of it. */
  readonly #sync: boolean;
  /** Values of the updates by position. The last ones may not be in the log yet, or be lost. */
  #values: number[] = [];
  #acked = 0;
  #setting = 0;
  #ackedSetting = 0;
  #made = 0;
  #cuts = 0;
  #bases = 0;
  #compressed = 0;
  #process = { alive: false };
  #clock: ProcessClock;

  constructor(seed: number, sabotage: FilesSabotage) {
    this.#random = new Random(seed);
    this.#trouble = new Trouble(this.#timeline, new Random(this.#random.below(2 ** 31)));
    this.#system = new SimFileSystem(this.#trouble, sabotage);
    this.#sync = this.#random.below(4) > 0;
    this.#clock = new ProcessClock(this.#timeline);
  }

  async generation(): Promise<void> {
    const random = this.#random;
    const { log, files } = await this.#open();
    await this.#check(log, files);
    const end = this.#timeline.now + 200 + random.below(2_000);
    const work = this.#work(log, files, end);
    const way = random.pick(['cut', 'cut', 'cut', 'kill', 'close'] as const);
    const diesAt =
      way === 'close' ? Number.POSITIVE_INFINITY : this.#timeline.now + random.below(end - this.#timeline.now);
    await this.#pass(work, diesAt);
    this.#trouble.failureRate = 0;
    if (way === 'close') {
      this.#trouble.end();
      await this.#pass(log.close());
      this.#acked = log.head;
      // As with any program, an end of the machine is not expected to keep what was not synced.
    }
    this.#die(way === 'cut' || random.below(4) === 0);
  }

  async end(): Promise<LogLife> {
    this.#trouble.end();
    const { log, files } = await this.#open();
    await this.#check(log, files);
    await this.#pass(log.close());
    return {
      trace: this.trace.digest(),
      updates: this.#made,
      cuts: this.#cuts,
      bases: this.#bases,
      compressed: this.#compressed,
    };
  }

  async #open(): Promise<{ log: DiskLog; files: Files }> {
    for (let attempt = 0; ; attempt += 1) {
      this.#process = { alive: true };
      this.#clock = new ProcessClock(this.#timeline);
      const files = this.#system.filesFor(this.#process, () => {});
      this.#trouble.failureRate = attempt < 3 ? this.#random.pick([0, 0, 0.1]) : 0;
      const opening = DiskLog.open({
        dataDir: DATA_DIR,
        files,
        clock: this.#clock,
        sync: this.#sync,
        capacityUpdates: 10,
      });
      const diesAt =
        this.#random.below(6) === 0 ? this.#timeline.now + this.#random.below(40) : Number.POSITIVE_INFINITY;
      try {
        const log = await this.#pass(opening, diesAt);
        this.#trouble.failureRate = 0;
        if (log !== undefined) return { log, files };
      } catch (error) {
        if ((error as { code?: string }).code !== 'LOG_UNAVAILABLE') throw error;
      }
      this.#die(this.#random.below(2) === 0);
    }
  }

  /** Ends the process, and perhaps the machine. */
  #die(power: boolean): void {
    this.trace.note(`dies ${power}`);
    this.#process.alive = false;
    this.#clock.die();
    this.#trouble.end();
    if (!power) return;
    this.#cuts += 1;
    this.#system.powerCut();
    if (!this.#sync) this.#acked = this.#ackedSetting = 0;
  }

  /** Lets time pass until the work has ended; returns `undefined` if the process dies before. */
  async #pass<T>(work: Promise<T>, diesAt = Number.POSITIVE_INFINITY): Promise<T | undefined> {
    let ended = false;
    const end = () => {
      ended = true;
    };
    work.then(end, end);
    const late = this.#timeline.now + PATIENCE_MS;
    await this.#timeline.settle();
    for (let turns = 0; !ended; ) {
      const { next } = this.#timeline;
      if (next !== undefined && next > diesAt) return undefined;
      if (next === undefined || next > late) {
        turns += 1;
        assert(turns < 20, 'something is pending for ever');
        await this.#timeline.settle();
      } else await this.#timeline.step();
    }
    return work;
  }

  async #work(log: DiskLog, files: Files, end: number): Promise<void> {
    const random = this.#random;
    const follower = log.follower('f');
    const process = this.#process;
    while (process.alive && this.#timeline.now < end) {
      const roll = random.below(20);
      if (roll < 12) this.#append(log);
      else if (roll < 14) this.#set(log);
      else if (roll < 15) await follower.save(Math.min(log.committed, follower.checkpoint + random.below(20)));
      else if (roll < 16) await this.#base(log, files).catch(ignored);
      else if (roll < 17) this.#trouble.failingUntil = this.#timeline.now + random.below(300);
      else if (roll < 18) this.#trouble.failureRate = random.pick([0, 0, 0.03]);
      else if (roll < 19) await log.whenCommitted(log.head)?.catch(ignored);
      else await this.#compress(log, files).catch(ignored);
      await this.#timeline.wait(random.next() * random.pick([1, 10, 100]));
    }
  }

  #append(log: DiskLog): void {
    const random = this.#random;
    if (log.status !== 'ready') return;
    this.#values.length = log.head;
    const large = random.below(200) === 0 ? 1_500_000 : random.below(10) === 0 ? 10_000 : 200;
    const updates = Array.from({ length: 1 + random.below(4) }, () => {
      this.#made += 1;
      const value = { made: this.#made, text: 'x'.repeat(random.below(large)) };
      return updateOf(this.#values.push(this.#made), value);
    });
    log.append(updates);
    const { head } = log;
    const alive = this.#process;
    log.whenCommitted(head)?.then(() => {
      if (alive.alive) this.#acked = Math.max(this.#acked, head);
    }, ignored);
  }

  #set(log: DiskLog): void {
    this.#setting += 1;
    const value = this.#setting;
    const alive = this.#process;
    log.configStore.set('setting', value).then(() => {
      if (alive.alive) this.#ackedSetting = Math.max(this.#ackedSetting, value);
    }, ignored);
  }

  async #base(log: DiskLog, files: Files): Promise<void> {
    const { base } = log.names();
    const position = base + this.#random.below(log.committed - base + 1);
    if (position === base || log.follower('f').checkpoint < position) return;
    await log.sync();
    await log.trim(position);
    await writeBase(files, `${PATH}/base`, { log: log.id, position }, [this.#stateAt(position)]);
    await log.release(position, this.#random.below(2) === 0);
    this.#bases += 1;
  }

  /** Compresses the first closed file that is not compressed. Retention and later writes go on meanwhile. */
  async #compress(log: DiskLog, files: Files): Promise<void> {
    const { firsts } = log.names();
    const index = firsts.findIndex((first) => !isCompressed(files, `${PATH}/log/${segmentName(first)}`));
    const [first, next] = [firsts[index], firsts[index + 1]];
    if (first === undefined || next === undefined) return;
    await compressSegment(files, `${PATH}/log`, { first, next }, new TimeSlice(this.#clock));
    await log.exchange(first);
    this.#compressed += 1;
  }

  #stateAt(position: number) {
    const entry = {
      version: position,
      createdAt: 1,
      updatedAt: 1,
      agent: null,
      expiresAt: null,
      bytes: 8,
      meta: undefined,
    };
    const value = this.#values[position - 1] as number;
    return { name: 'n', version: position, position, entries: [['k', { ...entry, value }]] as const };
  }

  /** Compares what the log holds with what was written. */
  async #check(log: DiskLog, files: Files): Promise<void> {
    const { base } = log.names();
    assert(log.head >= this.#acked, `acknowledged up to ${this.#acked}, and the log ends at ${log.head}`);
    assert(log.head <= this.#values.length, `the log ends at ${log.head} of ${this.#values.length}`);
    if (base > 0) {
      const found = [...readBaseSync(files, `${PATH}/base`, { log: log.id, position: base })];
      const [state] = found.map((each) => ({ ...each, entries: [...each.entries] }));
      assert.equal(state?.entries[0]?.[1].value, this.#values[base - 1], `the base at ${base}`);
    }
    for (const { position, value } of log.recent(base + 1, log.head)) {
      assert.equal((value as { made: number }).made, this.#values[position - 1], `the update at ${position}`);
    }
    let next = log.first;
    for await (const updates of log.read(next)) for (const { position } of updates) assert.equal(position, next++);
    assert.equal(next, log.head + 1, 'the log as it is read');
    const setting = Number(log.configStore.get('setting') ?? 0);
    assert(
      setting >= this.#ackedSetting && setting <= this.#setting,
      `the setting is ${setting} of ${this.#ackedSetting}`,
    );
    this.#values.length = log.head;
    this.#acked = log.head;
    this.#ackedSetting = setting;
    if (!this.#sync) this.#acked = 0;
  }
}

function updateOf(version: number, value: { made: number; text: string }) {
  const rest = { namespace: 'n', operation: 'set', key: 'k', at: 1, bytes: value.text.length + 20 } as const;
  return createUpdate({ ...rest, version, value });
}

function ignored(): void {}

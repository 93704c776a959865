import { cp, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ContextCommand } from '../../src/index.ts';
import { buildDist } from '../support/dist.ts';
import { removeTempDir, tempDir } from '../support/temp-dir.ts';
import { checkDirectory, checkNoneLost, lostAcknowledgements, type Walk, within } from './crash-check.ts';
import { DiskImage, type Mount, mountingMissing } from './crash-disk.ts';
import { anyMoment, type KillMoment, runChild, type Said, writeCommands } from './crash-process.ts';
import { randomCommands } from './crash-workload.ts';
import { faultSeed, Random, times } from './support.ts';

const seed = faultSeed();
const CUTS = times(8, 100);
/** Power cuts of one disk before a new one is used. */
const GENERATIONS = times(4, 20);
const MEGABYTES = 160;
/** Many large values: files of the storage that depend on each other are tested only when they are replaced. */
const LARGE_ONE_IN = 12;

/** Reason why no power cut can be made here. */
const missing = await (async () => {
  const home = await tempDir('probe');
  try {
    return mountingMissing(['-t', 'ext4', '-o', 'loop', (await DiskImage.make(home, 8)).file]);
  } catch (error) {
    return (error as Error).message;
  } finally {
    removeTempDir(home);
  }
})();

beforeAll(buildDist);

describe.skipIf(missing !== undefined)(`a power cut${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  it(`takes nothing acknowledged, ${CUTS} times`, async () => {
    const random = new Random(seed);
    let cuts = 0;
    for (let line = 0; cuts < CUTS; line += 1) {
      await using computer = await Computer.make(randomCommands(seed + line, 3_000, LARGE_ONE_IN));
      for (let generation = 0; generation < GENERATIONS && cuts < CUTS; generation += 1) {
        const moment = anyMoment(random);
        const how = random.pick(['off', 'killed'] as const);
        await within({ seed, line, generation, moment, how, from: computer.next }, async () => {
          const upTo = moment.line === 'shutdown' ? 1 + random.below(200) : 600;
          const said = await computer.work(moment, how, { sync: true, upTo, inFlight: 1 + random.below(64) });
          if (said.killed) cuts += 1;
          checkNoneLost(await computer.check(random), said);
        });
      }
    }
  });

  for (const how of ['off', 'killed'] as const) {
    it(`takes acknowledged updates if nothing is synced (power ${how}), and the test finds that`, async () => {
      await using computer = await Computer.make(randomCommands(seed, 1_000));
      const settings = { sync: false, unsynced: true, upTo: 1_000, inFlight: 16 };
      const said = await computer.work({ line: 'a', count: 200, delayMs: 0 }, how, settings);
      const walk = await computer.check(new Random(seed)).catch((error) => {
        // Not even the start of the log was on disk.
        expect(error).toMatchObject({ code: 'LOG_CORRUPT' });
        return undefined;
      });
      if (walk === undefined) return;
      expect(lostAcknowledgements(walk, said)).toBeGreaterThan(100);
      expect(() => checkNoneLost(walk, said)).toThrow(/acknowledged are lost/);
    });
  }
});

interface Work {
  readonly sync: boolean;
  readonly unsynced?: boolean;
  readonly upTo: number;
  readonly inFlight: number;
}

/** A computer with power cuts: its disk, and the commands it was given. */
class Computer implements AsyncDisposable {
  readonly #home: string;
  readonly #commands: readonly ContextCommand[];
  #disk: DiskImage;
  #mount: Mount;
  /** The first command that is not in the log. */
  next = 0;

  private constructor(home: string, commands: readonly ContextCommand[], disk: DiskImage, mount: Mount) {
    this.#home = home;
    this.#commands = commands;
    this.#disk = disk;
    this.#mount = mount;
  }

  static async make(commands: readonly ContextCommand[]): Promise<Computer> {
    const home = await tempDir('power');
    await writeCommands(join(home, 'commands.ndjson'), commands);
    const disk = await DiskImage.make(home, MEGABYTES);
    return new Computer(home, commands, disk, await disk.mount());
  }

  /**
   * Continues with the commands until the power fails. `off`: the disk is switched off while the process works.
   * `killed`: the process is killed. Either way, only what the disk has received by then is left.
   */
  async work(moment: KillMoment, how: 'off' | 'killed', { sync, unsynced, upTo, inFlight }: Work): Promise<Said> {
    const files = { commands: join(this.#home, 'commands.ndjson'), dataDir: join(this.#mount.path, 'data') };
    const range = { from: this.next, upTo: this.next + upTo };
    const settings = { inFlight, sync, ...(unsynced && { unsynced }), durability: 'log' } as const;
    const said = await runChild({ ...files, ...range, ...settings }, moment, async (child) => {
      if (how === 'off') await this.#mount.cutPower();
      child.kill('SIGKILL');
    });
    const left = await this.#disk.copy();
    await this.#mount[Symbol.asyncDispose]();
    await this.#disk.remove();
    this.#disk = left;
    this.#mount = await left.mount();
    return said;
  }

  /** Checks a copy, so that the next process finds what the power cut left. */
  async check(random: Random): Promise<Walk> {
    const copy = join(this.#home, 'copy');
    if ((await readdir(this.#mount.path)).includes('data'))
      await cp(join(this.#mount.path, 'data'), copy, { recursive: true });
    const walk = await checkDirectory(copy, { commands: this.#commands, views: { random, count: 4 } });
    removeTempDir(copy);
    this.next = walk.next;
    return walk;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#mount[Symbol.asyncDispose]();
    removeTempDir(this.#home);
  }
}

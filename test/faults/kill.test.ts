import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ContextCommand } from '../../src/index.ts';
import { buildDist } from '../support/dist.ts';
import { startNats, type TestServer } from '../support/servers.ts';
import { removeTempDir, tempDir } from '../support/temp-dir.ts';
import { checkDirectory, checkNoneLost, lostAcknowledgements, type Walk, within } from './crash-check.ts';
import { anyMoment, type ChildOptions, type KillMoment, runChild, type Said, writeCommands } from './crash-process.ts';
import { airlineCommands, randomCommands } from './crash-workload.ts';
import { Heard } from './heard.ts';
import { faultSeed, Random, times } from './support.ts';

const seed = faultSeed();
/** Kills for each of the eight combinations: more than 500 in all in the long form. */
const KILLS = times(4, 64);
/** A directory is killed this many times before a new one is used. */
const GENERATIONS = times(6, 16);

let nats: TestServer;
beforeAll(async () => {
  await buildDist();
  nats = await startNats({ jetstream: false });
});
afterAll(() => nats[Symbol.asyncDispose]());

const combinations = (['log', 'memory'] as const).flatMap((durability) =>
  [true, false].map((sync) => ({ durability, sync })),
);

describe(`kept through kills while it works through the recorded runs`, () => {
  for (const [index, settings] of combinations.entries()) {
    it(`durability ${settings.durability}, sync ${settings.sync}`, async () => {
      const random = new Random(seed + index);
      let kills = 0;
      for (let line = 0; kills < KILLS; line += 1) {
        await using directory = await Directory.make(airlineCommands(), { ...settings }, { seed, index, line });
        kills += await directory.killAgainAndAgain(random, KILLS - kills);
      }
    });
  }
});

describe('kept through kills during all kinds of work, with a mirror and a broadcast', () => {
  for (const [index, settings] of combinations.entries()) {
    it(`durability ${settings.durability}, sync ${settings.sync}`, async () => {
      const random = new Random(seed + 100 + index);
      let kills = 0;
      for (let line = 0; kills < KILLS; line += 1) {
        const commands = randomCommands(seed + 1000 * index + line, 4_000);
        const topic = `kill.${index}.${line}`;
        const heard = await Heard.on(nats.url, topic);
        const followed = { ...settings, natsUrl: nats.url, topic, mirror: 'mirror.json' };
        await using directory = await Directory.make(commands, followed, { seed, index, line }, heard);
        kills += await directory.killAgainAndAgain(random, KILLS - kills);
        await directory.end();
      }
    });
  }
});

it('loses acknowledgements that do not wait for the disk, and the check finds them', async () => {
  const settings = { durability: 'memory', sync: true, inFlight: 3_000 } as const;
  await using directory = await Directory.make(randomCommands(seed, 4_000), settings, { seed, control: true });
  // The child kills itself in the turn of the writes. A kill from here may come when everything is written.
  const said = await directory.run(undefined, 4_000, 3_000, 500);
  expect(said.killed).toBe(true);
  const walk = await directory.check(new Random(seed));
  expect(lostAcknowledgements(walk, said)).toBeGreaterThan(0);
  expect(() => checkNoneLost(walk, said)).toThrow(/acknowledged are lost/);
});

type Settings = Pick<ChildOptions, 'durability' | 'sync' | 'mirror' | 'natsUrl' | 'topic'>;

/** A data directory, its commands, and how many of them are in the log. */
class Directory implements AsyncDisposable {
  readonly #home: string;
  readonly #commands: readonly ContextCommand[];
  readonly #settings: Settings;
  readonly #where: object;
  readonly #heard: Heard | undefined;
  /** The first command that is not in the log. */
  #next = 0;

  private constructor(
    home: string,
    commands: readonly ContextCommand[],
    settings: Settings,
    where: object,
    heard?: Heard,
  ) {
    this.#home = home;
    this.#commands = commands;
    const { mirror } = settings;
    this.#settings = mirror === undefined ? settings : { ...settings, mirror: join(home, 'kept', mirror) };
    this.#where = { ...where, ...settings };
    this.#heard = heard;
  }

  static async make(commands: readonly ContextCommand[], settings: Settings, where: object, heard?: Heard) {
    const home = await tempDir('kill');
    // A child that is killed while it opens may not have made anything yet. The directory can be copied all the same.
    await mkdir(join(home, 'kept'));
    await writeCommands(join(home, 'commands.ndjson'), commands);
    return new Directory(home, commands, settings, where, heard);
  }

  /**
   * Continues with the commands from the end of the log and kills the child, several times. Returns the number of
   * kills.
   */
  async killAgainAndAgain(random: Random, most: number): Promise<number> {
    let kills = 0;
    for (let generation = 0; generation < GENERATIONS && kills < most; generation += 1) {
      if (this.#next > this.#commands.length - 400) break;
      const moment = anyMoment(random);
      await within({ ...this.#where, generation, moment, from: this.#next }, async () => {
        const upTo = this.#next + (moment.line === 'shutdown' ? 1 + random.below(300) : this.#commands.length);
        const said = await this.run(moment, upTo, 1 + random.below(64));
        if (said.killed) kills += 1;
        expect(said.errors).toEqual([]);
        const walk = await this.check(random);
        if (this.#settings.durability === 'log') checkNoneLost(walk, said);
        else lostAcknowledgements(walk, said);
        this.#heard?.checkNotBeyond(walk.position);
      });
    }
    return kills;
  }

  run(moment: KillMoment | undefined, upTo: number, inFlight: number, dieAt?: number): Promise<Said> {
    const commands = join(this.#home, 'commands.ndjson');
    const dataDir = join(this.#home, 'kept', 'data');
    return runChild({ ...this.#settings, dataDir, commands, from: this.#next, upTo, inFlight, dieAt }, moment);
  }

  /** Checks a copy, so that the next process finds what the killed one left. */
  async check(random: Random): Promise<Walk> {
    const copy = join(this.#home, 'copy');
    await cp(join(this.#home, 'kept'), copy, { recursive: true });
    const mirror = this.#settings.mirror === undefined ? undefined : join(copy, 'mirror.json');
    const views = { random, count: 4 };
    const walk = await checkDirectory(join(copy, 'data'), { commands: this.#commands, views, mirror });
    removeTempDir(copy);
    this.#next = walk.next;
    return walk;
  }

  /** Runs one more process to its end, after which every follower must have everything. */
  async end(): Promise<void> {
    await within({ ...this.#where, generation: 'last' }, async () => {
      const said = await this.run(undefined, this.#next + 100, 16);
      expect([said.errors, said.counts.get('done')]).toEqual([[], 1]);
      const walk = await this.check(new Random(seed));
      checkNoneLost(walk, said);
      await this.#heard?.checkWhole(join(this.#home, 'kept', 'data'));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#heard?.close();
    removeTempDir(this.#home);
  }
}

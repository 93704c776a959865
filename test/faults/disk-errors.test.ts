import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ContextCommand } from '../../src/index.ts';
import { buildDist } from '../support/dist.ts';
import { tempDir } from '../support/temp-dir.ts';
import { checkDirectory, checkNoneLost, lostAcknowledgements, within } from './crash-check.ts';
import { Mount, mountingMissing } from './crash-disk.ts';
import { writeCommands } from './crash-process.ts';
import { randomCommands } from './crash-workload.ts';
import { compileShim, type DiskChildOptions, type DiskFault, type DiskSaid, runOnBadDisk } from './disk-faults.ts';
import { faultSeed, long, Random, times } from './support.ts';

const seed = faultSeed();
/** Faults of one process, one after another. */
const TOGETHER = times(6, 20);

const compiled = await compileShim(await tempDir('shim'));
const missing = 'missing' in compiled ? compiled.missing : undefined;
const shim = 'shim' in compiled ? compiled.shim : '';

beforeAll(buildDist);

/**
 * All faults of the log at work: n up to 50, both errors, once and permanent, with every fate. A write to the log waits for
 * the disk, so it fails as a sync would. While a permanent fault lasts, every attempt to begin a new file fails, too.
 */
function faultsOf(random: Random): Omit<DiskFault, 'directory'>[] {
  const all = Array.from({ length: 50 }, (_, index) => index + 1).flatMap((n) =>
    (['EIO', 'ENOSPC'] as const).flatMap((error) =>
      [false, true].map((forever) => {
        const fate = random.pick(['lost', 'torn', 'done'] as const);
        const kinds = forever && random.below(2) === 0 ? (['write', 'sync', 'rename'] as const) : (['write'] as const);
        return { kinds, n, error, forever, fate };
      }),
    ),
  );
  return long ? all : Array.from({ length: TOGETHER }, () => random.pick(all));
}

describe.skipIf(missing !== undefined)(
  `a disk that fails${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    it('acknowledges nothing after a failed write until the disk works again, and then goes on', async () => {
      const random = new Random(seed);
      const faults = faultsOf(random);
      for (let first = 0; first < faults.length; first += TOGETHER) {
        const some = faults.slice(first, first + TOGETHER);
        await within({ seed, first, some }, async () => {
          const disk = await BadDisk.make(seed + first);
          const said = await disk.suffer(some);
          expect(said.wrong).toEqual([]);
          for (const course of said.courses(some.length)) expect(course).toBe('armed hit degraded reads lifted ready');
          expect(said.told('reads').filter((line) => !line.endsWith(' 42 1'))).toEqual([]);
          expect(said.counts.get('done')).toBe(1);
          await disk.check(said, random);
        });
      }
    });

    it('acknowledges everything while the thread that writes the index meets the failure, and the index catches up', async () => {
      const random = new Random(seed + 2);
      for (let index = 0; index < times(2, 40); index += 1) {
        const faults = [1, 2].map((which) => ({
          kinds: [random.pick(['write', 'sync'] as const)],
          n: long ? 2 * index + which : 1 + random.below(8),
          error: random.pick(['EIO', 'ENOSPC'] as const),
          forever: random.below(2) === 0,
          fate: random.pick(['lost', 'torn', 'done'] as const),
        }));
        await within({ seed, faults }, async () => {
          const disk = await BadDisk.make(seed + index);
          const said = await disk.suffer(faults, 'db/index');
          expect([said.wrong, [...said.refused], said.rejectedButConflicts]).toEqual([[], [], []]);
          for (const course of said.courses(faults.length))
            expect(course).toBe('armed hit degraded reads lifted ready');
          expect(said.counts.get('done')).toBe(1);
          await disk.check(said, random);
        });
      }
    });

    it('acknowledges nothing behind half a record', async () => {
      for (let index = 0; index < times(2, 30); index += 1) {
        await within({ seed, index }, async () => {
          const disk = await BadDisk.make(seed + index);
          expect(await disk.writeBehindTornRecord()).toEqual(['rejected', 'rejected', 'lost']);
        });
      }
    });

    it('makes the mirror equal after a failed rename, write or sync of its file', async () => {
      const random = new Random(seed);
      for (let index = 0; index < times(2, 25); index += 1) {
        const faults = [1, 2].map((which) => ({
          kinds: [random.pick(['write', 'sync', 'rename'] as const)],
          n: long ? 2 * index + which : 1 + random.below(8),
          error: random.pick(['EIO', 'ENOSPC'] as const),
          forever: random.below(2) === 0,
          fate: random.pick(['lost', 'done'] as const),
        }));
        await within({ seed, faults }, async () => {
          const disk = await BadDisk.make(seed + index, { mirror: true });
          const said = await disk.suffer(faults, 'mirror');
          expect(said.wrong).toEqual([]);
          for (const course of said.courses(faults.length))
            expect(course).toBe('armed hit degraded reads lifted ready');
          expect([...said.refused]).toEqual([]);
          await disk.check(said, random);
        });
      }
    });

    it('refuses the directory with a clear error if opening fails, and opens it once the disk works', async () => {
      const random = new Random(seed);
      let refusals = 0;
      for (let index = 0; index < times(4, 100); index += 1) {
        const opening = {
          kinds: [random.pick(['write', 'sync', 'rename'] as const)],
          n: long ? 1 + (index >> 1) : 1 + random.below(7),
          error: random.pick(['EIO', 'ENOSPC'] as const),
          forever: index % 2 === 0,
          fate: random.pick(['lost', 'torn', 'done'] as const),
        };
        await within({ seed, opening }, async () => {
          const disk = await BadDisk.make(seed + index);
          const said = await disk.open(opening);
          refusals += said.told('refused').length;
          for (const told of said.told('refused')) expect(told).toMatch(/^LOG_UNAVAILABLE .*Check the disk/);
          expect(said.counts.get('done')).toBe(1);
          await disk.check(said, random);
        });
      }
      expect(refusals).toBeGreaterThan(0);
    });

    it('keeps what was acknowledged if the process is killed while the log is degraded', async () => {
      const random = new Random(seed);
      for (let index = 0; index < times(2, 40); index += 1) {
        const fate = random.pick(['lost', 'torn', 'done'] as const);
        const kinds = ['write'] as const;
        const fault = { kinds, n: 1 + random.below(50), error: 'EIO', forever: true, fate } as const;
        await within({ seed, index, fault }, async () => {
          const disk = await BadDisk.make(seed + index);
          const said = await disk.suffer([fault], 'db/log', { stayAtReads: true });
          expect([said.killed, said.wrong]).toEqual([true, []]);
          await disk.check(said, random);
        });
      }
    });

    it('lets everything through while no fault is armed', async () => {
      const disk = await BadDisk.make(seed);
      const said = await disk.suffer([{ kinds: [], n: 5, error: 'EIO' }]);
      expect(said.courses(1)).toEqual(['armed missed']);
      expect([said.rejectedButConflicts, said.wrong]).toEqual([[], []]);
      await disk.check(said, new Random(seed));
    });

    it('loses acknowledgements that do not wait for the disk, and the check finds them', async () => {
      const disk = await BadDisk.make(seed);
      const fault = { kinds: ['write'], n: 5, error: 'EIO', forever: true } as const;
      const said = await disk.suffer([fault], 'db/log', { stayAtReads: true, durability: 'memory' });
      expect(said.killed).toBe(true);
      await expect(disk.check(said, new Random(seed))).rejects.toThrow(/acknowledged are lost/);
    });
  },
);

const unmountable = mountingMissing(['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs']);

it.skipIf(unmountable !== undefined)(
  `a disk that is full, until there is room${unmountable === undefined ? '' : ` (skipped: ${unmountable})`}`,
  async () => {
    for (let index = 0; index < times(1, 20); index += 1) {
      await within({ seed, index }, async () => {
        await using mount = await Mount.make(['-t', 'tmpfs', '-o', `size=${14_000 + 100 * index}k`, 'tmpfs']);
        const ballast = join(mount.path, 'ballast');
        await writeFile(ballast, Buffer.alloc(11_000_000));
        const disk = await BadDisk.make(seed + index, { at: mount.path });
        const said = await disk.suffer([{ full: true }], 'db/log', { ballast });
        expect(said.wrong).toEqual([]);
        expect(said.courses(1)).toEqual(['armed hit degraded reads lifted ready']);
        expect(said.told('reads')).toEqual(['0 42 1']);
        await disk.check(said, new Random(seed + index));
      });
    }
  },
);

type Fault = Omit<DiskFault, 'directory'> | { readonly full: true };

type Extras = Partial<Pick<DiskChildOptions, 'durability' | 'ballast' | 'stayAtReads'>>;

/** A directory on a failing disk, and the commands it is to hold. */
class BadDisk {
  readonly #home: string;
  readonly #dataDir: string;
  readonly #commands: readonly ContextCommand[];
  readonly #mirror: string | undefined;

  private constructor(home: string, at: string, commands: readonly ContextCommand[], mirror: boolean) {
    this.#home = home;
    this.#dataDir = join(at, 'data');
    this.#commands = commands;
    this.#mirror = mirror ? join(home, 'mirror', 'values.json') : undefined;
  }

  static async make(seed: number, { mirror = false, at }: { mirror?: boolean; at?: string } = {}): Promise<BadDisk> {
    const home = await tempDir('disk');
    const data = randomCommands(seed, 8_000).filter(
      ({ type }) => type.startsWith('context.') && type !== 'context.backup',
    );
    const commands: ContextCommand[] = [{ type: 'context.set', namespace: 'reads', key: 'known', value: 42 }, ...data];
    await writeCommands(join(home, 'commands.ndjson'), commands);
    return new BadDisk(home, at ?? home, commands, mirror);
  }

  /** Runs a process while files under `where` fail. */
  suffer(faults: readonly Fault[], where = 'db/log', extras: Extras = {}): Promise<DiskSaid> {
    const directory = where === 'mirror' ? join(this.#home, where) : join(this.#dataDir, where);
    return this.#run({ ...extras, faults: faults.map((fault) => ({ ...fault, directory })) });
  }

  /** Runs a process that opens the directory while opening fails. */
  open(opening: Omit<DiskFault, 'directory'>): Promise<DiskSaid> {
    return this.#run({ faults: [], opening: { ...opening, directory: this.#dataDir } });
  }

  /**
   * Writes twice at once while the first write reaches the file only in part. Returns both outcomes and whether the
   * second write is present when the storage is opened again.
   */
  async writeBehindTornRecord(): Promise<string[]> {
    const location = join(this.#home, 'storage');
    const said = await runOnBadDisk(shim, this.#home, { location }, undefined, 'torn-child.mjs');
    return said.lines;
  }

  /** Opens the directory on a working disk. Everything that was not refused must be present, once and in order. */
  async check(said: DiskSaid, random: Random): Promise<void> {
    const { refused } = said;
    const views = { random, count: 4 };
    const options = { commands: this.#commands, refused, views, mirror: this.#mirror };
    const walk = await checkDirectory(this.#dataDir, options);
    checkNoneLost(walk, said);
    if (said.killed) return;
    const [first] = walk.missing();
    const asked = Math.max(...said.acknowledged.keys(), ...said.rejected.keys());
    if (first !== undefined && first <= asked) throw new Error(`Command ${first} is not there`);
    expect(lostAcknowledgements(walk, said)).toBe(0);
  }

  #run(options: Pick<DiskChildOptions, 'faults' | 'opening'> & Extras) {
    const commands = join(this.#home, 'commands.ndjson');
    const files = { dataDir: this.#dataDir, commands, ...(this.#mirror && { mirror: this.#mirror }) };
    return runOnBadDisk(
      shim,
      this.#home,
      { durability: 'log', upTo: 200, ...files, ...options },
      options.stayAtReads ? 'reads' : undefined,
    );
  }
}

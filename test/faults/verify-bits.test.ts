import { appendFile, cp, readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import { verifyDirectory } from '../../src/index.ts';
import { storedLog } from '../../src/storage/disk/log/stored-log.ts';
import { type StoredVerdict, verifyStored } from '../../src/verify/disk/verify-stored.ts';
import { Findings, type VerifyProblem } from '../../src/verify/verify-findings.ts';
import { MemoryFiles } from '../support/memory-files.ts';
import { flipAt, framesOf, logFiles } from '../support/stored-log.ts';
import { removeTempDir, tempDir } from '../support/temp-dir.ts';
import { fill, open, told } from '../support/verify.ts';
import { faultSeed, Random, times } from './support.ts';

/** Resolves with the files below a folder that hold data, with their sizes. */
async function dataFiles(folder: string): Promise<(readonly [path: string, size: number])[]> {
  const found: (readonly [string, number])[] = [];
  for (const path of (await readdir(folder, { recursive: true })).sort()) {
    const of = await stat(join(folder, path));
    if (of.isFile() && of.size > 0 && !/(LOG(\.old)?|LOCK|lock\/.*|index\.open)$/.test(path))
      found.push([path, of.size]);
  }
  return found;
}

/** A directory with a base and a log of two files, of which the first ends with a write that was cut off. */
async function smallDirectory(): Promise<string> {
  const dataDir = await tempDir('small');
  for (let round = 0; round < 3; round += 1) {
    const cache = await open({ dataDir });
    await cache.set('plan', { steps: [round, 'search'] }, 'trip', { agent: 'planner', ttl: '1d' });
    await cache.set(`k${round}`, round);
    if (round === 0) await cache.compact({ keepUpdates: 0 });
    await cache.setTopicsList([`topic.${round}`]);
    await cache.delete('plan', 'trip');
    await cache.shutdown();
    if (round === 1) await appendFile(join(dataDir, 'db', 'log', (await logFiles(dataDir)).at(-1) ?? ''), 'torn');
  }
  return dataDir;
}

describe('verify of a small directory', () => {
  let dataDir = '';

  beforeAll(async () => {
    dataDir = await smallDirectory();
    expect(await logFiles(dataDir)).toHaveLength(2);
    expect(await readdir(join(dataDir, 'db', 'base'))).toHaveLength(1);
  });

  it('finds every flipped bit of base and log, or proves that it does not matter', async () => {
    const path = join(dataDir, 'db');
    const files = new MemoryFiles();
    const paths = (await dataFiles(path)).map(([name]) => name).filter((name) => /^(log|base)\//.test(name));
    for (const name of paths) files.put(join(path, name), await readFile(join(path, name)));
    const verify = async (): Promise<{ verdict: StoredVerdict; problems: readonly VerifyProblem[] }> => {
      const findings = new Findings(systemClock);
      const parts = { files, dataDir, path, ...(await storedLog(files, path)), index: undefined };
      return { verdict: await verifyStored(parts, findings), problems: findings.problems };
    };
    const whole = await verify();
    expect(told(whole.problems)).toEqual([]);
    let found = 0;
    const harmless = new Set<string>();
    for (const name of paths) {
      const bytes = files.bytes(join(path, name));
      const frames = framesOf(join(path, name));
      // One bit of each byte in the short form.
      for (let bit = 0; bit < 8 * bytes.length; bit += times(9, 1)) {
        const [at, what] = [bit >> 3, `bit ${bit % 8} of byte ${bit >> 3} of ${name}`];
        bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit % 8));
        const report = await verify().catch((error) => error as Error);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit % 8));
        if (report instanceof Error) {
          // The number of the format.
          expect(report, what).toMatchObject({ code: 'FORMAT_UNSUPPORTED', message: expect.stringContaining(name) });
          found += 1;
        } else if (report.problems.length > 0) {
          const frame = frames.find(({ offset, end }) => offset <= at && at < end);
          expect(report.problems[0]?.where, what).toMatchObject({ file: `db/${name}`, offset: frame?.offset ?? 0 });
          expect(report.verdict.isWhole, what).toBe(false);
          found += 1;
        } else {
          expect(report.verdict, what).toEqual(whole.verdict);
          harmless.add(`${name} ${frames.findLast(({ offset }) => offset <= at)?.offset ?? 0}`);
        }
      }
    }
    // The last note of each log file, which nothing behind it proves, and the write that was cut off.
    expect(found).toBeGreaterThan(times(1_000, 8_000));
    expect(harmless.size).toBeLessThanOrEqual(3);
  }, 300_000);

  it('finds flipped bits of the index, or proves that they do not matter', async () => {
    const { position, digest } = await verifyDirectory(dataDir);
    const files = await dataFiles(join(dataDir, 'db', 'index'));
    const bits = files.flatMap(([name, size]) => Array.from({ length: 8 * size }, (_, bit) => [name, bit] as const));
    const random = new Random(faultSeed());
    const chosen = Array.from({ length: times(60, bits.length) }, (_, index) =>
      times(0, 1) === 1 ? (bits[index] as (typeof bits)[number]) : random.pick(bits),
    );
    let found = 0;
    for (const [name, bit] of chosen) {
      const file = join(dataDir, 'db', 'index', name);
      const what = `seed ${faultSeed()}: bit ${bit % 8} of byte ${bit >> 3} of ${name}`;
      await flipAt(file, bit >> 3, 1 << (bit % 8));
      const report = await verifyDirectory(dataDir);
      await flipAt(file, bit >> 3, 1 << (bit % 8));
      expect(report, what).toMatchObject({ position, digest });
      for (const { kind, where } of report.problems) {
        expect({ kind, where }, what).toMatchObject({ kind: 'index', where: { file: 'db/index' } });
      }
      if (!report.ok || report.notes.length > 0) found += 1;
    }
    // About half of the bytes belong to older versions of records, which are never read.
    expect(found).toBeGreaterThan(chosen.length / 4);
  }, 900_000);
});

describe('verify of a directory with snapshots', () => {
  let whole = '';
  let files: readonly (readonly [path: string, size: number])[] = [];

  beforeAll(async () => {
    whole = await tempDir('bits');
    for (let round = 0; round < 2; round += 1) {
      const cache = await open({ dataDir: whole, durability: 'memory' });
      await fill(cache);
      await cache.backup();
      if (round === 0) await cache.compact({ keepUpdates: 100 });
      await cache.shutdown({ timeoutMs: 10_000 });
    }
    files = (await dataFiles(whole)).filter(([path]) => !path.startsWith('db/index'));
  }, 60_000);

  it('finds nothing without a flipped bit', async () => {
    expect(told((await verifyDirectory(whole)).problems)).toEqual([]);
  });

  it('finds a flipped bit anywhere, and names the file', async () => {
    const { position, digest } = await verifyDirectory(whole);
    const random = new Random(faultSeed());
    for (let i = 0; i < times(30, 1_000); i += 1) {
      const [path, size] = random.pick(files);
      const [at, bit] = [random.below(size), random.below(8)];
      const dataDir = await tempDir('flipped');
      await cp(whole, dataDir, { recursive: true });
      await flipAt(join(dataDir, path), at, 1 << bit);
      const report = await verifyDirectory(dataDir);
      const what = `seed ${faultSeed()}, flip ${i}: bit ${bit} of byte ${at} of ${size} in ${path}`;
      const lastFrame = path.endsWith('.log') ? (framesOf(join(whole, path)).at(-1)?.offset ?? size) : size;
      if (report.ok && at >= lastFrame) {
        // Looks like a write that a power cut has cut off. Nothing that counts is lost then.
        expect(report, what).toMatchObject({ position, digest });
      } else {
        expect(report.ok, what).toBe(false);
        expect(told(report.problems).join('\n'), what).toContain(basename(path, '.blob'));
      }
      removeTempDir(dataDir);
    }
  }, 600_000);
});

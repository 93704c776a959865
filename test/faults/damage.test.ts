import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { copyFile, open, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decode, encode } from '../../src/core/encoding/codec.ts';
import type { Update } from '../../src/index.ts';
import { type LevelStorage, openUnproven } from '../../src/storage/disk/leveldb/level-storage.ts';
import { seal, unseal } from '../../src/storage/disk/leveldb/sealed.ts';
import { copyOf, judge, type Open, openCache, openOver, type Verdict } from './damage-case.ts';
import { type Engine, Judges } from './damage-judges.ts';
import { Recorded } from './damage-model.ts';
import { type Filled, fillDirectory } from './damage-workload.ts';
import { faultSeed, long, Random, times } from './support.ts';

const seed = faultSeed();
/** Cases at a time. Most of a case is waiting for the disk. */
const TOGETHER = 4;

/** A file of the database, and how it is damaged. */
interface Case {
  readonly file: string;
  readonly what: string;
  readonly damage: (path: string) => Promise<unknown>;
}

/** The outcome of a damaged copy in a process of its own. */
type Judged = Extract<Verdict, string> | 'aborted';

let filled: Filled;
let judges: Judges;

function filesOf(pattern: RegExp): string[] {
  return readdirSync(join(filled.dataDir, 'db'))
    .filter((file) => pattern.test(file))
    .sort();
}

function sizeOf(file: string): number {
  return statSync(join(filled.dataDir, 'db', file)).size;
}

/** Judges damaged copies, each in a process that LevelDB may abort. */
async function judgeAll(cases: readonly Case[], engine: Engine = 'proven'): Promise<Judged[]> {
  const verdicts: Judged[] = [];
  for (let first = 0; first < cases.length; first += TOGETHER) {
    const some = cases.slice(first, first + TOGETHER);
    verdicts.push(...(await Promise.all(some.map((each, index) => judgeOne(each, seed + first + index, engine)))));
  }
  return verdicts;
}

/** Judges the directory after `change`, in this process. */
async function verdictAfter(change: (dataDir: string) => Promise<unknown>, by: Open, recorded = filled.recorded) {
  const dataDir = await copyOf(filled.dataDir, 'db', filesOf(/\.log$/)[0] as string);
  await change(dataDir);
  return judge(dataDir, recorded, new Random(seed), by);
}

async function judgeOne({ file, what, damage }: Case, caseSeed: number, engine: Engine): Promise<Judged> {
  const dataDir = await copyOf(filled.dataDir, 'db', file);
  await damage(join(dataDir, 'db', file));
  const outcome = await judges.judge({ dataDir, seed: caseSeed, engine });
  if (typeof outcome === 'string') return outcome;
  if ('wrong' in outcome) return expect.fail(`seed ${seed}: ${file}, ${what}: ${outcome.wrong} (left in ${dataDir})`);
  // LevelDB asserts the order of the keys that it merges. Only tables that were not proven before can violate it.
  const report = `seed ${seed}: ${file}, ${what}: LevelDB aborted the process: ${outcome.aborted} (left in ${dataDir})`;
  if (engine === 'proven') return expect.fail(report);
  console.warn(report);
  return 'aborted';
}

function flipOf(file: string, random: Random): Case {
  const [offset, bit] = [random.below(sizeOf(file)), random.below(8)];
  return { file, what: `bit ${bit} of byte ${offset}`, damage: (path) => flipBit(path, offset, bit) };
}

async function flipBit(path: string, offset: number, bit: number): Promise<void> {
  const file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, offset);
  byte[0] = (byte[0] ?? 0) ^ (1 << bit);
  await file.write(byte, 0, 1, offset);
  await file.close();
}

function count(verdicts: readonly (Judged | Verdict)[], verdict: Judged): number {
  return verdicts.filter((each) => each === verdict).length;
}

beforeAll(async () => {
  filled = await fillDirectory(seed);
  judges = await Judges.of(filled.recorded);
});

afterAll(() => judges[Symbol.asyncDispose]());

describe('a damaged directory is refused or read as a true prefix', () => {
  it('starts from what a workload leaves: several tables, a log in use, a manifest', () => {
    expect(filesOf(/\.ldb$/).length).toBeGreaterThan(2);
    expect(filesOf(/\.log$/).length).toBe(1);
    expect(sizeOf(filesOf(/\.log$/)[0] as string)).toBeGreaterThan(256 * 1024);
  });

  for (const kind of [/\.log$/, /^MANIFEST/, /\.ldb$/, /^CURRENT$/]) {
    it(`if the newest file like ${kind} is cut`, async () => {
      const random = new Random(seed);
      const file = filesOf(kind).at(-1) as string;
      const size = sizeOf(file);
      const last = Math.min(size, 4096);
      const cuts = long
        ? Array.from({ length: last }, (_, index) => size - 1 - index)
        : Array.from({ length: Math.min(last, 6) }, () => size - 1 - random.below(last));
      for (let i = 0; i < times(5, 300); i += 1) cuts.push(random.below(size));
      const verdicts = await judgeAll(
        cuts.map((length) => ({
          file,
          what: `cut to ${length} of ${size}`,
          damage: (path) => truncate(path, length),
        })),
      );
      if (file.endsWith('.log')) expect(count(verdicts, 'prefix')).toBe(cuts.length);
      if (file.endsWith('.ldb') || file === 'CURRENT') expect(count(verdicts, 'refused')).toBe(cuts.length);
    });
  }

  it('if a bit is flipped', async () => {
    const random = new Random(seed);
    const kinds = [/\.log$/, /\.log$/, /^MANIFEST/, /\.ldb$/, /\.ldb$/, /\.ldb$/, /\.ldb$/, /^[CL]/];
    const cases = Array.from({ length: times(48, 1000) }, () => {
      const file = random.pick(filesOf(random.pick(kinds)).filter((name) => sizeOf(name) > 0));
      return flipOf(file, random);
    });
    const verdicts = await judgeAll(cases);
    expect(count(verdicts, 'refused')).toBeGreaterThan(verdicts.length / 2);
  });

  it('if a file is removed, filled with zeros, or replaced by an earlier one', async () => {
    const cases: Case[] = [];
    for (const file of filesOf(/./)) {
      cases.push({ file, what: 'removed', damage: (path) => rm(path) });
      cases.push({
        file,
        what: 'zeros',
        damage: async (path) => writeFile(path, Buffer.alloc((await stat(path)).size)),
      });
      for (const older of filled.older) {
        const copy = join(older, file);
        if (!existsSync(copy) || readFileSync(copy).equals(readFileSync(join(filled.dataDir, 'db', file)))) continue;
        cases.push({ file, what: `as in ${older}`, damage: (path) => copyFile(copy, path) });
      }
    }
    expect(cases.filter(({ what }) => what.startsWith('as in')).length).toBeGreaterThan(3);
    await judgeAll(cases);
  });

  it('if a bit of a table is flipped in a directory too large to be proven', async () => {
    const random = new Random(seed);
    const cases = Array.from({ length: times(12, 1000) }, () => flipOf(random.pick(filesOf(/\.ldb$/)), random));
    const verdicts = await judgeAll(cases, 'large');
    expect(count(verdicts, 'noticed') + count(verdicts, 'refused')).toBeGreaterThan(0);
  });
});

describe('the check for wrong values', () => {
  const openUnprovenCache = openOver(openUnproven);

  it('finds none in an undamaged directory', async () => {
    expect(await verdictAfter(async () => {}, openCache)).toBe('prefix');
    expect(await verdictAfter(async () => {}, openUnprovenCache)).toBe('prefix');
  });

  it('finds a value that was changed together with its checksum', async () => {
    const planted = async (dataDir: string) => {
      const storage = await openUnproven(join(dataDir, 'db'), false);
      const [update] = filled.recorded.updates.filter(({ operation }) => operation === 'set').slice(-1);
      const page = (await storedPages(storage)).find(({ rows }) => rows.includes(update?.key));
      const at = page?.rows.indexOf(update?.key) ?? -1;
      const fields = decode(page?.rows[at + 2] as Uint8Array) as unknown[];
      fields[5] = 'planted';
      const rows = page?.rows.with(at + 2, encode(fields)) ?? [];
      await storage.batch([{ type: 'put', key: page?.key ?? '', value: seal(rows) }], true);
      await storage.close();
    };
    expect(await verdictAfter(planted, openCache)).toMatchObject({ wrong: expect.stringContaining('planted') });
  });

  it('finds a missing update and a changed one', async () => {
    const { updates } = filled.recorded;
    const shorter = new Recorded(updates.slice(0, -1));
    expect(await verdictAfter(async () => {}, openCache, shorter)).toMatchObject({ wrong: expect.any(String) });
    const last = updates.findLastIndex(({ operation }) => operation === 'set');
    const other = new Recorded(updates.with(last, { ...(updates[last] as Update), value: 'another' }));
    expect(await verdictAfter(async () => {}, openCache, other)).toMatchObject({ wrong: expect.any(String) });
  });

  it('finds what LevelDB drops silently if its files are not proven before', async () => {
    const log = filesOf(/\.log$/)[0] as string;
    const verdicts: Verdict[] = [];
    for (const part of [0.2, 0.35, 0.5, 0.65, 0.8]) {
      const flip = (dataDir: string) => flipBit(join(dataDir, 'db', log), Math.floor(part * sizeOf(log)), 0);
      expect(await verdictAfter(flip, openCache)).toBe('refused');
      verdicts.push(await verdictAfter(flip, openUnprovenCache));
    }
    expect(count(verdicts, 'prefix')).toBeLessThan(verdicts.length);
    expect(verdicts.filter((verdict) => typeof verdict === 'object')).not.toEqual([]);
  });
});

async function storedPages(storage: LevelStorage): Promise<{ key: string; rows: unknown[] }[]> {
  const pages: { key: string; rows: unknown[] }[] = [];
  for await (const [key, record] of storage.entries({ gte: '!state!p/', lt: '!state!p0' })) {
    pages.push({ key, rows: unseal(record, () => key) as unknown[] });
  }
  return pages;
}

import { existsSync, readFileSync, statSync } from 'node:fs';
import { copyFile, open, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Update } from '../../src/index.ts';
import { type Files, nodeFiles, readFile } from '../../src/storage/disk/files.ts';
import { FRAME_HEADER, frameAt, MAGIC } from '../../src/storage/disk/log/frame.ts';
import { isCompressed, readSegment } from '../../src/storage/disk/log/segment-file.ts';
import { copyOf, filesIn, judge, type Open, openCache, openOver, type Verdict } from './damage-case.ts';
import { Judges } from './damage-judges.ts';
import { Recorded } from './damage-model.ts';
import { type Filled, fillDirectory } from './damage-workload.ts';
import { faultSeed, long, Random, times } from './support.ts';

const seed = faultSeed();
/** Cases at a time. Most of a case is waiting for the disk. */
const TOGETHER = 4;
/** Openings within which an index on which LevelDB aborts the process must be rebuilt. */
const OPENINGS = 4;

/** A file of the directory, and how it is damaged. */
interface Case {
  /** Path in `db`. */
  readonly file: string;
  readonly what: string;
  readonly damage: (path: string) => Promise<unknown>;
  /** `true`: the index is removed, so that log and base are read. */
  readonly withoutIndex?: boolean;
}

type Judged = Extract<Verdict, string>;

let filled: Filled;
let files: readonly string[];
let judges: Judges;

function filesOf(pattern: RegExp): string[] {
  return files.filter((file) => pattern.test(file) && sizeOf(file) > 0);
}

function sizeOf(file: string): number {
  return statSync(join(filled.dataDir, 'db', file)).size;
}

async function judgeAll(cases: readonly Case[]): Promise<Judged[]> {
  const verdicts: Judged[] = [];
  for (let first = 0; first < cases.length; first += TOGETHER) {
    const some = cases.slice(first, first + TOGETHER);
    verdicts.push(...(await Promise.all(some.map((each, index) => judgeOne(each, seed + first + index)))));
  }
  return verdicts;
}

/** Judges a damaged copy in a process of its own. LevelDB may abort it, but not for ever. */
async function judgeOne({ file, what, damage, withoutIndex }: Case, caseSeed: number): Promise<Judged> {
  const dataDir = await copyOf(filled.dataDir, 'db', file);
  await damage(join(dataDir, 'db', file));
  if (withoutIndex) await rm(join(dataDir, 'db/index'), { recursive: true });
  const report = `seed ${seed}: ${file}, ${what}`;
  for (let opening = 1; ; opening += 1) {
    const outcome = await judges.judge({ dataDir, seed: caseSeed });
    if (typeof outcome === 'string') return outcome;
    if ('wrong' in outcome) return expect.fail(`${report}: ${outcome.wrong} (left in ${dataDir})`);
    console.warn(`${report}: LevelDB aborted the process: ${outcome.aborted}`);
    if (opening === OPENINGS) return expect.fail(`${report}: it aborts again and again (left in ${dataDir})`);
  }
}

/** Judges the directory after `change`, in this process. */
async function verdictAfter(change: (dataDir: string) => Promise<unknown>, by: Open, recorded = filled.recorded) {
  const dataDir = await copyOf(filled.dataDir, 'db', '');
  await change(dataDir);
  return judge(dataDir, recorded, new Random(seed), by);
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

async function fillWithZeros(path: string): Promise<void> {
  await writeFile(path, Buffer.alloc((await stat(path)).size));
}

function count(verdicts: readonly Verdict[], ...of: Judged[]): number {
  return verdicts.filter((verdict) => of.includes(verdict as Judged)).length;
}

beforeAll(async () => {
  filled = await fillDirectory(seed);
  files = await filesIn(join(filled.dataDir, 'db'));
  judges = await Judges.of(filled.recorded);
});

afterAll(() => judges[Symbol.asyncDispose]());

describe('a directory', () => {
  it('is what a workload with a compaction leaves: two files of the log, a base file, an index', () => {
    expect(filesOf(/^log\//).length).toBe(2);
    expect(sizeOf(filesOf(/^log\//)[1] as string)).toBeGreaterThan(64 * 1024);
    expect(filesOf(/^base\//).length).toBe(1);
    expect(filesOf(/^index\/.*\.ldb$/).length).toBeGreaterThan(0);
    expect(filesOf(/^lock\//).length).toBeGreaterThan(0);
  });

  it('is read as a true prefix if the newest file of the log is cut', async () => {
    const random = new Random(seed);
    const [, file] = filesOf(/^log\//) as [string, string];
    const size = sizeOf(file);
    const last = Math.min(size - 1024, 4096);
    const cuts = long
      ? Array.from({ length: last }, (_, index) => size - 1 - index)
      : Array.from({ length: 6 }, () => size - 1 - random.below(last));
    for (let i = 0; i < times(4, 300); i += 1) cuts.push(1024 + random.below(size - 1024));
    const verdicts = await judgeAll(cuts.map((length) => ({ ...cutTo(file, length), withoutIndex: true })));
    expect(count(verdicts, 'prefix', 'whole')).toBe(cuts.length);
    // An index that has what the log lacks shows that updates were lost.
    const shown = await judgeAll(cuts.slice(-times(3, 100)).map((length) => cutTo(file, length)));
    expect(count(shown, 'refused')).toBe(shown.length);
  });

  it('is refused, or the damage noticed, if an older file of the log or the base is cut', async () => {
    const random = new Random(seed);
    const [old] = filesOf(/^log\//) as [string];
    const [base] = filesOf(/^base\//) as [string];
    const cuts = Array.from({ length: times(4, 200) }, () => cutTo(old, random.below(sizeOf(old))));
    expect(count(await judgeAll(cuts), 'refused', 'noticed')).toBe(cuts.length);
    const bases = cuts.map(() => ({ ...cutTo(base, random.below(sizeOf(base))), withoutIndex: true }));
    expect(count(await judgeAll(bases), 'refused')).toBe(bases.length);
  });

  it('is refused, or read as a true prefix, if a bit of the log or of the base is flipped', async () => {
    const random = new Random(seed);
    const [old, last] = filesOf(/^log\//) as [string, string];
    const [base] = filesOf(/^base\//) as [string];
    const flips = (file: string) => Array.from({ length: times(8, 700) }, () => flipOf(file, random));
    const lasts = await judgeAll(flips(last));
    expect(count(lasts, 'refused', 'prefix', 'whole')).toBe(lasts.length);
    expect(count(lasts, 'refused')).toBeGreaterThan(lasts.length / 2);
    const olds = await judgeAll(flips(old));
    expect(count(olds, 'refused', 'noticed')).toBe(olds.length);
    const bases = await judgeAll(flips(base).map((flip) => ({ ...flip, withoutIndex: true })));
    expect(count(bases, 'refused')).toBe(bases.length);
    // While the index is whole, no reader needs the base.
    const unread = await judgeAll(flips(base).slice(0, 4));
    expect(count(unread, 'whole', 'refused', 'noticed')).toBe(unread.length);
  });

  it('is read whole whatever is flipped in the index or in the lock', async () => {
    const random = new Random(seed);
    const cases = Array.from({ length: times(24, 2_000) }, () =>
      flipOf(
        random.pick(
          filesOf(random.pick([/^index\/.*\.ldb/, /^index\/.*\.log/, /^index\/MANIFEST/, /^index\/C/, /^lock/])),
        ),
        random,
      ),
    );
    expect(count(await judgeAll(cases), 'whole')).toBe(cases.length);
  });

  it('is read whole whatever file of the index or of the lock is removed, zeroed, cut, or of an earlier time', async () => {
    const random = new Random(seed);
    const cases = filesOf(/^(index|lock)/).flatMap((file) => [
      ...othersOf(file),
      cutTo(file, random.below(sizeOf(file))),
    ]);
    expect(cases.filter(({ what }) => what.startsWith('as in')).length).toBeGreaterThan(1);
    expect(count(await judgeAll(cases), 'whole')).toBe(cases.length);
  });

  it('is refused, or read as a true prefix, if a file of log or base is removed, zeroed, or of an earlier time', async () => {
    const cases = filesOf(/^(log|base)/).flatMap(othersOf);
    expect(cases.length).toBeGreaterThan(6);
    const verdicts = await judgeAll(cases.map((each) => ({ ...each, withoutIndex: true })));
    // The original of a compressed file holds the same.
    const originals = cases.map(({ file, what }) => isFormOf(file, what));
    expect(verdicts.map((verdict) => verdict === 'whole')).toEqual(originals);
    expect(originals.filter(Boolean).length).toBeGreaterThan(0);
    const removed = verdicts.filter((_, index) => cases[index]?.what === 'removed');
    // Without its last file the log would be an earlier one, but a compressed file is never the last one.
    expect(removed).toEqual(['refused', 'refused', 'refused']);
  });
});

const UNCOMPRESSED = 'as before it was compressed';

/** Returns whether a case replaces a compressed file by its original. */
function isFormOf(file: string, what: string): boolean {
  if (what === UNCOMPRESSED) return true;
  const older = filled.older.find((each) => what === `as in ${each}`);
  const present = join(filled.dataDir, 'db', file);
  if (older === undefined || !file.startsWith('log') || !isCompressed(nodeFiles, present)) return false;
  const original = readSegment(nodeFiles, present);
  return readFileSync(join(older, file)).subarray(0, original.length).equals(original);
}

/** The file removed, zeroed, uncompressed, or replaced by an earlier one. */
function othersOf(file: string): Case[] {
  const cases: Case[] = [
    { file, what: 'removed', damage: (path) => rm(path) },
    { file, what: 'zeros', damage: fillWithZeros },
  ];
  const present = join(filled.dataDir, 'db', file);
  if (file.startsWith('log') && isCompressed(nodeFiles, present)) {
    const original = readSegment(nodeFiles, present);
    cases.push({ file, what: UNCOMPRESSED, damage: (path) => writeFile(path, original) });
  }
  for (const older of filled.older) {
    const copy = join(older, file);
    if (!existsSync(copy) || readFileSync(copy).equals(readFileSync(join(filled.dataDir, 'db', file)))) continue;
    cases.push({ file, what: `as in ${older}`, damage: (path) => copyFile(copy, path) });
  }
  return cases;
}

function cutTo(file: string, length: number): Case {
  return { file, what: `cut to ${length} of ${sizeOf(file)}`, damage: (path) => truncate(path, length) };
}

describe('the check for wrong values', () => {
  it('finds none in an undamaged directory', async () => {
    expect(await verdictAfter(async () => {}, openCache)).toBe('whole');
    expect(await verdictAfter((dataDir) => rm(join(dataDir, 'db/index'), { recursive: true }), openCache)).toBe(
      'whole',
    );
  });

  it('finds a value that was changed together with its checksum', async () => {
    const planted = async (dataDir: string) => {
      const path = join(dataDir, 'db', filesOf(/^log\//)[1] as string);
      const bytes = readFileSync(path);
      const at = bytes.lastIndexOf('noise');
      bytes.write('plant', at);
      await writeFile(path, resealed(bytes));
    };
    expect(await verdictAfter(planted, openCache)).toMatchObject({ wrong: expect.stringContaining('plant') });
  });

  it('finds a missing update and a changed one', async () => {
    const { updates } = filled.recorded;
    const shorter = new Recorded(updates.slice(0, -1));
    expect(await verdictAfter(async () => {}, openCache, shorter)).toMatchObject({ wrong: expect.any(String) });
    const last = updates.findLastIndex(({ operation }) => operation === 'set');
    const other = new Recorded(updates.with(last, { ...(updates[last] as Update), value: 'another' }));
    expect(await verdictAfter(async () => {}, openCache, other)).toMatchObject({ wrong: expect.any(String) });
  });

  it('finds damage that is accepted because no checksum is checked', async () => {
    const last = filesOf(/^log\//)[1] as string;
    const verdicts: Verdict[] = [];
    for (const part of [0.2, 0.35, 0.5, 0.65, 0.8]) {
      const flip = (dataDir: string) => flipBit(join(dataDir, 'db', last), Math.floor(part * sizeOf(last)), 0);
      expect(await verdictAfter(flip, openCache)).toBe('refused');
      verdicts.push(await verdictAfter(flip, openOver(acceptingFiles)));
    }
    expect(verdicts.filter((verdict) => typeof verdict === 'object')).not.toEqual([]);
  });
});

/** Files on which every checksum of a frame is right. */
const acceptingFiles: Files = {
  ...nodeFiles,
  open: (path) => {
    const bytes = resealed(readFile(nodeFiles, path));
    return { read: (target, offset) => bytes.copy(target, 0, offset), close: () => {} };
  },
};

/** Gives every frame the checksum of what it holds. */
function resealed(bytes: Buffer): Buffer {
  for (let index = MAGIC.length; index + FRAME_HEADER < bytes.length; ) {
    const end = index + FRAME_HEADER + bytes.readUInt32LE(index + 4);
    if (end > bytes.length) break;
    if (frameAt(bytes, index) === undefined) bytes.writeUInt32LE(crc32(bytes.subarray(index + 4, end)), index);
    index = end;
  }
  return bytes;
}

import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/core/clock.ts';
import { TimeSlice } from '../../../src/core/time-slice.ts';
import { createUpdate, type Update } from '../../../src/core/update.ts';
import { compressedName, compressSegment } from '../../../src/storage/disk/log/compress-segment.ts';
import { DiskLog } from '../../../src/storage/disk/log/disk-log.ts';
import { FileLog } from '../../../src/storage/disk/log/file-log.ts';
import { isDamage, walkFrames } from '../../../src/storage/disk/log/frame-walk.ts';
import { walkLog } from '../../../src/storage/disk/log/log-walk.ts';
import { segmentName } from '../../../src/storage/disk/log/segment.ts';
import { isCompressed, readSegment } from '../../../src/storage/disk/log/segment-file.ts';
import { Segments } from '../../../src/storage/disk/log/segments.ts';
import { all } from '../../support/log.ts';
import { contentOf, fold, recompute, retain } from '../../support/log-truth.ts';
import { MemoryFiles } from '../../support/memory-files.ts';

const DATA_DIR = '/data';
const LOG = `${DATA_DIR}/db/log`;
const FIRST = `${LOG}/${segmentName(1)}`;

const corrupt = expect.objectContaining({ code: 'LOG_CORRUPT', message: expect.stringContaining(FIRST) });

interface Filled {
  readonly files: MemoryFiles;
  readonly log: DiskLog;
  readonly updates: readonly Update[];
  /** Start of the second file. */
  readonly next: number;
}

/** Creates a log whose first file has values of these lengths, each in a frame, and a torn end. The second one has one more update. */
async function filled(lengths: readonly number[]): Promise<Filled> {
  const files = new MemoryFiles();
  let log = await DiskLog.open({ dataDir: DATA_DIR, files });
  const append = async (index: number, length: number) => {
    // Random text deflates to three quarters.
    const text = Array.from({ length: length / 8 }, (_, i) => ((i + index) * 2654435761).toString(36).slice(-8));
    const value = text.join('').padEnd(length, '.');
    const set = { namespace: `n${index % 3}`, operation: 'set', at: 1000 + index, value, bytes: length } as const;
    log.append([createUpdate({ ...set, version: Math.floor(index / 3) + 1, key: `k${index % 7}` })]);
    await log.flush();
  };
  for (const [index, length] of lengths.entries()) await append(index, length);
  await log.close();
  files.put(FIRST, Buffer.concat([files.bytes(FIRST), Buffer.from('torn')]));
  log = await DiskLog.open({ dataDir: DATA_DIR, files });
  await append(lengths.length, 100);
  return { files, log, updates: await all(log.read(1)), next: lengths.length + 1 };
}

/** Writes the compressed form of the first file beside it. */
async function compress(files: MemoryFiles, next: number): Promise<void> {
  await compressSegment(files, LOG, { first: 1, next }, new TimeSlice(systemClock));
}

/** Lengths of values that fill several blocks, in frames that are smaller and larger than one. */
const SEVERAL_BLOCKS = [...Array.from({ length: 150 }, (_, i) => 40 * i), 200_000, 10, 70_000, 20, 65_500, 30];

async function compressed(lengths = SEVERAL_BLOCKS): Promise<Filled & { readonly original: Buffer }> {
  const all = await filled(lengths);
  const original = all.files.bytes(FIRST);
  await compress(all.files, all.next);
  await all.log.exchange(1);
  return { ...all, original };
}

describe('a compressed file of the log', () => {
  it('holds what counts of the original, in less space', async () => {
    const { files, log, updates, original } = await compressed();
    expect(isCompressed(files, FIRST)).toBe(true);
    expect(files.bytes(FIRST).length).toBeLessThan(0.8 * original.length);
    const read = readSegment(files, FIRST);
    expect(read.equals(original.subarray(0, read.length))).toBe(true);
    // Behind it are the note at the end of the first process, and what was cut off.
    expect(original.length - read.length).toBeLessThan(200);
    expect(await all(log.read(1))).toEqual(updates);
    expect(files.named('.new')).toEqual([]);
    await log.close();
    const again = await DiskLog.open({ dataDir: DATA_DIR, files });
    expect(await all(again.read(1))).toEqual(updates);
    expect(contentOf(await recompute(files, again))).toEqual(contentOf(fold(updates)));
    await again.close();
  });

  it('answers reads from every position and by the locations of the original', async () => {
    const { files, log, updates, next } = await filled(SEVERAL_BLOCKS);
    const located = new Segments(files, LOG, [1, next]);
    const locations: ReturnType<Segments['readLocated']> = [];
    while (locations.length < updates.length) locations.push(...located.readLocated(locations.length + 1, next));
    await compress(files, next);
    await log.exchange(1);
    for (let from = next; from > 0; from -= 6) {
      const fresh = new Segments(files, LOG, [1, next]);
      expect(fresh.readAll(from, Math.min(next, from + 3))).toEqual(updates.slice(from - 1, from + 3));
      const location = locations[from - 1];
      if (location !== undefined) expect(fresh.updateAt(from, location)).toEqual(updates[from - 1]);
      expect(fresh.readLocated(from, from)[0]).toEqual(location);
      fresh.close();
    }
    located.close();
    await log.close();
  });

  it('leaves readers that have the original open undisturbed; others are told to open it again', async () => {
    const { files, log, updates, next } = await filled(SEVERAL_BLOCKS);
    const reader = new FileLog(files, { path: log.path, id: log.id, ...log.names() });
    const read = async () => {
      const found: Update[] = [];
      for await (const some of reader.readLocated(1, next)) found.push(...some);
      return found.map(({ position }) => position);
    };
    const positions = updates.map(({ position }) => position);
    expect(await read()).toEqual(positions);
    await compress(files, next);
    await log.exchange(1);
    expect(await read()).toEqual(positions);
    reader.follow(log.names());
    // The original is not read any more: it is missing from here on.
    expect(await read()).toEqual(positions);
    expect(log.names().exchanged).toBe(1);
    reader.close();
    await log.close();
  });

  it('is walked as the original is', async () => {
    const { files, log, original, next } = await compressed();
    files.put('/plain', original.subarray(0, readSegment(files, FIRST).length));
    const walked = (path: string) =>
      Array.from(walkFrames(files, path), ({ payload, ...item }) => ({
        ...item,
        block: undefined,
        checksum: crc32(payload ?? ''),
      }));
    expect(walked(FIRST)).toEqual(walked('/plain'));
    const steps = [...walkLog(files, { path: log.path, base: 0, firsts: [1, next] })];
    expect(steps.filter((step) => 'problem' in step)).toEqual([]);
    await log.close();
  });

  it('is refused or read correctly with any bit flipped, and the damage is reported with its location', async () => {
    const { files, log, updates, next } = await compressed([100, 3, 5_000, 0]);
    await log.close();
    const bytes = files.bytes(FIRST);
    for (let at = 0; at < bytes.length; at += 1) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
      expectRefused(files.copy(), flipped, updates, next, `byte ${at}`);
    }
  });

  it('is refused if it ends early, or if something follows', async () => {
    const { files, log, updates, next } = await compressed([100, 3, 5_000, 0]);
    await log.close();
    const bytes = files.bytes(FIRST);
    for (let length = 0; length < bytes.length; length += 1) {
      expectRefused(files.copy(), bytes.subarray(0, length), updates, next, `${length} bytes`);
    }
    expectRefused(files.copy(), Buffer.concat([bytes, Buffer.from([1])]), updates, next, 'a byte more', true);
  });

  it('is read before a damaged block, and walked behind it', async () => {
    const { files, log, updates, next } = await compressed();
    await log.close();
    const blocks = [...blocksOf(files.bytes(FIRST))];
    expect(blocks.length).toBeGreaterThan(8);
    for (const { offset, end } of blocks) {
      const copy = files.copy();
      const damaged = Buffer.from(files.bytes(FIRST));
      damaged[end - 10] = (damaged[end - 10] as number) ^ 4;
      copy.put(FIRST, damaged);
      const items = [...walkFrames(copy, FIRST)];
      expect(items.filter(isDamage)).toEqual([{ offset, end }]);
      const positions = items.flatMap((item) => (isDamage(item) || item.count === 0 ? [] : [item.position]));
      const lost = updates.slice(0, -1).filter(({ position }) => !positions.includes(position));
      expect(positions).toEqual([...positions].sort((a, b) => a - b));
      const segments = new Segments(copy, LOG, [1, next]);
      const before = (lost[0]?.position ?? next) - 1;
      expect(segments.readAll(1, before)).toEqual(updates.slice(0, before));
      const wanted = lost[0]?.position ?? 1;
      expect(() => segments.readAll(wanted, wanted)).toThrow(
        expect.objectContaining({ message: expect.stringContaining(`${FIRST} is damaged at byte ${offset}`) }),
      );
      segments.close();
      const problems = [...walkLog(copy, { path: log.path, base: 0, firsts: [1, next] })].flatMap((step) =>
        'problem' in step ? [{ offset: step.offset, problem: step.problem }] : [],
      );
      expect(problems[0]).toEqual({ offset, problem: `is damaged from byte ${offset} to ${end}` });
    }
  });

  it('is never the last file: the one behind it was lost then', async () => {
    const { files, log, next } = await compressed();
    await log.close();
    await files.remove(`${LOG}/${segmentName(next)}`);
    await expect(DiskLog.open({ dataDir: DATA_DIR, files })).rejects.toMatchObject({
      code: 'LOG_CORRUPT',
      message: expect.stringContaining(`lacks the file behind ${segmentName(1)}`),
    });
  });

  it('is shortened by retention as others are, and can be compressed again', async () => {
    const { files, log, updates, next } = await compressed();
    await retain(files, log, updates, 100, true);
    const [first = 0] = log.names().firsts;
    expect(first).toBeGreaterThan(1);
    expect(isCompressed(files, `${LOG}/${segmentName(first)}`)).toBe(false);
    const size = files.bytes(`${LOG}/${segmentName(first)}`).length;
    await compressSegment(files, LOG, { first, next }, new TimeSlice(systemClock));
    await log.exchange(first);
    expect(files.bytes(`${LOG}/${segmentName(first)}`).length).toBeLessThan(size);
    await log.close();
    const again = await DiskLog.open({ dataDir: DATA_DIR, files });
    expect(again.recent(101, next)).toEqual(updates.slice(100));
    expect(contentOf(await recompute(files, again))).toEqual(contentOf(fold(updates)));
    await again.close();
  });
});

describe('compressing a file of the log', () => {
  it('leaves the file or its compressed form wherever it is interrupted', async () => {
    const { files, log, updates, next } = await filled([100, 3, 70_000, 0]);
    const states: MemoryFiles[] = [];
    files.onChange = () => states.push(files.copy());
    await compress(files, next);
    await log.exchange(1);
    files.onChange = () => {};
    expect(states.length).toBeGreaterThan(3);
    for (const state of states) {
      const again = await DiskLog.open({ dataDir: DATA_DIR, files: state });
      expect(await all(again.read(1))).toEqual(updates);
      expect(state.named('.new')).toEqual([]);
      await again.close();
    }
    await log.close();
  });

  it('refuses a damaged file, and leaves it', async () => {
    const { files, log, next } = await filled([100, 3, 5_000, 0]);
    const bytes = files.bytes(FIRST);
    const damaged = Buffer.from(bytes);
    damaged[3_000] = (damaged[3_000] as number) ^ 1;
    files.put(FIRST, damaged);
    await expect(compress(files, next)).rejects.toThrow(corrupt);
    expect(files.bytes(FIRST)).toEqual(damaged);
    expect(files.named('.new')).toEqual([]);
    await log.close();
  });

  it('discards the compressed form of a file that retention has removed meanwhile', async () => {
    const { files, log, updates, next } = await filled([100, 3, 5_000, 0]);
    await compress(files, next);
    const release = retain(files, log, updates, next, true);
    await release;
    await log.exchange(1);
    expect(files.named(compressedName(1))).toEqual([]);
    expect(files.named(segmentName(1))).toEqual([]);
    await log.close();
    await (await DiskLog.open({ dataDir: DATA_DIR, files })).close();
  });
});

/** Checks that readers of a changed file get what was written or an error, and that the walk reports the change. */
function expectRefused(
  files: MemoryFiles,
  bytes: Buffer,
  updates: readonly Update[],
  next: number,
  what: string,
  isReadable = false,
): void {
  files.put(FIRST, bytes);
  const problems = [...walkLog(files, { path: `${DATA_DIR}/db`, base: 0, firsts: [1, next] })].filter(
    (step) => 'problem' in step,
  );
  expect(problems, what).not.toEqual([]);
  for (const from of [1, 2, next - 1]) {
    const segments = new Segments(files, LOG, [1, next]);
    try {
      expect(segments.readAll(from, next), what).toEqual(updates.slice(from - 1));
      expect(isReadable, what).toBe(true);
    } catch (error) {
      expect(error, what).toEqual(corrupt);
    } finally {
      segments.close();
    }
  }
}

/** Iterates over the blocks of a compressed file. */
function* blocksOf(bytes: Buffer): Generator<{ readonly offset: number; readonly end: number }> {
  for (let offset = 16; offset < bytes.length; ) {
    const end = offset + 24 + bytes.readUInt32LE(offset + 4);
    yield { offset, end };
    offset = end;
  }
}

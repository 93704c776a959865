import { describe, expect, it } from 'vitest';
import { ContextCacheError } from '../../../src/core/errors.ts';
import { createUpdate, type Update } from '../../../src/core/update.ts';
import { DiskLog } from '../../../src/storage/disk/log/disk-log.ts';
import { frameAt } from '../../../src/storage/disk/log/frame.ts';
import { all, someSets } from '../../support/log.ts';
import { MemoryFiles } from '../../support/memory-files.ts';

const DATA_DIR = '/data';
const FIRST = '/data/db/log/0000000000000001.log';

const anError = (code: string, message?: unknown) =>
  expect.objectContaining(message === undefined ? { code } : { code, message });

function open(files: MemoryFiles): Promise<DiskLog> {
  return DiskLog.open({ dataDir: DATA_DIR, files });
}

/** Appends groups of these updates, with a setting and a checkpoint among them. */
async function write(log: DiskLog, updates: readonly Update[], size: number): Promise<void> {
  for (let i = 0; i < updates.length; i += size) {
    log.append(updates.slice(i, i + size));
    await log.flush();
    if (i === size) await log.configStore.set('topics', ['a']);
  }
}

/** Creates a closed log of six groups in one file. */
async function small(): Promise<{ files: MemoryFiles; updates: readonly Update[] }> {
  const files = new MemoryFiles();
  const log = await open(files);
  const updates = someSets(12);
  await write(log, updates, 2);
  await log.close();
  return { files, updates };
}

/** Creates a closed log of three files, as failed writes leave them. */
async function several(): Promise<{ files: MemoryFiles; updates: readonly Update[] }> {
  const files = new MemoryFiles();
  const updates = someSets(9);
  for (let i = 0; i < 9; i += 3) {
    const log = await open(files);
    await write(log, updates.slice(i, i + 3), 1);
    await log.close();
    const last = files.named('.log').at(-1) as string;
    // The start of a write that a crash has cut off: the next opening starts a new file.
    if (i < 6) files.put(last, Buffer.concat([files.bytes(last), Buffer.from([7])]));
  }
  return { files, updates };
}

/** Ends of the frames of a file, that of the heading first. */
function endsOf(bytes: Buffer): number[] {
  const ends: number[] = [];
  for (let frame = frameAt(bytes, 16); frame !== undefined; frame = frameAt(bytes, frame.end)) ends.push(frame.end);
  return ends;
}

/**
 * Opens and reads a log that may be damaged. Returns the updates, or the error that refuses it. If the opening is refused, nothing may
 * have changed.
 */
async function look(files: MemoryFiles): Promise<readonly Update[] | ContextCacheError> {
  const before = files.copy();
  const log = await open(files).catch((error: unknown) => error);
  if (!(log instanceof DiskLog)) {
    expect(files.all).toEqual(before.all);
    expect(log).toBeInstanceOf(ContextCacheError);
    return log as ContextCacheError;
  }
  try {
    return await all(log.read(1));
  } catch (error) {
    expect(error).toBeInstanceOf(ContextCacheError);
    return error as ContextCacheError;
  } finally {
    await log.close();
  }
}

/** Checks that a log is refused with a location, or reads as a true prefix. Returns the length of the prefix, -1 if it is refused. */
async function prefixOrRefused(files: MemoryFiles, updates: readonly Update[], what: string): Promise<number> {
  const found = await look(files);
  if (found instanceof ContextCacheError) {
    expect(['LOG_CORRUPT', 'FORMAT_UNSUPPORTED'], what).toContain(found.code);
    if (found.code === 'LOG_CORRUPT') expect(found.message, what).toMatch(/\.log.*byte \d+/);
    return -1;
  }
  expect(found, what).toEqual(updates.slice(0, found.length));
  return found.length;
}

describe('a flipped bit of a closed log', () => {
  it('is detected, whichever of one file it is: the log is refused with file and byte, or is whole', async () => {
    const { files, updates } = await small();
    const bytes = files.bytes(FIRST);
    const ends = endsOf(bytes);
    for (let bit = 0; bit < 8 * bytes.length; bit += 1) {
      const damaged = files.copy();
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      damaged.put(FIRST, flipped);
      const found = await prefixOrRefused(damaged, updates, `bit ${bit}`);
      // Only the note at the end has nothing behind it that proves the damage, and it holds no update.
      expect(found, `bit ${bit}`).toBe(bit >> 3 < (ends.at(-2) as number) ? -1 : updates.length);
    }
  });

  it('is detected in any of several files: the log is refused with file and byte, or is whole', async () => {
    const { files, updates } = await several();
    expect(files.named('.log').length).toBe(3);
    let whole = 0;
    for (const path of files.named('.log')) {
      const bytes = files.bytes(path);
      // One bit of each byte.
      for (let bit = 0; bit < 8 * bytes.length; bit += 9) {
        const damaged = files.copy();
        const flipped = Buffer.from(bytes);
        flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        damaged.put(path, flipped);
        const found = await prefixOrRefused(damaged, updates, `bit ${bit} of ${path}`);
        if (found >= 0) whole += 1;
        expect([-1, updates.length], `bit ${bit} of ${path}`).toContain(found);
      }
    }
    // Bits of notes at the end of a file, and of what a crash has cut off.
    expect(whole).toBeGreaterThan(0);
  });
});

describe('a block of 4 KiB that was lost', () => {
  /** A closed log of about 50 KiB. */
  async function blocks(): Promise<{ files: MemoryFiles; updates: readonly Update[] }> {
    const files = new MemoryFiles();
    const log = await open(files);
    const value = 'x'.repeat(300);
    const updates = Array.from({ length: 130 }, (_, index) =>
      createUpdate({ namespace: 'n', version: index + 1, operation: 'set', key: 'k', value, at: 5, bytes: 300 }),
    );
    await write(log, updates, 3);
    await log.close();
    return { files, updates };
  }

  it('is refused with file and byte, except at the end', async () => {
    const { files, updates } = await blocks();
    const bytes = files.bytes(FIRST);
    const count = Math.ceil(bytes.length / 4096);
    expect(count).toBeGreaterThan(10);
    for (let block = 0; block < count; block += 1) {
      const damaged = files.copy();
      damaged.put(FIRST, Buffer.from(bytes).fill(0, block * 4096, Math.min((block + 1) * 4096, bytes.length)));
      const found = await prefixOrRefused(damaged, updates, `block ${block}`);
      expect(found === -1, `block ${block}`).toBe(block < count - 1);
    }
  });
});

describe('a log that was cut off', () => {
  it('at any byte is a true prefix of whole groups, continues there, and reads the same when reopened', async () => {
    const { files, updates } = await small();
    const bytes = files.bytes(FIRST);
    const [heading = 0, ...ends] = endsOf(bytes);
    for (const [zeros, step] of [
      [0, 1],
      [500, 7],
    ] as const) {
      for (let end = heading; end < bytes.length; end += step) {
        const cut = files.copy();
        cut.put(FIRST, Buffer.concat([bytes.subarray(0, end), Buffer.alloc(zeros)]));
        const log = await open(cut);
        const kept = log.head;
        expect(await all(log.read(1)), `byte ${end}`).toEqual(updates.slice(0, kept));
        expect(kept % 2).toBe(0);
        if (ends.includes(end)) expect(log.names().firsts).toEqual([1]);
        log.append(someSets(1, kept + 1));
        await log.flush();
        await log.close();
        const again = await look(cut);
        expect(again, `byte ${end}`).toEqual([
          ...updates.slice(0, kept),
          ...someSets(1, kept + 1).map((update) => ({ ...update, position: kept + 1 })),
        ]);
      }
    }
  });

  it('inside of its heading is refused, because a file is created whole', async () => {
    const { files } = await small();
    const bytes = files.bytes(FIRST);
    const [heading = 0] = endsOf(bytes);
    for (let end = 0; end < heading; end += 1) {
      const cut = files.copy();
      cut.put(FIRST, bytes.subarray(0, end));
      expect(await look(cut)).toEqual(anError('LOG_CORRUPT', expect.stringContaining(FIRST)));
    }
  });

  it('before a position that a follower has finished is refused', async () => {
    const files = new MemoryFiles();
    let log = await open(files);
    await write(log, someSets(4), 2);
    await log.follower('f').save(4);
    // Written into the heading of the next file.
    await log.close();
    files.put(FIRST, Buffer.concat([files.bytes(FIRST), Buffer.from([7])]));
    log = await open(files);
    await log.close();
    const bytes = files.bytes(FIRST);
    const last = files.named('.log').at(-1) as string;
    expect(last).toContain('0000000000000005.log');
    files.put('/data/db/log/0000000000000003.log', files.bytes(last));
    await files.remove(last);
    expect(await look(files)).toEqual(
      anError('LOG_CORRUPT', expect.stringContaining('follower f has already received 4')),
    );
    expect(files.bytes(FIRST)).toEqual(bytes);
  });
});

describe('a log without one of its files', () => {
  it('is refused if the first is missing', async () => {
    const { files } = await several();
    await files.remove(FIRST);
    expect(await look(files)).toEqual(
      anError('LOG_CORRUPT', expect.stringContaining('the file that holds position 1')),
    );
  });

  it('reads no position behind the gap if one in the middle is missing', async () => {
    const { files, updates } = await several();
    const [, middle = ''] = files.named('.log');
    await files.remove(middle);
    const log = await open(files);
    const gap = anError('LOG_CORRUPT', expect.stringMatching(/0001\.log.*position 4/));
    await expect(all(log.read(1))).rejects.toThrow(gap);
    await expect(all(log.read(4))).rejects.toThrow(gap);
    await expect(log.follower('f', 3).read(10)).rejects.toThrow(gap);
    expect(() => log.recent(2, 9)).toThrow(gap);
    expect(await all(log.read(7))).toEqual(updates.slice(6));
    await log.close();
  });

  it('is a true prefix if the last is missing', async () => {
    const { files, updates } = await several();
    await files.remove(files.named('.log').at(-1) as string);
    expect(await look(files)).toEqual(updates.slice(0, 6));
  });
});

describe('files that were being created', () => {
  it('are removed', async () => {
    const { files, updates } = await small();
    files.put(`${FIRST}.new`, Buffer.from('half'));
    files.put('/data/db/base/0000000000000004.base.new', Buffer.from('half'));
    expect(await look(files)).toEqual(updates);
    expect(files.named('.new')).toEqual([]);
  });
});

describe('a log that does not wait for the disk', () => {
  it('proves all damage once it was closed', async () => {
    const files = new MemoryFiles();
    const log = await DiskLog.open({ dataDir: DATA_DIR, files, sync: false });
    const updates = someSets(6);
    await write(log, updates, 2);
    await log.close();
    const bytes = files.bytes(FIRST);
    const ends = endsOf(bytes);
    for (let at = 0; at < bytes.length; at += 1) {
      const damaged = files.copy();
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(flipped.readUInt8(at) ^ 4, at);
      damaged.put(FIRST, flipped);
      const found = await prefixOrRefused(damaged, updates, `byte ${at}`);
      expect(found, `byte ${at}`).toBe(at < (ends.at(-2) as number) ? -1 : updates.length);
    }
  });
});

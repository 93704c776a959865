import { readFile, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/core/clock.ts';
import type { ContextCacheError } from '../../../src/core/errors.ts';
import { createUpdate, type Update } from '../../../src/core/update.ts';
import { Compressor } from '../../../src/storage/disk/compressor.ts';
import { DataDirectory, type DataDirectoryOptions } from '../../../src/storage/disk/data-directory.ts';
import { nodeFiles } from '../../../src/storage/disk/files.ts';
import { openLevel } from '../../../src/storage/disk/index/leveldb/level-storage.ts';
import type { ClosedSegment } from '../../../src/storage/disk/log/compress-segment.ts';
import { COMPRESSED, MAGIC } from '../../../src/storage/disk/log/frame.ts';
import { segmentName } from '../../../src/storage/disk/log/segment.ts';
import { isCompressed } from '../../../src/storage/disk/log/segment-file.ts';
import { FaultFiles, type FileCall } from '../../support/fault-files.ts';
import { openIndex } from '../../support/index.ts';
import { all } from '../../support/log.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { logFiles, logOfFiles } from '../../support/stored-log.ts';
import { eventually } from '../../support/waiting.ts';

const closing: DataDirectory[] = [];

afterEach(async () => {
  for (const directory of closing.splice(0)) await directory.close().catch(() => undefined);
});

interface Opened {
  readonly directory: DataDirectory;
  readonly clock: ManualClock;
  readonly failures: ContextCacheError[];
  /** Folds everything into the index, as its follower does. */
  fold(): Promise<void>;
}

async function open(dataDir: string, options: Partial<DataDirectoryOptions> = {}): Promise<Opened> {
  const clock = new ManualClock();
  const failures: ContextCacheError[] = [];
  const directory = await DataDirectory.open({
    ...{ dataDir, clock, openStorage: openLevel, onUncompressed: (error) => failures.push(error), ...options },
  });
  closing.push(directory);
  const { sink } = await directory.openIndex();
  await sink.connect(1, new AbortController().signal);
  const fold = () => sink.deliver([], directory.log.committed, new AbortController().signal);
  await fold();
  return { directory, clock, failures, fold };
}

/** Resolves with which files of a log are compressed. */
async function forms(dataDir: string): Promise<boolean[]> {
  const names = await logFiles(dataDir);
  return names.map((name) => isCompressed(nodeFiles, join(dataDir, 'db', 'log', name)));
}

async function append(directory: DataDirectory): Promise<void> {
  const { log } = directory;
  log.append([createUpdate({ namespace: 'other', version: 1, operation: 'set', key: 'k', value: 1, bytes: 1, at: 1 })]);
  await log.flush();
}

describe('the compressor of a log', () => {
  it('compresses what earlier processes have left after a second, but not the last file', async () => {
    const dataDir = await logOfFiles(3, 30);
    const before = await Promise.all((await logFiles(dataDir)).map((name) => stat(join(dataDir, 'db', 'log', name))));
    const { directory, clock, failures } = await open(dataDir);
    expect(await forms(dataDir)).toEqual([false, false, false]);
    const updates = await all(directory.log.read(1));
    clock.advance(1000);
    await eventually(async () => expect(await forms(dataDir)).toEqual([true, true, false]));
    expect(await all(directory.log.read(1))).toEqual(updates);
    expect(failures).toEqual([]);
    await directory.close();
    const after = await Promise.all((await logFiles(dataDir)).map((name) => stat(join(dataDir, 'db', 'log', name))));
    expect(after[0]?.size).toBeLessThan((before[0]?.size ?? 0) / 3);
    const again = await open(dataDir);
    expect(await all(again.directory.log.read(1))).toEqual(updates);
  });

  it('compresses a file that is closed while the log is open, with the next batch of the index', async () => {
    const dataDir = await logOfFiles(1, 30);
    const files = new FaultFiles();
    const { directory, clock, fold } = await open(dataDir, { files });
    // A write that fails makes the log continue in a new file.
    files.decide = () => 'torn';
    await expect(append(directory)).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    files.decide = () => 'done';
    clock.advance(100);
    await eventually(() => expect(directory.log.status).toBe('ready'));
    await fold();
    await eventually(async () => expect(await forms(dataDir)).toEqual([true, false]));
    expect((await all(directory.log.read(1))).length).toBe(31);
  });

  const calls: readonly (readonly [FileCall | 'write', string])[] = [
    ['create', '.compressed.new'],
    ['write', '.compressed.new'],
    ['sync', '.compressed.new'],
    ['rename', '1.log'],
    ['syncDirectory', 'log'],
  ];
  for (const [call, end] of calls) {
    it(`leaves the file and reports it if a call fails, and tries again: ${call}`, async () => {
      const dataDir = await logOfFiles(2, 30);
      const files = new FaultFiles();
      const { directory, clock, failures } = await open(dataDir, { files });
      const updates = await all(directory.log.read(1));
      const path = join(dataDir, 'db', 'log', (await logFiles(dataDir))[0] ?? '');
      const bytes = await readFile(path);
      if (call === 'write') files.decide = (write) => (write.path.endsWith(end) ? 'torn' : 'done');
      else files.refuse = (each, path) => each === call && path.endsWith(end);
      clock.advance(1000);
      await eventually(() => expect(failures.length).toBe(1));
      expect(failures[0]).toMatchObject({
        code: 'LOG_UNAVAILABLE',
        message: expect.stringMatching(/could not be compressed: injected.*another attempt follows/),
      });
      if (call !== 'syncDirectory') expect((await readFile(path)).equals(bytes)).toBe(true);
      // The same reason is reported once; nothing else is disturbed.
      clock.advance(1000);
      await append(directory);
      expect(directory.log.status).toBe('ready');
      files.decide = () => 'done';
      files.refuse = () => false;
      await eventually(async () => {
        clock.advance(300_000);
        expect(await forms(dataDir)).toEqual([true, false]);
      });
      expect(failures.length).toBe(1);
      expect((await all(directory.log.read(1))).slice(0, -1)).toEqual(updates);
      await directory.close();
      expect(files.openFiles).toBe(0);
      expect(await logFiles(dataDir)).toEqual([segmentName(1), segmentName(31)]);
    });
  }

  it('ends with the log, and leaves a whole file', async () => {
    const dataDir = await logOfFiles(2, 300);
    const { directory, clock, failures } = await open(dataDir);
    const updates: Update[] = await all(directory.log.read(1));
    clock.advance(1000);
    await directory.close();
    expect(failures).toEqual([]);
    const again = await open(dataDir);
    expect((await logFiles(dataDir)).length).toBe(2);
    expect(await all(again.directory.log.read(1))).toEqual(updates);
  });

  it('does not disturb what is folded in the main thread meanwhile', async () => {
    const { log, index, events, dataDir, close } = await openIndex(await logOfFiles(2, 30), { worker: true });
    const folding = index.fold(log.committed);
    expect(await index.compress({ first: 1, next: 31 })).toBe(true);
    await folding;
    await log.exchange(1);
    expect(await forms(dataDir)).toEqual([true, false]);
    expect(events.filter(({ type }) => type === 'failed')).toEqual([]);
    await close();
  });

  it('removes a compressed form that a killed process has left beside its file', async () => {
    const dataDir = await logOfFiles(2, 30);
    const left = join(dataDir, 'db', 'log', `${segmentName(1)}.compressed.new`);
    await writeFile(left, 'half of it');
    const { directory } = await open(dataDir, { clock: systemClock });
    expect(await logFiles(dataDir)).toEqual([segmentName(1), segmentName(31)]);
    expect((await all(directory.log.read(1))).length).toBe(60);
  });
});

/** Files of a log by their first positions, without their contents. */
function pretended(firsts: number[], isCompressedFirst = (_: number) => false) {
  const done: number[] = [];
  const looked: number[] = [];
  const clock = new ManualClock();
  const log = {
    ...{ path: 'pretended', committed: 20_000 },
    files: {
      ...nodeFiles,
      open: (path: string) => ({
        read: (target: Uint8Array) => {
          const first = Number.parseInt(basename(path), 10);
          looked.push(first);
          if (!isCompressedFirst(first) && !done.includes(first)) return 0;
          Buffer.from(target.buffer, target.byteOffset).writeUInt16LE(COMPRESSED, MAGIC.length + 14);
          return target.length;
        },
        close: () => {},
      }),
    },
    names: () => ({ base: 0, firsts: [...firsts] }),
    exchange: async () => {},
  };
  const index = {
    table: { checkpoint: 0 },
    compress: async ({ first }: ClosedSegment) => {
      done.push(first);
      return true;
    },
  };
  const compressor = new Compressor({ log, index, clock, onFailure: (error) => expect(error).toBeUndefined() });
  return { ...{ compressor, done, looked, clock, log, index, firsts } };
}

/** Resolves when everything that waits for nothing else has run. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('a compressor of many files', () => {
  it('leaves files while the index is behind, and compresses eight at the end', async () => {
    const { compressor, done, clock, firsts } = pretended([1]);
    for (let first = 2; first <= 12; first += 1) firsts.push(first);
    clock.advance(1000);
    compressor.advance();
    await settled();
    expect(done).toEqual([]);
    await compressor.finish();
    expect(done).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it('compresses the oldest files although the index is behind if more than 64 wait', async () => {
    const { compressor, done, firsts } = pretended([1]);
    for (let first = 2; first <= 67; first += 1) firsts.push(first);
    compressor.advance();
    await eventually(() => expect(done).toEqual([1, 2, 3]));
    await compressor.finish();
  });

  it('leaves everything at the end if no file was closed since the opening', async () => {
    const { compressor, done } = pretended([1, 2, 3]);
    await compressor.finish();
    expect(done).toEqual([]);
  });

  it('looks at the files that wait and at the oldest one, not at all', async () => {
    const firsts = Array.from({ length: 1000 }, (_, index) => index + 1);
    const { compressor, done, looked, clock, index } = pretended(firsts, (first) => first < 998);
    index.table.checkpoint = 20_000;
    clock.advance(1000);
    await eventually(() => expect(done).toEqual([998, 999]));
    expect(new Set(looked)).toEqual(new Set([999, 998, 997, 1]));
    await compressor.finish();
  });

  it('compresses what retention has left of the oldest file', async () => {
    const { compressor, done, clock, index, firsts } = pretended([10, 20, 30, 40], (first) => first !== 15);
    index.table.checkpoint = 20_000;
    clock.advance(1000);
    await settled();
    expect(done).toEqual([]);
    firsts.splice(0, 1, 15);
    compressor.advance();
    await eventually(() => expect(done).toEqual([15]));
    await compressor.finish();
  });
});

import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { DiskLog } from '../../../src/storage/disk/log/disk-log.ts';
import { type Frame, frameAt, MAGIC } from '../../../src/storage/disk/log/frame.ts';
import { FaultFiles, type FileCall } from '../../support/fault-files.ts';
import { degraded, mended, once, openFaulty, refuse, reopened, segmentsOf } from '../../support/fault-log.ts';
import { positions, someSets } from '../../support/log.ts';
import { tempDir } from '../../support/temp-dir.ts';

const anError = (code: string) => expect.objectContaining({ code });

describe('opening a log', () => {
  const CALLS: readonly FileCall[] = ['makeDirectory', 'list', 'create', 'rename', 'syncDirectory', 'sync'];
  for (const call of [...CALLS, 'continue', 'open'] as const) {
    it(`rejects with LOG_UNAVAILABLE if ${call} fails, and works afterwards`, async () => {
      const { log, dataDir } = await openFaulty();
      await log.close();
      const isFirst = CALLS.includes(call);
      const path = isFirst ? join(await tempDir('new'), 'data') : dataDir;
      const files = new FaultFiles();
      refuse(files, call);
      await expect(DiskLog.open({ dataDir: path, files })).rejects.toThrow(anError('LOG_UNAVAILABLE'));
      expect(files.openFiles).toBe(0);
      expect(await reopened(path)).toEqual(isFirst ? [] : [1, 2]);
    });
  }
});

describe('opening a log whose process was killed', () => {
  it('writes and syncs again what it has read of the last file, because only the system may have it', async () => {
    const { log, dataDir } = await openFaulty();
    const crashed = join(await tempDir('crashed'), 'data');
    await cp(dataDir, crashed, { recursive: true });
    await log.close();
    const name = '0000000000000001.log';
    const bytes = await readFile(join(crashed, 'db', 'log', name));
    const heading = frameAt(bytes, MAGIC.length) as Frame;
    const group = frameAt(bytes, heading.end) as Frame;
    const files = new FaultFiles();
    refuse(files, 'sync');
    await expect(DiskLog.open({ dataDir: crashed, files })).rejects.toThrow(anError('LOG_UNAVAILABLE'));
    expect(files.openFiles).toBe(0);
    refuse(files);
    files.calls.length = 0;
    const written: unknown[] = [];
    files.decide = (write) => {
      written.push({ ...write, calls: files.calls.filter((call) => call === `sync ${name}`).length });
      return 'done';
    };
    const again = await DiskLog.open({ dataDir: crashed, files });
    const path = join(crashed, 'db', 'log', name);
    expect(written).toEqual([{ path, offset: heading.end, bytes: bytes.subarray(heading.end, group.end), calls: 0 }]);
    expect(files.calls).toContain(`sync ${name}`);
    await again.close();
    expect(await reopened(crashed)).toEqual([1, 2]);
  });
});

describe('a log of many files', () => {
  it('keeps 32 of them open for reading', async () => {
    const { files: first, clock, log, dataDir } = await openFaulty();
    for (let position = 3; position <= 41; position += 1) {
      once(first, 'lost');
      log.append(someSets(1, position));
      await degraded(log);
      await mended(log, clock);
    }
    await log.close();
    expect((await segmentsOf(dataDir)).length).toBe(40);
    const files = new FaultFiles();
    const again = await DiskLog.open({ dataDir, files });
    for (const from of [1, 1, 30]) {
      expect(positions(again.recent(from, 41))).toEqual(Array.from({ length: 42 - from }, (_, index) => from + index));
      // The last file is also being written.
      expect(files.openFiles).toBe(33);
    }
    await again.close();
    expect(files.openFiles).toBe(0);
  });
});

describe('closing a log', () => {
  it('writes what is left if that works again', async () => {
    const { files, clock, log, dataDir } = await openFaulty();
    once(files, 'lost');
    log.append(someSets(2, 3));
    await degraded(log);
    await log.close();
    expect(clock.pending).toEqual([]);
    expect(await reopened(dataDir)).toEqual([1, 2, 3, 4]);
  });

  it('ends, and reports what it could not write', async () => {
    const { files, log, states, dataDir } = await openFaulty();
    files.decide = () => 'lost';
    log.append(someSets(2, 3));
    await degraded(log);
    await expect(log.close()).rejects.toThrow(anError('OUTCOME_UNKNOWN'));
    expect(log.status).toBe('closed');
    expect(states.at(-1)).toBe('closed');
    expect(files.openFiles).toBe(0);
    expect(await reopened(dataDir)).toEqual([1, 2]);
  });

  it('ends when the write fails while closing', async () => {
    const { files, log, dataDir } = await openFaulty();
    refuse(files, 'create');
    files.decide = () => 'lost';
    log.append(someSets(2, 3));
    await expect(log.close()).rejects.toThrow(anError('OUTCOME_UNKNOWN'));
    expect(log.status).toBe('closed');
    expect(await reopened(dataDir)).toEqual([1, 2]);
  });

  for (const call of ['truncate', 'sync'] as const) {
    it(`ends and gives the directory up although ${call} fails`, async () => {
      const { files, log, states, dataDir } = await openFaulty({ sync: call !== 'sync' });
      refuse(files, call);
      await log.close();
      if (call === 'sync') expect(states).toEqual(['degraded: injected: cannot sync', 'closed']);
      expect(log.status).toBe('closed');
      expect(states.at(-1)).toBe('closed');
      expect(files.openFiles).toBe(0);
      expect(await reopened(dataDir)).toEqual([1, 2]);
    });
  }
});

describe('a task between two writes', () => {
  for (const task of ['release', 'sync'] as const) {
    it(`does not overlap with the end that closing writes: ${task}`, async () => {
      const { log, dataDir } = await openFaulty({ sync: task === 'release' });
      log.append(someSets(2, 3));
      await log.flush();
      // The turn in which the writer sees that nothing is left.
      await setTimeout(5);
      const run = task === 'release' ? log.release(2, true) : log.sync();
      log.append(someSets(2, 5));
      const committed = log.whenCommitted(6);
      const closing = log.close();
      await Promise.all([run, committed, closing]);
      expect(await reopened(dataDir)).toEqual([1, 2, 3, 4, 5, 6]);
    });
  }

  it('runs although a writer never pauses', async () => {
    const { log } = await openFaulty({ sync: false });
    let isDone = false;
    let next = 3;
    const writing = (async () => {
      while (!isDone && next < 3000) {
        log.append(someSets(1, next));
        next += 1;
        await log.flush();
      }
    })();
    await log.sync();
    await log.release(1, true);
    isDone = true;
    await writing;
    expect(next).toBeLessThan(100);
    await log.close();
  });
});

describe('a log that does not wait for the disk', () => {
  it('writes a file again whose sync has failed, before it syncs it again', async () => {
    const { files, clock, log, dataDir } = await openFaulty({ sync: false });
    refuse(files, 'sync');
    await expect(log.sync()).rejects.toThrow(anError('LOG_UNAVAILABLE'));
    await degraded(log);
    refuse(files);
    await mended(log, clock);
    log.append(someSets(1, 3));
    await log.flush();
    await log.sync();
    await log.close();
    expect(await reopened(dataDir)).toEqual([1, 2, 3]);
  });

  it('syncs what a file holds before it leaves it after a failed write', async () => {
    const { files, clock, log } = await openFaulty({ sync: false });
    once(files, 'torn');
    files.calls.length = 0;
    log.append(someSets(1, 3));
    await degraded(log);
    await mended(log, clock);
    const [opened, synced, created] = files.calls.filter((call) => !/^(open|size) /.test(call));
    expect([opened, synced]).toEqual(['continue 0000000000000001.log', 'sync 0000000000000001.log']);
    expect(created).toMatch(/^create /);
    await log.sync();
    await log.close();
  });
});

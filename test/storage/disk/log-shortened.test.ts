import { describe, expect, it } from 'vitest';
import { DiskLog } from '../../../src/storage/disk/log/disk-log.ts';
import { isDamage, walkFrames } from '../../../src/storage/disk/log/frame-walk.ts';
import { walkLog } from '../../../src/storage/disk/log/log-walk.ts';
import { retain } from '../../support/log-truth.ts';
import { MemoryFiles } from '../../support/memory-files.ts';
import { damagedAt, largeSets, shortened } from '../../support/shortened-log.ts';

const DATA_DIR = '/data';

function open(files: MemoryFiles): Promise<DiskLog> {
  return DiskLog.open({ dataDir: DATA_DIR, files });
}

const corrupt = (path: string, offset: number) =>
  expect.objectContaining({
    code: 'LOG_CORRUPT',
    message: expect.stringContaining(`${path} is damaged at byte ${offset}`),
  });

describe('a shortened file of the log', () => {
  it('is refused with file and byte if a frame is damaged, and is not taken for a write that was cut off', async () => {
    const files = new MemoryFiles();
    const path = await shortened(files, DATA_DIR);
    for (const position of [11, 20, 38]) {
      const crashed = files.copy();
      const damage = damagedAt(files.bytes(path), position);
      crashed.put(path, damage.bytes);
      const before = contents(crashed);
      await expect(open(crashed)).rejects.toThrow(corrupt(path, damage.offset));
      expect(contents(crashed)).toEqual(before);
    }
  });

  it('is read on behind damage', async () => {
    const files = new MemoryFiles();
    const path = await shortened(files, DATA_DIR);
    const frames = [...walkFrames(files, path)];
    for (const damaged of [damagedAt(files.bytes(path), 20), flipped(files.bytes(path), 50)]) {
      const copy = files.copy();
      copy.put(path, damaged.bytes);
      const items = [...walkFrames(copy, path)];
      expect(items.map(({ offset }) => offset)).toEqual(frames.map(({ offset }) => offset));
      expect(items.filter(isDamage).map(({ offset }) => offset)).toEqual([damaged.offset]);
    }
    const damaged = damagedAt(files.bytes(path), 20);
    files.put(path, damaged.bytes);
    const torn: number[] = [];
    const settings = {
      path: `${DATA_DIR}/db`,
      base: 10,
      firsts: [11],
      onTorn: (_: string, at: number) => torn.push(at),
    };
    const problems = [...walkLog(files, settings)].flatMap((item) => ('problem' in item ? [item.problem] : []));
    expect(problems).toEqual([expect.stringContaining(`is damaged from byte ${damaged.offset} to `)]);
    expect(torn).toEqual([]);
  });

  it('is followed by a new file if it is the last one', async () => {
    const files = new MemoryFiles();
    await shortened(files, DATA_DIR);
    const log = await open(files);
    expect(log.head).toBe(40);
    log.append(largeSets(1, 41));
    await log.flush();
    expect(log.names().firsts).toEqual([11, 41]);
    await log.close();
    expect((await open(files)).head).toBe(41);
  });
});

describe('shortening a file of the log', () => {
  for (const position of [30, 40]) {
    it(`refuses damage, and leaves the file: ${position}`, async () => {
      const files = new MemoryFiles();
      const log = await open(files);
      const updates = largeSets(40);
      for (const update of updates) {
        log.append([update]);
        await log.flush();
      }
      await retain(files, log, updates, 10, true);
      const [path = ''] = files.named('.log');
      const damaged = damagedAt(files.bytes(path), position);
      files.put(path, damaged.bytes);
      await expect(retain(files, log, updates, 20, true)).rejects.toThrow(corrupt(path, damaged.offset));
      expect(files.bytes(path).equals(damaged.bytes)).toBe(true);
      await log.close();
    });
  }

  it('refuses damage at the end of a file, where nothing proves that it was on disk', async () => {
    const files = new MemoryFiles();
    const log = await open(files);
    const updates = largeSets(40);
    for (const update of updates) {
      log.append([update]);
      await log.flush();
    }
    const [path = ''] = files.named('.log');
    const damaged = damagedAt(files.bytes(path), 40);
    files.put(path, damaged.bytes);
    await expect(retain(files, log, updates, 10, true)).rejects.toThrow(corrupt(path, damaged.offset));
    expect(files.named('.log')[0]).toBe(path);
    await log.close();
  });
});

/** Returns a copy of all files, as text: comparing large buffers is slow. */
function contents(files: MemoryFiles): string[] {
  return files.all.map(([path, bytes]) => `${path} ${bytes.toString('latin1')}`);
}

/** Returns a copy of a file with a bit of its heading flipped, and the heading's offset. */
function flipped(bytes: Buffer, at: number) {
  const damaged = Buffer.from(bytes);
  damaged[at] = (damaged[at] as number) ^ 1;
  return { bytes: damaged, offset: 16 };
}

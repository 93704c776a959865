import { describe, expect, it } from 'vitest';
import type { EntryRecord } from '../../../src/core/namespace-state.ts';
import { baseName, basesIn, readBase, readBaseSync, writeBase } from '../../../src/storage/disk/base/base-file.ts';
import { DiskLog } from '../../../src/storage/disk/log/disk-log.ts';
import { frameAt } from '../../../src/storage/disk/log/frame.ts';
import type { BaseNamespace } from '../../../src/storage/disk/log/logged-update.ts';
import { all, someSets } from '../../support/log.ts';
import { contentOf, fold, recompute, retain } from '../../support/log-truth.ts';
import { MemoryFiles } from '../../support/memory-files.ts';

const DIRECTORY = '/data/db/base';
const AT = { log: 'the-log', position: 70 };
const PATH = `${DIRECTORY}/${baseName(70)}`;

const anError = (code: string, message: unknown) => expect.objectContaining({ code, message });

const anEntry: EntryRecord = {
  value: { a: [1, null] },
  version: 3,
  createdAt: 1_700_000_000_000,
  updatedAt: 1_700_000_000_005,
  expiresAt: null,
  agent: null,
  meta: undefined,
  bytes: 9,
};

/** Namespaces with every kind of entry. */
function namespaces(): BaseNamespace[] {
  const awkward = JSON.parse('{"__proto__":{"a":1},"constructor":[]}');
  return [
    { name: 'empty', version: 7, position: 12, entries: [] },
    {
      name: '__proto__',
      version: 2 ** 40,
      position: 2 ** 33,
      entries: [
        [
          'é:\u{1f600}\0',
          { ...anEntry, value: -1.5, expiresAt: 1_800_000_000_000, agent: 'booker', meta: { task: 't-7' } },
        ],
        ['__proto__', { ...anEntry, value: awkward }],
        ['null', { ...anEntry, value: null, version: 2 ** 40 }],
        ['kept elsewhere', { ...anEntry, value: undefined }],
      ],
    },
    { name: 'last', version: 1, position: 70, entries: [['k', anEntry]] },
  ];
}

function plain(read: Iterable<BaseNamespace>): unknown[] {
  return Array.from(read, (namespace) => ({ ...namespace, entries: [...namespace.entries] }));
}

function expected(written: readonly BaseNamespace[]): unknown[] {
  return written.map(({ name, version, position, entries }) => ({
    due: [...entries].length,
    name,
    version,
    position,
    entries: [...entries],
  }));
}

async function written(): Promise<{ files: MemoryFiles; bytes: Buffer }> {
  const files = new MemoryFiles();
  await writeBase(files, DIRECTORY, AT, namespaces());
  return { files, bytes: files.bytes(PATH) };
}

function read(files: MemoryFiles): unknown[] {
  return plain(readBaseSync(files, DIRECTORY, AT));
}

describe('a base file', () => {
  it('gives back the namespaces that were written', async () => {
    const { files } = await written();
    expect(read(files)).toEqual(expected(namespaces()));
    const later: BaseNamespace[] = [];
    for await (const namespace of readBase(files, DIRECTORY, AT)) later.push(namespace);
    expect(plain(later)).toEqual(expected(namespaces()));
    expect(files.named('.new')).toEqual([]);
  });

  it('gives back many namespaces and many entries, in frames of bounded size', async () => {
    const files = new MemoryFiles();
    const many: BaseNamespace[] = Array.from({ length: 20_000 }, (_, index) => ({
      name: `n${index}`,
      version: index,
      position: 70,
      entries: [],
    }));
    const large = { ...anEntry, value: 'x'.repeat(3000), bytes: 3000 };
    const entries = Array.from({ length: 500 }, (_, index): [string, EntryRecord] => [`k${index}`, large]);
    many.push({ name: 'large', version: 1, position: 70, entries });
    await writeBase(files, DIRECTORY, AT, many);
    expect(read(files)).toEqual(expected(many));
    const bytes = files.bytes(PATH);
    for (let frame = frameAt(bytes, 16); frame !== undefined; frame = frameAt(bytes, frame.end)) {
      expect(frame.payload.length).toBeLessThan(300_000);
    }
  });

  it('has an entry once, although a capture may give it twice', async () => {
    const files = new MemoryFiles();
    const twice: [string, EntryRecord][] = [
      ['k', anEntry],
      ['l', anEntry],
      ['k', anEntry],
    ];
    await writeBase(files, DIRECTORY, AT, [{ name: 'n', version: 1, position: 70, entries: twice }]);
    expect(read(files)).toEqual(expected([{ name: 'n', version: 1, position: 70, entries: twice.slice(0, 2) }]));
  });

  it('is refused with file and byte whichever of its bits is flipped', async () => {
    const { files, bytes } = await written();
    for (let bit = 0; bit < 8 * bytes.length; bit += 1) {
      const damaged = Buffer.from(bytes);
      damaged.writeUInt8(damaged.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      files.put(PATH, damaged);
      const refusal = anError('LOG_CORRUPT', expect.stringMatching(/070\.base is damaged at byte \d+/));
      expect(() => read(files), `bit ${bit}`).toThrow(refusal);
    }
  });

  it('is refused if any of its end is missing, or if something follows it', async () => {
    const { files, bytes } = await written();
    for (let end = 0; end < bytes.length; end += 1) {
      files.put(PATH, bytes.subarray(0, end));
      expect(() => read(files), `byte ${end}`).toThrow(anError('LOG_CORRUPT', expect.stringContaining(PATH)));
    }
    files.put(PATH, Buffer.concat([bytes, Buffer.alloc(1)]));
    expect(() => read(files)).toThrow(
      anError('LOG_CORRUPT', expect.stringContaining(`${PATH} is damaged at byte ${bytes.length}`)),
    );
  });

  it('is refused if it belongs to another log or another position', async () => {
    const { files, bytes } = await written();
    expect(() => plain(readBaseSync(files, DIRECTORY, { ...AT, log: 'another' }))).toThrow(
      anError('LOG_CORRUPT', expect.stringContaining(`${PATH} belongs to another log`)),
    );
    files.put(`${DIRECTORY}/${baseName(71)}`, bytes);
    expect(() => plain(readBaseSync(files, DIRECTORY, { ...AT, position: 71 }))).toThrow(
      anError('LOG_CORRUPT', expect.stringContaining('holds the state at position 70')),
    );
  });
});

describe('base files of a data directory', () => {
  it('count only if they are the latest, and the others are removed at the next opening', async () => {
    const files = new MemoryFiles();
    const updates = someSets(30);
    let log = await DiskLog.open({ dataDir: '/data', files });
    log.append(updates);
    await log.flush();
    await retain(files, log, updates, 10, false);
    const older = files.bytes(`${DIRECTORY}/${baseName(10)}`);
    await retain(files, log, updates, 20, false);
    await log.close();
    files.put(`${DIRECTORY}/${baseName(10)}`, older);
    expect(await basesIn(files, DIRECTORY)).toEqual([10, 20]);
    log = await DiskLog.open({ dataDir: '/data', files });
    expect(await basesIn(files, DIRECTORY)).toEqual([20]);
    expect(log.names().base).toBe(20);
    expect(contentOf(await recompute(files, log))).toEqual(contentOf(fold(updates)));
    expect(await all(log.read(21))).toEqual(updates.slice(20));
    await log.close();
  });

  it('are refused if the log ends before them', async () => {
    const files = new MemoryFiles();
    const updates = someSets(4);
    const log = await DiskLog.open({ dataDir: '/data', files });
    log.append(updates);
    await log.close();
    await writeBase(files, DIRECTORY, { log: log.id, position: 5 }, []);
    const before = files.copy();
    await expect(DiskLog.open({ dataDir: '/data', files })).rejects.toThrow(
      anError('LOG_CORRUPT', expect.stringContaining(baseName(5))),
    );
    expect(files.all).toEqual(before.all);
  });
});

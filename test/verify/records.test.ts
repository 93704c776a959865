import { cp } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import type { LevelStorage } from '../../src/storage/disk/leveldb/level-storage.ts';
import { PinnedStorage } from '../../src/storage/disk/leveldb/pinned-storage.ts';
import { seal, unseal } from '../../src/storage/disk/leveldb/sealed.ts';
import { decodeTimes, timesWrite } from '../../src/storage/disk/past/past-times.ts';
import { decodeBlock, encodeBlocks } from '../../src/storage/disk/records/block-codec.ts';
import {
  chunkKey,
  chunkWrite,
  decodeChunk,
  decodePast,
  framePageKey,
  pastWrite,
  timesKey,
} from '../../src/storage/disk/records/past-records.ts';
import {
  decodePage,
  decodeSummary,
  encodeSummary,
  PROGRESS_KEY,
  pageKey,
  pageWrite,
  summaryKey,
} from '../../src/storage/disk/records/state-records.ts';
import { verifyDatabase } from '../../src/verify/disk/verify-database.ts';
import { Findings } from '../../src/verify/verify-findings.ts';
import { tempDir } from '../support/temp-dir.ts';
import { allRecords, filledDirectory, told, withRecords } from '../support/verify.ts';

let whole = '';

beforeAll(async () => {
  whole = await filledDirectory();
});

/** Returns the problems found in a copy of the whole directory that `damage` has changed. */
async function found(damage: (storage: LevelStorage) => Promise<void>): Promise<string[]> {
  const dataDir = await tempDir('damaged');
  await cp(whole, dataDir, { recursive: true });
  return withRecords(dataDir, async (storage) => {
    await damage(storage);
    const findings = new Findings(systemClock);
    const pinned = new PinnedStorage(storage, dataDir);
    await verifyDatabase(pinned, findings, dataDir);
    await pinned.close();
    return told(findings.problems);
  });
}

async function get(storage: LevelStorage, key: string): Promise<Uint8Array> {
  const record = storage.getSync(key);
  if (record === undefined) throw new Error(`There is no ${key}`);
  return record;
}

const put = (storage: LevelStorage, key: string, value: Uint8Array) =>
  storage.batch([{ type: 'put', key, value }], false);

/** Returns some keys of each kind of record. */
async function someKeys(): Promise<string[]> {
  const all = await withRecords(whole, allRecords);
  const kinds = new Map<string, string[]>();
  for (const [key] of all) {
    const kind = key.replace(/[0-9a-f]+$/, '').replace(/[0-9a-f]+(?=\/$)/, '');
    kinds.set(kind, [...(kinds.get(kind) ?? []), key]);
  }
  return [...kinds.values()].flatMap((keys) => [keys[0], keys[Math.floor(keys.length / 2)], keys.at(-1)] as string[]);
}

describe('the records of a database', () => {
  it('pass if they are whole', async () => {
    expect(await found(async () => {})).toEqual([]);
  });

  it('are named if a bit of them is flipped', async () => {
    for (const key of new Set(await someKeys())) {
      for (const share of [0, 0.5, 0.999]) {
        const problems = await found(async (storage) => {
          const bytes = Buffer.from(await get(storage, key));
          const at = Math.floor(share * bytes.length);
          bytes[at] = (bytes[at] ?? 0) ^ 0x10;
          await put(storage, key, bytes);
        }).catch((error) => [String(error)]);
        if (key.startsWith('!meta!'))
          expect(problems.join('\n'), key).toMatch(/format|JSON|another program|log|checkpoint/);
        else expect(problems.join('\n'), key).toContain(JSON.stringify(key));
      }
    }
  });

  it('are reported if they are missing', async () => {
    const mayGo = /^!(meta!checkpoint|config)/;
    for (const key of new Set(await someKeys())) {
      const problems = await found((storage) => storage.batch([{ type: 'del', key }], false));
      if (mayGo.test(key)) expect(problems).toEqual([]);
      else expect(problems, key).not.toEqual([]);
    }
  });

  it('are named if they should not exist', async () => {
    const strange = [
      '!',
      '!log!x',
      '!past!u/4:busy/ffff',
      '!past!f/4:busy/ff',
      '!past!p/4:busy/ff/0',
      '!past!t/77',
      '!state!p/4:busy/ff',
      '!state!p/4:nope/0',
      '!state!x/4:busy/0',
      '!zzz',
      'a',
      '\u{ffff}',
    ];
    for (const key of strange) {
      const record = key.includes('!p/') ? seal([]) : key.includes('!f/') ? seal([0, 0, 0, 0]) : seal([[], []]);
      const problems = await found((storage) => put(storage, key, record));
      expect(problems.join('\n'), key).toContain(JSON.stringify(key));
    }
  });
});

/** Changes that leave every checksum valid. */
const lies: Readonly<Record<string, readonly [(storage: LevelStorage) => Promise<void>, RegExp]>> = {
  'an update of the log that was forged': [
    async (storage) => {
      const [key, bytes] = await blockAt(storage, 3);
      const updates = decodeBlock(key, bytes).map((each, index) => (index === 1 ? { ...each, value: 'forged' } : each));
      for (const block of encodeBlocks(updates)) await put(storage, block.key, block.bytes);
    },
    /past .*do not hold the same updates/,
  ],
  'an update missing from the log': [
    async (storage) => {
      const [key, bytes] = await blockAt(storage, 3);
      for (const block of encodeBlocks(decodeBlock(key, bytes).slice(0, -1)))
        await put(storage, block.key, block.bytes);
    },
    /log .*has a gap: positions \d+ to \d+ are missing/,
  ],
  'a version that is skipped': [
    async (storage) => {
      const [key, bytes] = await blockAt(storage, 3);
      const updates = decodeBlock(key, bytes).map((each) => ({ ...each, version: each.version + 1 }));
      for (const block of encodeBlocks(updates)) await put(storage, block.key, block.bytes);
    },
    /log .*"namespace":"busy".*version \d+ in its namespace instead of \d+/,
  ],
  'a value in a page of the state': [
    async (storage) => {
      const record = pageKey('busy', 0);
      const page = decodePage(await get(storage, record));
      const [[key, stored] = ['', undefined]] = page;
      if (stored === undefined) throw new Error('No entry');
      page.set(key, { ...stored, expiresAt: 77 });
      const write = pageWrite('busy', 0, page);
      await storage.batch([write], false);
    },
    /state .*"key":"k\d+".*differs from what the updates lead to/,
  ],
  'an entry missing from the state and from its record': [
    async (storage) => {
      const page = decodePage(await get(storage, pageKey('wide', 1)));
      const [key = ''] = page.keys();
      page.delete(key);
      const { digest, ...summary } = decodeSummary(await get(storage, summaryKey('wide')));
      const less = encodeSummary({ ...summary, count: summary.count - 1 });
      await storage.batch([pageWrite('wide', 1, page), { type: 'put', key: summaryKey('wide'), value: less }], false);
    },
    /state .*"namespace":"wide","key":"k\d+".*The entry is missing/,
  ],
  'a page of an earlier state': [
    async (storage) => {
      const page = decodePage(await get(storage, framePageKey('busy', 0, 0)));
      await storage.batch([pageWrite('busy', 0, page)], false);
    },
    /state .*digest/,
  ],
  'a version in the record of a namespace': [
    async (storage) => {
      const summary = decodeSummary(await get(storage, summaryKey('busy')));
      await put(storage, summaryKey('busy'), encodeSummary({ ...summary, version: summary.version + 1 }));
    },
    /state .*"busy".*updates lead to/,
  ],
  'a next expiry that is too late': [
    async (storage) => {
      const summary = decodeSummary(await get(storage, summaryKey('wide')));
      await put(storage, summaryKey('wide'), encodeSummary({ ...summary, nextExpiryAt: null }));
    },
    /state .*"wide".*next expiry/,
  ],
  'an update in the past of a namespace': [
    async (storage) => {
      const { positions, updates } = decodeChunk(await get(storage, chunkKey('busy', 2)));
      const [first = new Uint8Array(), second = new Uint8Array(), ...rest] = updates;
      const write = chunkWrite('busy', 2, { positions, updates: [first, second.with(-1, 0x41), ...rest] });
      await storage.batch([write], false);
    },
    /past .*"busy"/,
  ],
  'the position of an update in the past': [
    async (storage) => {
      const { positions, updates } = decodeChunk(await get(storage, chunkKey('wide', 0)));
      await storage.batch(
        [chunkWrite('wide', 0, { positions: positions.with(0, (positions[0] ?? 0) - 1), updates })],
        false,
      );
    },
    /past .*"wide".*not hold the same updates/,
  ],
  'the lives of a namespace': [
    async (storage) => {
      const past = decodePast(await get(storage, '!past!d/busy'));
      await storage.batch([pastWrite({ ...past, lives: [2] })], false);
    },
    /past .*"busy".*recorded lives/,
  ],
  'a frame': [
    async (storage) => {
      const key = framePageKey('busy', 0, 0);
      const page = decodePage(await get(storage, key));
      page.delete([...page.keys()][0] ?? '');
      const write = pageWrite('busy', 0, page);
      if (write.type === 'put') await put(storage, key, write.value);
    },
    /past .*frame is not what the updates before it lead to/,
  ],
  'an instant': [
    async (storage) => {
      const times = decodeTimes(await get(storage, timesKey(1)));
      const at = times.at.with(-1, (times.at.at(-1) ?? 0) + 5);
      await storage.batch([timesWrite(1, { ...times, at })], false);
    },
    /past .*instants by position/,
  ],
  'the checkpoint of the state': [
    async (storage) => {
      const fields = unseal(await get(storage, PROGRESS_KEY), () => 'it') as number[];
      await put(storage, PROGRESS_KEY, seal(fields.with(0, (fields[0] ?? 0) - 1)));
    },
    /past/,
  ],
  'the checkpoint of a follower': [
    (storage) => put(storage, '!meta!checkpoint/mirror', seal(1_000_000)),
    /log .*follower mirror has already received 1000000/,
  ],
};

async function blockAt(storage: LevelStorage, index: number): Promise<readonly [string, Uint8Array]> {
  const blocks = (await allRecords(storage)).filter(([key]) => key.startsWith('!log!'));
  return blocks[Math.min(index, blocks.length - 2)] ?? ['', new Uint8Array()];
}

describe('a record that is wrong although its checksum is valid', () => {
  it.each(Object.entries(lies))('is found: %s', async (_name, [damage, expected]) => {
    expect((await found(damage)).join('\n')).toMatch(expected);
  });
});

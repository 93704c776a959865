import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import { verifyDirectory } from '../../src/index.ts';
import { nodeFiles } from '../../src/storage/disk/files.ts';
import type { LevelStorage } from '../../src/storage/disk/index/leveldb/level-storage.ts';
import { PinnedStorage } from '../../src/storage/disk/index/leveldb/pinned-storage.ts';
import { seal, unseal } from '../../src/storage/disk/index/leveldb/sealed.ts';
import { decodeChunk, encodeChunk } from '../../src/storage/disk/index/records/chunk-codec.ts';
import {
  chunkKey,
  decodePast,
  framePageKey,
  pastWrite,
  timesKey,
} from '../../src/storage/disk/index/records/past-records.ts';
import { PROGRESS_KEY } from '../../src/storage/disk/index/records/progress.ts';
import {
  decodePage,
  decodeSummary,
  encodePage,
  encodeSummary,
  pageKey,
  summaryKey,
} from '../../src/storage/disk/index/records/state-records.ts';
import type { LocatedUpdate } from '../../src/storage/disk/log/logged-update.ts';
import { storedLog } from '../../src/storage/disk/log/stored-log.ts';
import { verifyStored } from '../../src/verify/disk/verify-stored.ts';
import { Findings } from '../../src/verify/verify-findings.ts';
import { tempDir } from '../support/temp-dir.ts';
import { allRecords, filledDirectory, open, told, withRecords } from '../support/verify.ts';

let whole = '';

beforeAll(async () => {
  whole = await filledDirectory();
});

type Change = (storage: LevelStorage) => Promise<void>;

/** Returns a copy of the whole directory whose index was changed. */
async function changed(change: Change): Promise<string> {
  const dataDir = await tempDir('damaged');
  await cp(whole, dataDir, { recursive: true });
  await withRecords(dataDir, change);
  return dataDir;
}

/** Returns the problems and notes that are found after a change. */
async function found(change: Change): Promise<string> {
  const dataDir = await tempDir('damaged');
  await cp(whole, dataDir, { recursive: true });
  const path = join(dataDir, 'db');
  const { problems, notes } = await withRecords(dataDir, async (storage) => {
    await change(storage);
    const index = new PinnedStorage(storage, path);
    const findings = new Findings(systemClock);
    const parts = { files: nodeFiles, dataDir, path, ...(await storedLog(nodeFiles, path)), index };
    await verifyStored(parts, findings).finally(() => index.close());
    return findings;
  });
  expect(new Set(problems.map(({ kind }) => kind)).size).toBeLessThanOrEqual(1);
  return [...told(problems), ...notes].join('\n');
}

function get(storage: LevelStorage, key: string): Uint8Array {
  const record = storage.getSync(key);
  if (record === undefined) throw new Error(`There is no ${key}`);
  return record;
}

const put = (storage: LevelStorage, key: string, value: Uint8Array) =>
  storage.batch([{ type: 'put', key, value }], false);

/** Returns some keys of each kind of record. */
async function someKeys(): Promise<ReadonlySet<string>> {
  const all = await withRecords(whole, allRecords);
  const kinds = new Map<string, string[]>();
  for (const [key] of all) {
    const kind = key.replace(/[0-9a-f]+$/, '').replace(/[0-9a-f]+(?=\/$)/, '');
    kinds.set(kind, [...(kinds.get(kind) ?? []), key]);
  }
  return new Set(
    [...kinds.values()].flatMap((keys) => [keys[0], keys[Math.floor(keys.length / 2)], keys.at(-1)] as string[]),
  );
}

describe('the records of an index', () => {
  it('pass if they are whole', async () => {
    expect(await found(async () => {})).toBe('');
  });

  it('are named if a bit of them is flipped', async () => {
    for (const key of await someKeys()) {
      for (const share of [0, 0.999]) {
        const problems = await found(async (storage) => {
          const bytes = Buffer.from(get(storage, key));
          const at = Math.floor(share * bytes.length);
          bytes[at] = (bytes[at] ?? 0) ^ 0x10;
          await put(storage, key, bytes);
        });
        expect(problems, key).toContain(`index {"file":"db/index","record":${JSON.stringify(key)}`);
      }
    }
  });

  it('are reported if they are missing', async () => {
    for (const key of await someKeys()) {
      const problems = await found((storage) => storage.batch([{ type: 'del', key }], false));
      if (key === PROGRESS_KEY) expect(problems).toMatch(/The index was not compared: it is incomplete/);
      else expect(problems, key).toMatch(/^index /);
    }
  });

  it('are named if they should not exist', async () => {
    const strange = [
      '!',
      '!indey',
      '!past!f/4:busy/ff',
      '!past!p/4:busy/ff/0',
      '!state!p/4:busy/ff',
      '!state!p/4:nope/0',
      '!state!x/4:busy/0',
      '!zzz',
      'a',
      '\u{ffff}',
    ];
    for (const key of strange) {
      const record = key.includes('!p/') ? seal([]) : seal([0, 0, 0, 0, 0]);
      expect(await found((storage) => put(storage, key, record)), key).toContain(JSON.stringify(key));
    }
    const chunk = await withRecords(whole, async (storage) => Buffer.from(get(storage, chunkKey('busy', 1))));
    expect(await found((storage) => put(storage, chunkKey('busy', 0xffff), chunk))).toContain('!past!u/4:busy/ffff');
    const times = await withRecords(whole, async (storage) => Buffer.from(get(storage, timesKey(1))));
    expect(await found((storage) => put(storage, timesKey(0x77), times))).toContain('!past!t/77');
  });
});

/** Returns the updates of a chunk in the form that it is encoded from. */
function updatesOf(record: Uint8Array): LocatedUpdate[] {
  const { positions, locations, drops } = decodeChunk(record);
  return positions.map((position, index) => ({ position, drop: drops[index], ...locations[index] }) as LocatedUpdate);
}

/** Changes that leave every checksum valid. */
const lies: Readonly<Record<string, readonly [Change, RegExp]>> = {
  'a page of the state': [
    async (storage) => {
      const page = decodePage(get(storage, pageKey('busy', 0)));
      const [[key, stored] = ['', undefined]] = page;
      if (stored === undefined) throw new Error('No entry');
      page.set(key, { ...stored, expiresAt: 77 });
      await put(storage, pageKey('busy', 0), encodePage(page));
    },
    /"key":"k\d+".*The entry differs from what the log leads to/,
  ],
  'an entry missing from the state and from its record': [
    async (storage) => {
      const page = decodePage(get(storage, pageKey('wide', 1)));
      const [key = ''] = page.keys();
      page.delete(key);
      const summary = decodeSummary(get(storage, summaryKey('wide')));
      await put(storage, pageKey('wide', 1), encodePage(page));
      await put(storage, summaryKey('wide'), encodeSummary({ ...summary, count: summary.count - 1 }));
    },
    /"namespace":"wide".*"key":"k\d+".*The entry is missing/,
  ],
  'an entry in the wrong page': [
    async (storage) => {
      const [one, other] = [0, 1].map((page) => decodePage(get(storage, pageKey('wide', page))));
      const [[key, stored] = ['', undefined]] = one ?? [];
      if (stored === undefined) throw new Error('No entry');
      one?.delete(key);
      other?.set(key, stored);
      await put(storage, pageKey('wide', 0), encodePage(one ?? new Map()));
      await put(storage, pageKey('wide', 1), encodePage(other ?? new Map()));
    },
    /"namespace":"wide","key":"k\d+".*The entry is in the wrong page/,
  ],
  'a page of an earlier state': [
    async (storage) => put(storage, pageKey('busy', 0), get(storage, framePageKey('busy', 0, 0))),
    /"namespace":"busy"/,
  ],
  'a version in the record of a namespace': [
    async (storage) => {
      const summary = decodeSummary(get(storage, summaryKey('busy')));
      await put(storage, summaryKey('busy'), encodeSummary({ ...summary, version: summary.version + 1 }));
    },
    /"busy".*The index has \d+ as version; the log leads to \d+/,
  ],
  'an expiry in the record of a namespace': [
    async (storage) => {
      const summary = decodeSummary(get(storage, summaryKey('wide')));
      await put(storage, summaryKey('wide'), encodeSummary({ ...summary, nextExpiryAt: null }));
    },
    /"wide".*next expiry/,
  ],
  'a namespace that does not exist': [
    async (storage) => {
      const summary = decodeSummary(get(storage, summaryKey('default')));
      await put(storage, summaryKey('other'), encodeSummary({ ...summary, name: 'other' }));
    },
    /"other".*is in the index, but does not exist/,
  ],
  'a namespace under another name': [
    async (storage) => put(storage, summaryKey('bus'), get(storage, summaryKey('busy'))),
    /"record":"!state!d\/bus".*does not belong/,
  ],
  'the location of an update': [
    async (storage) => {
      const [first, ...rest] = updatesOf(get(storage, chunkKey('busy', 2)));
      if (first === undefined) throw new Error('No update');
      const moved = { ...first, offset: first.offset + 1 };
      await put(storage, chunkKey('busy', 2), encodeChunk(undefined, [moved, ...rest]));
    },
    /"busy".*does not refer to the updates that the log holds/,
  ],
  'the position of an update': [
    async (storage) => {
      const [first, ...rest] = updatesOf(get(storage, chunkKey('busy', 2)));
      if (first === undefined) throw new Error('No update');
      const moved = { ...first, position: first.position - 1 };
      await put(storage, chunkKey('busy', 2), encodeChunk(undefined, [moved, ...rest]));
    },
    /"busy".*does not refer to the updates that the log holds/,
  ],
  'the number of updates of a namespace': [
    async (storage) => {
      const past = decodePast(get(storage, '!past!d/default'));
      await storage.batch([pastWrite({ ...past, count: 2 })], false);
      const [only] = updatesOf(get(storage, chunkKey('default', 0)));
      if (only === undefined) throw new Error('No update');
      await put(storage, chunkKey('default', 0), encodeChunk(undefined, [only, only]));
    },
    /"default".*The past ends with update 2/,
  ],
  'the lives of a namespace': [
    async (storage) => {
      const past = decodePast(get(storage, '!past!d/busy'));
      await storage.batch([pastWrite({ ...past, lives: [2] })], false);
    },
    /"busy".*recorded lives differ/,
  ],
  'a namespace whose past is gone': [
    async (storage) => {
      await storage.batch(
        [
          { type: 'del', key: '!past!d/default' },
          { type: 'del', key: chunkKey('default', 0) },
        ],
        false,
      );
    },
    /"default".*has updates but no past/,
  ],
  'a copy of a namespace': [
    async (storage) => {
      const key = framePageKey('busy', 0, 0);
      const page = decodePage(get(storage, key));
      page.delete([...page.keys()][0] ?? '');
      await put(storage, key, encodePage(page));
    },
    /"busy".*copy before update \d+ of the namespace is not what the updates before it lead to/,
  ],
  'an instant': [
    async (storage) => {
      const fields = unseal(get(storage, timesKey(1)), () => 'it') as [number, number[], number, number[]];
      const at = fields[1].with(-1, (fields[1].at(-1) ?? 0) + 5);
      await put(storage, timesKey(1), seal([fields[0], at, fields[2], fields[3]]));
    },
    /instants of updates differ from the log/,
  ],
  'the number of namespaces': [
    async (storage) => {
      const fields = unseal(get(storage, PROGRESS_KEY), () => 'it') as unknown[];
      await put(storage, PROGRESS_KEY, seal(fields.with(-2, 5)));
    },
    /has 4 namespaces instead of 5/,
  ],
  'the sum of the records of namespaces': [
    async (storage) => {
      const fields = unseal(get(storage, PROGRESS_KEY), () => 'it') as unknown[];
      await put(storage, PROGRESS_KEY, seal(fields.with(-1, 1)));
    },
    /records of the namespaces are not those that were written last/,
  ],
};

describe('a record that is wrong although its checksum is valid', () => {
  it.each(Object.entries(lies))('is found: %s', async (_name, [change, expected]) => {
    expect(await found(change)).toMatch(expected);
  });
});

describe('an index of another log', () => {
  it.each([
    ['of another log', 1, 'other', /it belongs to another log/],
    ['of another format', 0, 99, /it has another format/],
    ['of an unfinished start', 3, true, /it is incomplete/],
    ['that differs from the log', 5, 7, /it differs from the log at position/],
  ])('%s is noted, and rebuilt on request', async (_name, field, value, note) => {
    const dataDir = await changed(async (storage) => {
      const fields = unseal(get(storage, PROGRESS_KEY), () => 'it') as unknown[];
      await put(storage, PROGRESS_KEY, seal(fields.with(field, value)));
    });
    const { ok, notes } = await verifyDirectory(dataDir);
    expect({ ok, notes }).toEqual({ ok: true, notes: [expect.stringMatching(note)] });
    const repaired = await verifyDirectory(dataDir, { repair: true });
    expect(repaired).toMatchObject({ ok: true, problems: [], notes: [], repaired: [expect.stringMatching(note)] });
    expect(await verifyDirectory(dataDir)).toMatchObject({ ok: true, notes: [], repaired: [] });
  });
});

describe('an index that is ahead of its log', () => {
  const withProgress = (field: number, value: unknown) =>
    changed(async (storage) => {
      const fields = unseal(get(storage, PROGRESS_KEY), () => 'it') as unknown[];
      await put(storage, PROGRESS_KEY, seal(fields.with(field, value)));
    });

  it('shows that the log has lost updates: verify reports that, repairs nothing, and open refuses the directory', async () => {
    const dataDir = await withProgress(4, 1_000_000);
    for (const repair of [false, true]) {
      const { ok, problems, repaired } = await verifyDirectory(dataDir, { repair });
      expect({ ok, repaired }).toEqual({ ok: false, repaired: [] });
      expect(told(problems)).toEqual([
        expect.stringMatching(
          /^log .*"position":1000000.* its index has 1000000: updates were lost\. Restore a backup/,
        ),
      ]);
    }
    await expect(open({ dataDir })).rejects.toMatchObject({
      code: 'LOG_CORRUPT',
      message: expect.stringContaining('its index has 1000000: updates were lost'),
    });
  });

  it('is rebuilt if it belongs to another log', async () => {
    const dataDir = await withProgress(4, 1_000_000);
    await withRecords(dataDir, async (storage) => {
      const fields = unseal(get(storage, PROGRESS_KEY), () => 'it') as unknown[];
      await put(storage, PROGRESS_KEY, seal(fields.with(1, 'other')));
    });
    expect(await verifyDirectory(dataDir)).toMatchObject({ ok: true, notes: [expect.stringMatching(/another log/)] });
    const cache = await open({ dataDir });
    expect(cache.get('plan')).toEqual(['search']);
  });
});

describe('repair', () => {
  it('rebuilds an index that is wrong, and nothing else', async () => {
    const dataDir = await changed(async (storage) => {
      await put(storage, pageKey('busy', 0), get(storage, framePageKey('busy', 0, 0)));
    });
    const before = await verifyDirectory(dataDir);
    expect(before.ok).toBe(false);
    const { ok, problems, repaired, digest, position } = await verifyDirectory(dataDir, { repair: true });
    expect({ ok, problems, repaired }).toEqual({
      ...{ ok: true, problems: [] },
      repaired: before.problems.map(({ message }) => message),
    });
    expect({ digest, position }).toEqual({ digest: before.digest, position: before.position });
    expect(await verifyDirectory(dataDir, { repair: true })).toMatchObject({ ok: true, notes: [], repaired: [] });
    const cache = await open({ dataDir });
    expect(await cache.digest()).toBe(digest);
    expect(cache.position).toBe(position);
  });

  it('rebuilds the index of a running cache', async () => {
    const dataDir = await changed(async (storage) => {
      await put(storage, pageKey('wide', 1), encodePage(new Map()));
    });
    const cache = await open({ dataDir });
    const before = await cache.verify();
    expect(told(before.problems).join('\n')).toMatch(/"wide".*The entry is missing/);
    const after = await cache.verify({ repair: true });
    expect(told(after.problems)).toEqual([]);
    expect(after.repaired.length).toBeGreaterThan(0);
    expect(after).toMatchObject({ ok: true, notes: [], digest: before.digest });
    expect(cache.get('k1', 'wide')).toBe(1);
  });
});

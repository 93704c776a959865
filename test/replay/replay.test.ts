import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { DirectorySnapshotStore } from '../../src/backup.ts';
import { AgentContextCache, replay } from '../../src/index.ts';
import type { ReplayProgress } from '../../src/replay/fill.ts';
import { DataDirectory } from '../../src/storage/disk/data-directory.ts';
import { AIRLINE_UPDATES } from '../support/airline.ts';
import { closing, logOf, simulatedClock } from '../support/cache.ts';
import { fcOptions } from '../support/property.ts';
import {
  airlineCache,
  anyPast,
  cacheWith,
  everythingOf,
  exported,
  linesOf,
  replayed,
  smallCache,
} from '../support/replay.ts';
import { tempDir } from '../support/temp-dir.ts';

async function newDir(): Promise<string> {
  return join(await tempDir('replay'), 'new');
}

/** Writes the text to a file. */
async function fileOf(text: string): Promise<string> {
  const path = join(await tempDir('replay'), 'run.ndjson');
  await writeFile(path, text);
  return path;
}

describe('the recorded agent runs, exported and replayed', () => {
  it('give equal entries, versions, positions and updates, in memory, in a directory, and from that directory', async () => {
    const original = await airlineCache();
    const path = await fileOf(await exported(original));
    const dataDir = await newDir();
    const inMemory = await replayed(path);
    const inDirectory = await replayed(path, { dataDir });
    expect(inMemory.report).toMatchObject({ position: AIRLINE_UPDATES, updates: AIRLINE_UPDATES, problems: {} });
    for (const { cache } of [inMemory, inDirectory]) {
      expect(everythingOf(cache)).toEqual(everythingOf(original));
      expect(await logOf(cache)).toEqual(await logOf(original));
    }
    await inDirectory.cache.shutdown();
    const outOfDirectory = await replayed(dataDir);
    expect(everythingOf(outOfDirectory.cache)).toEqual(everythingOf(original));
    expect(await logOf(outOfDirectory.cache)).toEqual(await logOf(original));
    const again = closing(await AgentContextCache.open({ dataDir }));
    expect(everythingOf(again)).toEqual(everythingOf(original));
  });
});

it('any past, exported and replayed, gives the same cache, which continues as the original would', async () => {
  const property = fc.asyncProperty(anyPast, async (past) => {
    const { cache, clock, updates } = await cacheWith(past);
    const replay = await replayed(linesOf(await exported(cache)), { clock });
    expect(everythingOf(replay.cache)).toEqual(everythingOf(cache));
    expect(await logOf(replay.cache)).toEqual(updates);
    expect(replay.report).toMatchObject({ position: updates.length, recordedPosition: updates.length, problems: {} });
    const next = (each: AgentContextCache) => each.set('k', 1, 'n');
    expect(await next(replay.cache)).toEqual(await next(cache));
  });
  await fc.assert(property, fcOptions(150));
});

it('any past replayed into a directory is complete when the directory is opened', async () => {
  const property = fc.asyncProperty(anyPast, async (past) => {
    const { cache, clock, updates } = await cacheWith(past);
    const dataDir = await newDir();
    const { cache: replica } = await replayed(linesOf(await exported(cache)), { dataDir, clock });
    await replica.shutdown();
    const opened = closing(await AgentContextCache.open({ dataDir, clock }));
    expect(everythingOf(opened)).toEqual(everythingOf(cache));
    expect(await logOf(opened)).toEqual(updates);
    await opened.shutdown();
  });
  await fc.assert(property, fcOptions(25));
});

describe('until', () => {
  it('every position gives what the cache was then', async () => {
    const property = fc.asyncProperty(anyPast, async (past) => {
      const { cache, updates } = await cacheWith(past);
      const text = await exported(cache);
      for (let position = 0; position <= updates.length; position += 1) {
        const part = await replayed([text], { until: position });
        const whole = await replayed(linesOf(text).slice(0, position));
        expect(part.cache.position).toBe(position);
        expect(everythingOf(part.cache)).toEqual(everythingOf(whole.cache));
        expect(await logOf(part.cache)).toEqual(updates.slice(0, position));
      }
    });
    await fc.assert(property, fcOptions(15));
  });

  it('a time leaves out the first update after it and everything that follows in the log', async () => {
    const { cache, updates } = await smallCache();
    const text = await exported(cache);
    for (const at of new Set(updates.map((update) => update.at))) {
      const { cache: part } = await replayed([text], { until: new Date(at) });
      expect(await logOf(part)).toEqual(updates.filter((update) => update.at <= at));
    }
    const [first = '', second = '', ...rest] = linesOf(text);
    const clockSetBack = [first.replace(/"at":\d+/, '"at":9000000'), second, ...rest];
    expect((await replayed(clockSetBack, { until: new Date(8_000_000) })).cache.position).toBe(0);
  });

  it('beyond the end gives the whole log, and nothing after the end of the replay is read', async () => {
    const { cache, updates } = await smallCache();
    const lines = linesOf(await exported(cache));
    expect((await replayed(lines, { until: 1_000_000 })).report.position).toBe(updates.length);
    expect((await replayed([...lines.slice(0, 3), 'damage'], { until: 3 })).report.position).toBe(3);
    expect((await replayed(['damage'], { until: 0 })).report).toMatchObject({ position: 0, namespaces: 0 });
  });

  it.each([-1, 1.5, Number.NaN, new Date('no date'), '5' as never])('of %s is refused', async (until) => {
    await expect(replay([], { until })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });
});

describe('a source', () => {
  it('may be a file, bytes, pieces of bytes cut anywhere, lines, whole lines together, updates or objects', async () => {
    const { cache, updates } = await smallCache();
    const text = `\u{feff}${await exported(cache)}`.trimEnd();
    const bytes = Buffer.from(text);
    const pieces = Array.from(bytes, (byte) => Uint8Array.of(byte));
    const objects = linesOf(text.slice(1)).map((line) => JSON.parse(line));
    const later = async function* () {
      for (const line of linesOf(text)) yield line;
    };
    const sources = [await fileOf(text), bytes, pieces, linesOf(text), [text], later(), cache.readLog(), objects];
    for (const source of sources) expect(await logOf((await replayed(source)).cache)).toEqual(updates);
  });

  it('may be empty', async () => {
    for (const source of [[], [''], await fileOf(''), await fileOf('\n\n')]) {
      const { cache, report } = await replayed(source, { dataDir: await newDir() });
      expect([cache.position, cache.listNamespaces(), report.updates]).toEqual([0, ['default'], 0]);
      expect(await cache.set('a', 1)).toMatchObject({ position: 1, version: 1 });
    }
  });

  it('that does not exist, or is of another kind, is refused, and nothing is created', async () => {
    const dataDir = await newDir();
    const missing = await fileOf('x');
    await expect(replay(`${missing}.no`, { dataDir })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(replay(await tempDir(), { dataDir })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(replay(5 as never, { dataDir })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(readdir(dataDir)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('refuses an unknown name in a stream source, with the nearest one', async () => {
    const natsUrl = 'nats://127.0.0.1:1';
    for (const [source, message] of [
      [
        { natsUrl, stream: 'S', subjct: 'ctx.a' },
        'The stream source of replay has no option subjct. Did you mean subject?',
      ],
      [{ natsURL: natsUrl, stream: 'S' }, 'The stream source of replay has no option natsURL. Did you mean natsUrl?'],
    ] as const) {
      await expect(replay(source as never)).rejects.toMatchObject({ code: 'INVALID_OPTION', message });
    }
  });

  it('that another process has open is refused', async () => {
    const dataDir = await newDir();
    closing(await AgentContextCache.open({ dataDir }));
    await expect(replay(dataDir)).rejects.toMatchObject({ code: 'DIRECTORY_LOCKED' });
  });

  it('may be a directory that was itself restored: its state is included, and its log starts there', async () => {
    const [dataDir, backups] = [await newDir(), await tempDir('backups')];
    const clock = simulatedClock();
    const original = closing(new AgentContextCache({ clock, backup: { store: new DirectorySnapshotStore(backups) } }));
    for (let i = 0; i < 20; i += 1) await original.set(`k${i % 7}`, i, `n${i % 3}`);
    await original.backup();
    const restored = closing(await AgentContextCache.open({ dataDir, restoreFrom: backups, clock }));
    for (const each of [original, restored]) {
      for (let i = 0; i < 10; i += 1) await each.set(`k${i}`, -i, `n${i % 4}`);
    }
    await restored.shutdown();
    const { cache } = await replayed(dataDir, { clock });
    expect(everythingOf(cache)).toEqual(everythingOf(original));
    const other = await newDir();
    const durable = await replayed(dataDir, { dataDir: other, clock });
    expect(everythingOf(durable.cache)).toEqual(everythingOf(original));
    await durable.cache.shutdown();
    expect(everythingOf((await replayed(other, { clock })).cache)).toEqual(everythingOf(original));
    await expect(replay(dataDir, { until: 3 })).rejects.toMatchObject({ code: 'POSITION_UNAVAILABLE' });
  });

  it('of a directory is not changed', async () => {
    const dataDir = await newDir();
    const { cache } = await replayed([await exported((await smallCache()).cache)], { dataDir });
    await cache.shutdown();
    const first = await replayed(dataDir);
    const second = await replayed(dataDir);
    expect(await logOf(first.cache)).toEqual(await logOf(second.cache));
    const opened = closing(await AgentContextCache.open({ dataDir, clock: simulatedClock() }));
    expect(everythingOf(opened)).toEqual(everythingOf(first.cache));
  });
});

describe('a replay', () => {
  it('does not fill a directory that has a database', async () => {
    const dataDir = await newDir();
    const cache = closing(await AgentContextCache.open({ dataDir }));
    await cache.set('mine', 1);
    await cache.shutdown();
    await expect(replay([], { dataDir })).rejects.toMatchObject({ code: 'NOT_EMPTY' });
    expect(closing(await AgentContextCache.open({ dataDir })).get('mine')).toBe(1);
  });

  it('leaves other files in the directory, and nothing of its own if it fails', async () => {
    const dataDir = await tempDir('replay');
    await writeFile(join(dataDir, 'notes.txt'), 'mine');
    await expect(replay(['damage'], { dataDir })).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
    expect(await readdir(dataDir)).toEqual(['notes.txt']);
    const { cache } = await replayed([], { dataDir });
    expect((await readdir(dataDir)).sort()).toEqual(['db', 'notes.txt']);
    await cache.shutdown();
  });

  it('reports its progress, and ends with the signal, leaving nothing', async () => {
    const dataDir = await newDir();
    const text = await exported((await smallCache()).cache);
    const progress: ReplayProgress[] = [];
    await replayed(await fileOf(text), { onProgress: (step) => void progress.push(step) });
    expect(progress.at(-1)).toEqual({ position: linesOf(text).length, fraction: 1 });
    const controller = new AbortController();
    let began = () => {};
    const begun = new Promise<void>((resolve) => {
      began = resolve;
    });
    const endless = async function* () {
      for (let i = 0; i < 300; i += 1) yield '\n';
      began();
      await new Promise(() => {});
    };
    const running = replay(endless(), { dataDir, signal: controller.signal });
    await begun;
    controller.abort(new Error('enough'));
    await expect(running).rejects.toThrow('enough');
    await expect(readdir(dataDir)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('leaves nothing if it is cancelled while the index of the directory is written', async () => {
    const dataDir = await newDir();
    const controller = new AbortController();
    const { openIndex } = DataDirectory.prototype;
    const spy = vi.spyOn(DataDirectory.prototype, 'openIndex').mockImplementation(function (this: DataDirectory) {
      controller.abort(new Error('enough'));
      return openIndex.call(this);
    });
    const text = await exported((await smallCache()).cache);
    await expect(replayed(await fileOf(text), { dataDir, signal: controller.signal })).rejects.toThrow('enough');
    spy.mockRestore();
    await expect(readdir(dataDir)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('refuses an external primary', async () => {
    await expect(replay([], { primaryCache: {} } as never)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  it('records a new log, whose positions are not confused with the recorded ones', async () => {
    const { cache } = await smallCache();
    const { cache: replica } = await replayed(cache.readLog());
    expect(replica.health().log.id).not.toBe(cache.health().log.id);
  });
});

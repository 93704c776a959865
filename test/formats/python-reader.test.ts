import { execFileSync } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import { compareNames } from '../../src/core/names.ts';
import { TimeSlice } from '../../src/core/time-slice.ts';
import { AgentContextCache, type JsonValue } from '../../src/index.ts';
import { dumpChunks } from '../../src/serve/json-lines.ts';
import { writeBase } from '../../src/storage/disk/base/base-file.ts';
import { nodeFiles } from '../../src/storage/disk/files.ts';
import { compressSegment } from '../../src/storage/disk/log/compress-segment.ts';
import { DiskLog } from '../../src/storage/disk/log/disk-log.ts';
import { segmentName } from '../../src/storage/disk/log/segment.ts';
import { isCompressed } from '../../src/storage/disk/log/segment-file.ts';
import { airlineLines } from '../support/airline.ts';
import { type Fate, FaultFiles, isGroup } from '../support/fault-files.ts';
import { aStep, Cache, someSets } from '../support/log.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { fcOptions } from '../support/property.ts';
import { damagedAt, shortened } from '../support/shortened-log.ts';
import { logOfFiles } from '../support/stored-log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { eventually } from '../support/waiting.ts';

/** Runs the reader, which uses nothing of this package. Its numbers are spelled differently, so JSON is brought into one form. */
function readByPython(dataDir: string): string[] {
  const reader = join(import.meta.dirname, 'read_directory.py');
  const env = { ...process.env, PYTHONIOENCODING: 'utf-8' };
  const printed = execFileSync('python3', [reader, dataDir], {
    encoding: 'utf8',
    env,
    stdio: 'pipe',
    maxBuffer: 1024 ** 3,
  });
  const lines = printed.split('\n').filter(Boolean);
  return lines.map((line) => JSON.stringify(JSON.parse(line)));
}

/** Returns the lines of `context-cache dump`, and shuts the cache down. */
async function dumpAndClose(cache: AgentContextCache): Promise<string[]> {
  const lines: string[] = [];
  for await (const chunk of dumpChunks(cache, {})) lines.push(...chunk.split('\n').filter(Boolean));
  await cache.shutdown();
  return lines;
}

/** Writes everything that is hard to read: names, numbers, nesting, expiries, and every kind of update. */
async function fillAwkwardly(cache: AgentContextCache, round: number): Promise<void> {
  const names = [
    'default',
    '__proto__',
    'a:b',
    'a',
    '%3A',
    'é',
    '\u{1f600}',
    '\uffee',
    ' ',
    '\0',
    'constructor',
    'x'.repeat(1024),
  ];
  const nested = (depth: number): JsonValue => (depth === 0 ? ['deep'] : { [`level ${depth}`]: nested(depth - 1) });
  const values: JsonValue[] = [
    null,
    true,
    false,
    '',
    'text',
    'x'.repeat(31),
    'x'.repeat(32),
    'é'.repeat(200),
    '\u{1f600}'.repeat(20_000),
    '\0\n"\\',
    [],
    {},
    [[]],
    JSON.parse('{"__proto__":{"a":1},"constructor":null,"":{"":""},"2":1,"1":2}'),
    nested(60),
    Array.from({ length: 16 }, (_, i) => i),
    Array.from({ length: 70_000 }, (_, i) => i - 35_000),
    Object.fromEntries(Array.from({ length: 66_000 }, (_, i) => [`k${i}`, i])),
    0,
    -0,
    1,
    -1,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 53,
    -32,
    -33,
    -128,
    -129,
    -32_769,
    -(2 ** 31),
    -(2 ** 31) - 1,
    0.1,
    -1.5,
    1e21,
    1e-7,
    1e300,
    5e-324,
    Number.MAX_VALUE,
    Number.MAX_SAFE_INTEGER,
    Number.MIN_SAFE_INTEGER,
  ];
  for (const namespace of names) {
    for (const key of names) await cache.set(key, { round, key }, namespace);
    await cache.touch('a', namespace, { ttl: 1_000_000_000 });
    await cache.touch('é', namespace, { ttl: '10h', agent: 'booker' });
    await cache.delete(' ', namespace);
  }
  await Promise.all(values.map((value, index) => cache.set(`value ${index}`, value, `values ${round}`)));
  await cache.set('short-lived', 1, 'expiring', { ttl: 20 });
  await cache.set('touched', 1, 'expiring', { ttl: '1h' });
  await cache.touch('touched', 'expiring', { ttl: 1_000_000_000 });
  await eventually(() => expect(cache.listKeys('expiring')).toEqual(['touched']));
  await cache.set('gone', 1, 'cleared');
  await cache.clearNamespace('cleared');
  await cache.set('again', round, 'cleared');
  await cache.set('gone', 1, 'dropped');
  await cache.dropNamespace('dropped');
  await cache.set('new', round, `dropped ${round}`);
  await cache.dropNamespace(`dropped ${round}`);
  await cache.set('first version again', round, `dropped ${round}`);
}

describe('a data directory read by 66 lines of Python', () => {
  it('gives the entries of the recorded agent runs', async () => {
    const dataDir = await tempDir('python');
    const cache = await AgentContextCache.open({ dataDir, sync: false });
    await Promise.all(airlineLines().map((line) => cache.ask(JSON.parse(line))));
    const lines = await dumpAndClose(cache);
    expect(lines.length).toBeGreaterThan(5_000);
    expect(readByPython(dataDir)).toEqual(lines);
  });

  it('gives awkward names and values, with and without a base file', async () => {
    const dataDir = await tempDir('python');
    let cache = await AgentContextCache.open({ dataDir, sync: false });
    await fillAwkwardly(cache, 1);
    const before = await dumpAndClose(cache);
    expect(await readdir(join(dataDir, 'db', 'base'))).toEqual([]);
    expect(readByPython(dataDir)).toEqual(before);
    cache = await AgentContextCache.open({ dataDir, sync: false });
    await cache.compact({ keepUpdates: 0 });
    const compacted = await dumpAndClose(cache);
    expect((await readdir(join(dataDir, 'db', 'base'))).length).toBe(1);
    expect(compacted).toEqual(before);
    expect(readByPython(dataDir)).toEqual(before);
    cache = await AgentContextCache.open({ dataDir, sync: false });
    await fillAwkwardly(cache, 2);
    const after = await dumpAndClose(cache);
    expect(after.length).toBeGreaterThan(before.length);
    expect(readByPython(dataDir)).toEqual(after);
  });
});

/** Compresses all files of a log but the last one. */
async function compressClosed(log: DiskLog): Promise<void> {
  const { firsts } = log.names();
  for (const [index, first] of firsts.slice(0, -1).entries()) {
    const directory = join(log.path, 'log');
    if (isCompressed(nodeFiles, join(directory, segmentName(first)))) continue;
    const file = { first, next: firsts[index + 1] as number };
    await compressSegment(nodeFiles, directory, file, new TimeSlice(systemClock));
    await log.exchange(first);
  }
}

/** Returns the lines that a dump of this state prints at `now`. */
function linesOf(cache: Cache, now: number): string[] {
  const names = [...cache.namespaces.keys()].sort(compareNames);
  return names.flatMap((namespace) => {
    const entries = [...(cache.namespaces.get(namespace)?.entries ?? [])].sort(([a], [b]) => compareNames(a, b));
    const live = entries.filter(([, { expiresAt }]) => expiresAt === null || expiresAt > now);
    return live.map(([key, { value, version }]) => JSON.stringify({ namespace, key, value, version }));
  });
}

describe('a damaged log read by 66 lines of Python', () => {
  it('is refused with file and byte', async () => {
    const dataDir = await tempDir('python');
    const log = await DiskLog.open({ dataDir, sync: false });
    for (let i = 0; i < 3; i += 1) {
      log.append(someSets(2, log.head + 1));
      await log.flush();
    }
    await log.close();
    const path = join(dataDir, 'db', 'log', '0000000000000001.log');
    const bytes = await readFile(path);
    const [heading, first] = [
      16 + 24 + bytes.readUInt32LE(20),
      24 + bytes.readUInt32LE(16 + 24 + bytes.readUInt32LE(20) + 4),
    ];
    for (const at of [heading, heading + 4, heading + first - 1]) {
      const damaged = Buffer.from(bytes);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at);
      await writeFile(path, damaged);
      expect(() => readByPython(dataDir)).toThrow(`${path} is damaged at byte ${heading}`);
    }
    await writeFile(path, bytes);
    expect(readByPython(dataDir).length).toBe(6);
  });
});

describe('a compressed file of the log read by 66 lines of Python', () => {
  it('gives the entries, and is refused with file and byte if it is damaged', async () => {
    const dataDir = await logOfFiles(2, 2000);
    const before = readByPython(dataDir);
    const log = await DiskLog.open({ dataDir, sync: false });
    await compressClosed(log);
    await log.close();
    const path = join(dataDir, 'db', 'log', '0000000000000001.log');
    const bytes = await readFile(path);
    expect(isCompressed(nodeFiles, path)).toBe(true);
    expect(readByPython(dataDir)).toEqual(before);
    const second = 16 + 24 + bytes.readUInt32LE(20);
    for (const [at, offset] of [
      [second, second],
      [second + 50, second],
      [bytes.length - 1, undefined],
    ] as const) {
      const damaged = Buffer.from(bytes);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at);
      await writeFile(path, damaged);
      expect(() => readByPython(dataDir)).toThrow(`${path} is damaged at byte ${offset ?? ''}`);
    }
  });
});

describe('a shortened file of the log read by 66 lines of Python', () => {
  it('is refused with file and byte if it is damaged', async () => {
    const dataDir = await tempDir('python');
    const path = await shortened(nodeFiles, dataDir);
    const bytes = await readFile(path);
    expect(readByPython(dataDir).length).toBe(40);
    const damage = damagedAt(bytes, 20);
    await writeFile(path, damage.bytes);
    expect(() => readByPython(dataDir)).toThrow(`${path} is damaged at byte ${damage.offset}`);
  });
});

/** The expiries of the steps have all passed: entries that have one must not be printed. */
describe('the log of a data directory read by 66 lines of Python', () => {
  it('gives the state of any updates, after failed writes, new files and with base files', async () => {
    const property = fc.asyncProperty(
      fc.array(fc.array(aStep(6), { maxLength: 12 }), { maxLength: 12 }),
      fc.infiniteStream(fc.nat(9)),
      async (groups, choices) => {
        const dataDir = await tempDir('python');
        const [files, clock, cache] = [new FaultFiles(), new ManualClock(), new Cache()];
        let log = await DiskLog.open({ dataDir, clock, files, sync: false });
        for (const steps of groups) {
          const choice = choices.next().value;
          let fate: Fate = choice === 0 ? 'unknown' : 'done';
          files.decide = (write) => {
            const present = isGroup(write) ? fate : 'done';
            if (isGroup(write)) fate = 'done';
            return present;
          };
          log.append(cache.takeAll(steps));
          await log.flush().catch(() => undefined);
          await eventually(() => {
            clock.advance(5000);
            expect(log.status).toBe('ready');
          });
          if (choice === 1) {
            await log.close();
            log = await DiskLog.open({ dataDir, clock, files, sync: false });
          }
          if (choice === 3) await compressClosed(log);
          if (choice === 2) {
            const position = log.committed;
            await log.trim(position);
            await writeBase(
              nodeFiles,
              join(dataDir, 'db', 'base'),
              { log: log.id, position },
              cache.namespaces.values(),
            );
            await log.release(position, true);
          }
        }
        expect(readByPython(dataDir)).toEqual(linesOf(cache, Date.now()));
        await compressClosed(log);
        await log.close();
        expect(readByPython(dataDir)).toEqual(linesOf(cache, Date.now()));
      },
    );
    await fc.assert(property, fcOptions(5));
  });
});

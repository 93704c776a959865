import { readdir, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AgentContextCache, type ReplayOptions, ReplayRefusedError, replay, type Update } from '../../src/index.ts';
import type { RawRecord } from '../../src/replay/record.ts';
import { closing, logOf } from '../support/cache.ts';
import { fcOptions } from '../support/property.ts';
import { anyPast, cacheWith, everythingOf, exported, linesOf, replayed, smallCache } from '../support/replay.ts';
import { flipAt, framesOf, logFiles } from '../support/stored-log.ts';
import { tempDir } from '../support/temp-dir.ts';

/** Returns the lines of the small log after a change. */
async function changed(change: (lines: string[]) => readonly (string | Uint8Array)[]) {
  return change(linesOf(await exported((await smallCache()).cache)));
}

/** Returns a change of some fields in a line. */
function edited(line: string | undefined, fields: Record<string, unknown>): string {
  return JSON.stringify({ ...JSON.parse(line ?? ''), ...fields });
}

/** A `set`, or a drop, in the only namespace. */
function recordOf(position: number, version: number, drop = false): RawRecord {
  const operation = drop ? 'clear_namespace' : 'set';
  const [key, value] = drop ? [null, null] : ['k', position];
  return { position, namespace: 'n', version, operation, key, value, at: 1, agent: null, drop };
}

type Change = (lines: string[]) => readonly (string | Uint8Array)[];
type Expected = { code?: string; kind: string; line?: number; position?: number; message: RegExp };

const withLine = (index: number, fields: Record<string, unknown>): Change => {
  return (lines) => lines.with(index, edited(lines[index], fields));
};

const cases: [string, Change, Expected][] = [
  [
    'a gap',
    (lines) => lines.toSpliced(4, 2),
    { kind: 'gap', line: 5, position: 5, message: /positions 5 to 6 are missing/i },
  ],
  [
    'a log that begins late',
    (lines) => lines.slice(2),
    { kind: 'gap', line: 1, position: 1, message: /--from or --namespace/ },
  ],
  [
    'a repeated line',
    (lines) => lines.toSpliced(3, 0, lines[2] ?? ''),
    { kind: 'duplicate', line: 4, position: 3, message: /twice, or out of order/ },
  ],
  [
    'a repeated log',
    (lines) => [...lines, ...lines],
    { kind: 'duplicate', line: 13, position: 1, message: /comes after position 12/ },
  ],
  [
    'a line cut short',
    (lines) => lines.with(5, lines[5]?.slice(0, -3) ?? ''),
    { kind: 'unreadable', line: 6, message: /not valid JSON/ },
  ],
  [
    'a line of something else',
    (lines) => lines.with(0, 'hello'),
    { kind: 'unreadable', line: 1, message: /not a JSON object/ },
  ],
  [
    'a line that is not an object',
    (lines) => lines.with(1, '[1]'),
    { kind: 'unreadable', line: 2, message: /not a JSON object/ },
  ],
  [
    'a line that is not UTF-8',
    (lines) => [Buffer.from(`${lines[0]}\n`), Uint8Array.of(0x7b, 0xff, 0x0a)],
    { kind: 'unreadable', line: 2, message: /UTF-8/ },
  ],
  [
    'a version that does not follow',
    withLine(2, { version: 7 }),
    { kind: 'version', line: 3, position: 3, message: /at version 1, so it must have version 2, not 7/ },
  ],
  [
    'a namespace that restarts without a drop',
    withLine(2, { version: 1 }),
    { kind: 'version', line: 3, position: 3, message: /must have version 2, not 1/ },
  ],
  [
    'a newer format',
    withLine(2, { format: 2 }),
    {
      code: 'FORMAT_UNSUPPORTED',
      kind: 'format',
      line: 3,
      position: 3,
      message: /format 2; this version reads format 1/,
    },
  ],
  [
    'a header of a newer format',
    (lines) => ['{"format":9}', ...lines],
    { code: 'FORMAT_UNSUPPORTED', kind: 'format', line: 1, message: /format 9/ },
  ],
  [
    'a header without a valid format',
    (lines) => ['{"format":"new"}', ...lines],
    { code: 'FORMAT_UNSUPPORTED', kind: 'format', line: 1, message: /format string/ },
  ],
  ['a watch instead of a log', withLine(0, { snapshot: true }), { kind: 'unreadable', line: 1, message: /watch/ }],
  ['no position', withLine(1, { position: undefined }), { kind: 'unreadable', line: 2, message: /position must be/ }],
  [
    'a position that is not an integer',
    withLine(1, { position: 1.5 }),
    { kind: 'unreadable', line: 2, message: /position must be/ },
  ],
  [
    'an invalid version',
    withLine(1, { version: '2' }),
    { kind: 'unreadable', line: 2, position: 2, message: /version must be/ },
  ],
  [
    'an unknown operation',
    withLine(1, { operation: 'merge' }),
    { kind: 'unreadable', line: 2, message: /operation must be one of/ },
  ],
  [
    'an empty namespace',
    withLine(1, { namespace: '' }),
    { kind: 'unreadable', line: 2, message: /namespace must not be empty/ },
  ],
  ['no key', withLine(1, { key: null }), { kind: 'unreadable', line: 2, message: /key must be a string/ }],
  [
    'no namespace',
    withLine(1, { namespace: undefined }),
    { kind: 'unreadable', line: 2, message: /namespace must be/ },
  ],
  [
    'a clear with a key',
    withLine(1, { operation: 'clear_namespace', value: null }),
    { kind: 'unreadable', line: 2, message: /key must be null/ },
  ],
  [
    'no value',
    withLine(1, { value: undefined }),
    { kind: 'unreadable', line: 2, message: /value at \$ is of type undefined/ },
  ],
  [
    'a value with a lone surrogate',
    withLine(1, { value: '\ud800' }),
    { kind: 'unreadable', line: 2, message: /lone surrogate/ },
  ],
  [
    'a delete with a value',
    withLine(1, { operation: 'delete' }),
    { kind: 'unreadable', line: 2, message: /value must be null/ },
  ],
  [
    'a delete that expires',
    withLine(1, { operation: 'delete', value: null, expiresAt: 5 }),
    { kind: 'unreadable', line: 2, message: /expiresAt/ },
  ],
  ['no instant', withLine(1, { at: null }), { kind: 'unreadable', line: 2, message: /at must be/ }],
  ['an agent that is a number', withLine(1, { agent: 7 }), { kind: 'unreadable', line: 2, message: /agent must be/ }],
  ['a set that drops', withLine(1, { drop: true }), { kind: 'unreadable', line: 2, message: /drop must be/ }],
  [
    'an item that is neither text nor object',
    (lines) => [...lines.slice(0, 2), 5 as never],
    { kind: 'unreadable', line: 3, message: /neither text nor/ },
  ],
];

describe('a damaged log is refused with location and reason before anything is applied', () => {
  it.each(cases)('%s', async (_name, change, { code = 'LOG_CORRUPT', message, ...problem }) => {
    const dataDir = join(await tempDir('replay'), 'new');
    const source = await changed(change);
    for (const options of [{}, { dataDir }] satisfies ReplayOptions[]) {
      const error: unknown = await replay(source, options).catch((thrown) => thrown);
      expect(error).toBeInstanceOf(ReplayRefusedError);
      expect(error).toMatchObject({ code, message: expect.stringMatching(message), problem });
      expect((error as ReplayRefusedError).message).toContain(`line ${problem.line}`);
    }
    await expect(readdir(dataDir)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('without showing the content of the line', async () => {
    const lines = [
      '{"key":"my secret"',
      '"my secret"',
      '{"position":"my secret"}',
      '{"format":"my secret"}',
      'my secret: x',
    ];
    for (const line of lines) {
      await expect(replay([line])).rejects.not.toThrow(/my secret/);
    }
  });
});

describe('with repair', () => {
  it('leaves out a line that cannot be read, and renumbers everything after it', async () => {
    const source = await changed((lines) => lines.with(2, 'damage'));
    const { cache, report } = await replayed(source, { repair: true });
    const { updates } = await smallCache();
    const left = updates.filter(({ position }) => position !== 3);
    const log = await logOf(cache);
    expect(log.map(({ namespace, operation, key, value }) => [namespace, operation, key, value])).toEqual(
      left.map(({ namespace, operation, key, value }) => [namespace, operation, key, value]),
    );
    expect(log.map(({ position }) => position)).toEqual(left.map((_, index) => index + 1));
    expect(report).toMatchObject({
      ...{ position: 11, recordedPosition: 12, updates: 11, dropped: 1, missing: 1, inserted: 0, renumberedFrom: 4 },
      problems: { unreadable: 1, gap: 1, version: 1 },
      firstProblems: [
        { kind: 'unreadable', line: 3 },
        { kind: 'gap', line: 4, position: 3 },
        { kind: 'version', line: 4, position: 4 },
      ],
    });
  });

  it('leaves out a repetition, and renumbers nothing', async () => {
    const source = await changed((lines) => [...lines.slice(0, 5), ...lines.slice(2, 5), ...lines.slice(5)]);
    const { cache, report } = await replayed(source, { repair: true });
    expect(await logOf(cache)).toEqual((await smallCache()).updates);
    expect(report).toMatchObject({ dropped: 3, missing: 0, problems: { duplicate: 3 }, renumberedFrom: undefined });
  });

  it('inserts a missing drop, so that nothing from before it remains', async () => {
    const { updates } = await smallCache();
    const drop = updates.findIndex((update) => update.drop);
    expect(updates[drop]?.namespace).toBe('y');
    const extra = edited((await changed((lines) => lines))[1] as string, { key: 'old' });
    const renumbered = (lines: readonly string[]) => lines.map((line, index) => edited(line, { position: index + 1 }));
    const withOld = await changed((lines) => [extra, edited(lines[1], { version: 2 }), ...lines.slice(drop)]);
    const { cache, report } = await replayed(renumbered(withOld as string[]).toSpliced(2, 1), { repair: true });
    expect(cache.listKeys('y')).toEqual(['b']);
    expect(cache.entry('b', 'y')).toMatchObject({ value: 'three', version: 4 });
    expect(report).toMatchObject({ inserted: 1, missing: 1 });
  });

  it('ends the renumbering of a namespace at its recorded drop', async () => {
    const { cache, report } = await replayed([recordOf(1, 3), recordOf(2, 4, true), recordOf(3, 5), recordOf(4, 6)], {
      repair: true,
    });
    expect((await logOf(cache)).map(({ version, drop }) => [version, drop])).toEqual([
      [1, false],
      [2, true],
      [3, false],
      [4, false],
    ]);
    expect(report).toMatchObject({ problems: { version: 1 }, inserted: 0, dropped: 0, renumberedFrom: 1 });
  });

  it('accepts a partly exported log, renumbered', async () => {
    const source = await changed((lines) => lines.filter((line) => line.includes('"namespace":"x"')));
    const { cache, report } = await replayed(source, { repair: true });
    const own = (await smallCache()).updates.filter(({ namespace }) => namespace === 'x');
    expect((await logOf(cache)).map(({ version, value }) => [version, value])).toEqual(
      own.map(({ version, value }) => [version, value]),
    );
    expect(report).toMatchObject({ updates: own.length, position: own.length, recordedPosition: own.at(-1)?.position });
  });

  it('refuses a whole log of a newer format all the same', async () => {
    const source = await changed((lines) => ['{"format":9}', ...lines]);
    await expect(replay(source, { repair: true })).rejects.toMatchObject({ code: 'FORMAT_UNSUPPORTED' });
  });

  it('counts all problems in the report, and lists the first hundred', async () => {
    const { report } = await replayed(Array(250).fill('damage'), { repair: true });
    expect(report).toMatchObject({ dropped: 250, problems: { unreadable: 250 }, position: 0 });
    expect(report.firstProblems).toHaveLength(100);
  });

  it('yields a gap-free log of recorded updates and its fold, whatever is removed, repeated, swapped or damaged', async () => {
    const damage = fc.array(
      fc.record({ at: fc.nat(), how: fc.constantFrom('cut', 'double', 'swap', 'spoil', 'version') }),
      { maxLength: 6 },
    );
    const property = fc.asyncProperty(anyPast, damage, async (past, damages) => {
      const original = await cacheWith(past);
      const lines = linesOf(await exported(original.cache));
      for (const { at, how } of damages) {
        const index = at % Math.max(1, lines.length);
        const line = lines[index] ?? '';
        if (how === 'cut') lines.splice(index, 1);
        else if (how === 'double') lines.splice(index, 0, line);
        else if (how === 'swap') lines.splice(index, 2, ...lines.slice(index, index + 2).reverse());
        else if (how === 'spoil') lines[index] = line.slice(1);
        else if (line.startsWith('{')) lines[index] = edited(line, { version: 1 + (at % 5) });
      }
      const { cache, report } = await replayed(lines, { repair: true, clock: original.clock });
      const log = await logOf(cache);
      expect(report.position).toBe(log.length);
      expect(report.updates + report.inserted).toBe(log.length);
      // Replayed without repair, the repaired log is whole.
      const again = await replayed(linesOf(await exported(cache)), { clock: original.clock });
      expect(everythingOf(again.cache)).toEqual(everythingOf(cache));
      expect(await logOf(again.cache)).toEqual(log);
      const facts = new Set(original.updates.map(fact));
      for (const update of log) if (!update.drop) expect(facts).toContain(fact(update));
      const refused = await replay(lines, { clock: original.clock }).then(
        ({ cache: whole }) => void whole.shutdown(),
        String,
      );
      expect(refused === undefined).toBe(Object.keys(report.problems).length === 0);
    });
    await fc.assert(property, fcOptions(150));
  });
});

function fact({ namespace, operation, key, value, at, agent, expiresAt }: Update): string {
  return JSON.stringify([namespace, operation, key, value, at, agent, expiresAt]);
}

describe('a data directory', () => {
  /** A directory whose log has many frames. */
  async function directory(): Promise<{ readonly dataDir: string; readonly segment: string }> {
    const dataDir = join(await tempDir('replay'), 'data');
    const cache = closing(await AgentContextCache.open({ dataDir }));
    for (let i = 1; i <= 12; i += 1) await cache.set(`k${i}`, i, `n${i % 2}`);
    await cache.shutdown();
    const [segment = ''] = await logFiles(dataDir);
    return { dataDir, segment: join(dataDir, 'db', 'log', segment) };
  }

  /** As {@link directory}, with some damaged frames. */
  async function damagedDirectory(...positions: number[]): Promise<string> {
    const { dataDir, segment } = await directory();
    for (const { position, count, offset } of framesOf(segment)) {
      if (count > 0 && positions.includes(position)) await flipAt(segment, offset + 30);
    }
    return dataDir;
  }

  it('with a damaged frame is refused with its position, and repaired without its content', async () => {
    const dataDir = await damagedDirectory(5);
    await expect(replay(dataDir)).rejects.toMatchObject({
      code: 'LOG_CORRUPT',
      problem: { kind: 'unreadable', position: 5 },
      message: expect.stringMatching(/position 5.*0000000000000001\.log is damaged from byte \d+ to \d+/),
    });
    expect((await replayed(dataDir, { until: 4 })).cache.position).toBe(4);
    const { cache, report } = await replayed(dataDir, { repair: true });
    expect(cache.listKeys('n1').sort()).toEqual(['k1', 'k11', 'k3', 'k7', 'k9']);
    expect(cache.listKeys('n0')).toHaveLength(6);
    expect(report).toMatchObject({ dropped: 1, missing: 1, updates: 11, recordedPosition: 12, renumberedFrom: 6 });
  });

  it('with several damaged frames is repaired without any of them', async () => {
    const dataDir = await damagedDirectory(2, 3, 9);
    const { cache, report } = await replayed(dataDir, { repair: true });
    expect([...cache.listKeys('n0'), ...cache.listKeys('n1')].sort()).toEqual([
      'k1',
      'k10',
      'k11',
      'k12',
      'k4',
      'k5',
      'k6',
      'k7',
      'k8',
    ]);
    expect(report).toMatchObject({ updates: 9, recordedPosition: 12 });
  });

  it('with a write that was cut off is replayed up to it', async () => {
    const { dataDir, segment } = await directory();
    const last = framesOf(segment).findLast(({ count }) => count > 0);
    await truncate(segment, (last?.end ?? 0) - 1);
    const { cache } = await replayed(dataDir, {});
    expect(cache.position).toBe(11);
  });

  it('with a base starts from it, and is refused if the base is damaged', async () => {
    const { dataDir } = await directory();
    const before = closing(await AgentContextCache.open({ dataDir }));
    await before.compact({ keepUpdates: 3 });
    await before.set('later', 1, 'n1');
    const digest = await before.digest();
    await before.shutdown();
    const { cache } = await replayed(dataDir, {});
    expect(await cache.digest()).toBe(digest);
    expect(cache.position).toBe(13);
    const [base = ''] = await readdir(join(dataDir, 'db', 'base'));
    await flipAt(join(dataDir, 'db', 'base', base), 100);
    await expect(replay(dataDir)).rejects.toMatchObject({
      code: 'LOG_CORRUPT',
      message: expect.stringContaining(base),
    });
  });
});

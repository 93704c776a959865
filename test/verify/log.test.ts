import { appendFile, cp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import { createUpdate } from '../../src/core/update.ts';
import { type JsonValue, type VerifyReport, verifyDirectory } from '../../src/index.ts';
import { nodeFiles } from '../../src/storage/disk/files.ts';
import { openLevel } from '../../src/storage/disk/index/leveldb/level-storage.ts';
import { PinnedStorage } from '../../src/storage/disk/index/leveldb/pinned-storage.ts';
import { decodeNote, encodeFrame, MAGIC, NOTE } from '../../src/storage/disk/log/frame.ts';
import { storedLog } from '../../src/storage/disk/log/stored-log.ts';
import { updatesOf, writeUpdate } from '../../src/storage/disk/log/update-record.ts';
import { verifyStored } from '../../src/verify/disk/verify-stored.ts';
import { Findings } from '../../src/verify/verify-findings.ts';
import { flipAt, framesOf, logFiles, logOfFiles } from '../support/stored-log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { fill, filledDirectory, open, told } from '../support/verify.ts';

/** Three files with four updates each. */
let whole = '';
let digest = '';
/** Paths of the files relative to the data directory. */
let files: string[] = [];

beforeAll(async () => {
  whole = await logOfFiles(3, 4);
  files = (await logFiles(whole)).map((name) => `db/log/${name}`);
  digest = (await verifyDirectory(whole)).digest;
});

async function copy(): Promise<string> {
  const dataDir = await tempDir('copy');
  await cp(whole, dataDir, { recursive: true });
  return dataDir;
}

/** Verifies a copy of the directory after a change. */
async function changed(change: (dataDir: string) => Promise<unknown>): Promise<VerifyReport> {
  const dataDir = await copy();
  await change(dataDir);
  return verifyDirectory(dataDir);
}

/** Returns the frame of an update in a file of the whole log. */
function frameOf(file: number, position: number) {
  const found = framesOf(join(whole, files[file] ?? '')).find(
    (frame) => frame.count > 0 && frame.position === position,
  );
  if (found === undefined) throw new Error(`There is no position ${position}`);
  return found;
}

/** Replaces bytes of a file. */
async function spliced(dataDir: string, file: number, from: number, to: number, ...parts: Buffer[]): Promise<void> {
  const path = join(dataDir, files[file] ?? '');
  const bytes = await readFile(path);
  await writeFile(path, Buffer.concat([bytes.subarray(0, from), ...parts, bytes.subarray(to)]));
}

describe('verify of a log', () => {
  it('finds nothing in several files, although one ends with a write that was cut off', async () => {
    const report = await verifyDirectory(whole);
    expect(told(report.problems)).toEqual([]);
    expect(report).toMatchObject({ ok: true, position: 12, checked: { updates: 12, namespaces: 2 } });
    expect(files).toHaveLength(3);
  });

  it('reports a damaged frame with file, offset and position, and goes on behind it', async () => {
    for (const [file, position] of [
      [0, 2],
      [1, 5],
      [1, 8],
      [2, 11],
    ] as const) {
      const { offset, end } = frameOf(file, position);
      for (const at of [offset, offset + 5, offset + 12, offset + 17, offset + 30, end - 1]) {
        const report = await changed((dataDir) => flipAt(join(dataDir, files[file] ?? ''), at));
        expect(report.problems).toEqual([
          {
            kind: 'log',
            where: { file: files[file], offset, position },
            message: `${files[file]} is damaged from byte ${offset} to ${end}.`,
          },
        ]);
        expect(report.checked.updates).toBe(11);
        expect(report.notes.join()).toContain('The state was not determined');
      }
    }
  });

  it('reports every damaged frame', async () => {
    const report = await changed(async (dataDir) => {
      await flipAt(join(dataDir, files[0] ?? ''), frameOf(0, 2).offset + 30);
      await flipAt(join(dataDir, files[0] ?? ''), frameOf(0, 4).offset + 30);
      await flipAt(join(dataDir, files[2] ?? ''), frameOf(2, 9).offset + 30);
    });
    expect(report.problems.map(({ where }) => where)).toEqual([
      { file: files[0], offset: frameOf(0, 2).offset, position: 2 },
      { file: files[0], offset: frameOf(0, 4).offset, position: 4 },
      { file: files[2], offset: frameOf(2, 9).offset, position: 9 },
    ]);
  });

  it('reports frames that are missing or there twice', async () => {
    const { offset, end } = frameOf(1, 6);
    const lacking = await changed((dataDir) => spliced(dataDir, 1, offset, end));
    expect(told(lacking.problems)).toEqual([
      `log {"file":"${files[1]}","offset":${offset},"position":6} ${files[1]} lacks position 6.`,
    ]);
    const bytes = (await readFile(join(whole, files[1] ?? ''))).subarray(offset, end);
    const twice = await changed((dataDir) => spliced(dataDir, 1, end, end, bytes));
    expect(told(twice.problems)).toEqual([
      `log {"file":"${files[1]}","offset":${end},"position":7} ${files[1]} has position 6 twice.`,
    ]);
  });

  it('reports files that are missing, cut short or of another log', async () => {
    const first = await changed((dataDir) => rm(join(dataDir, files[0] ?? '')));
    expect(told(first.problems).join()).toContain(`${files[1]} lacks the updates before it: positions 1 to 4`);
    const middle = await changed((dataDir) => rm(join(dataDir, files[1] ?? '')));
    expect(told(middle.problems).join()).toContain(`${files[0]} ends before positions 5 to 8`);
    const short = await changed((dataDir) => truncate(join(dataDir, files[1] ?? ''), frameOf(1, 7).offset));
    expect(told(short.problems).join()).toContain(`${files[1]} ends before positions 7 to 8`);
    const other = await logOfFiles(3, 4);
    const foreign = await changed((dataDir) => cp(join(other, files[1] ?? ''), join(dataDir, files[1] ?? '')));
    expect(told(foreign.problems).join()).toContain('does not start with the heading of this log');
    const none = await changed(async (dataDir) => {
      for (const file of files) await rm(join(dataDir, file));
    });
    expect(none).toMatchObject({ ok: true, position: 0 });
  });

  it('reports a heading that is damaged', async () => {
    for (const file of files) {
      for (const at of [0, MAGIC.length - 1, MAGIC.length + 3, MAGIC.length + 40]) {
        const report = await changed((dataDir) => flipAt(join(dataDir, file), at));
        expect(report.problems[0]).toMatchObject({
          kind: 'log',
          where: { file, offset: at < MAGIC.length ? 0 : MAGIC.length },
        });
      }
    }
  });

  it('reports a version that is skipped although the checksum is valid', async () => {
    const frame = frameOf(1, 6);
    const [update] = updatesOf(frame);
    if (update === undefined) throw new Error('No update');
    const forged = encodeFrame(frame, (to) =>
      writeUpdate(to, createUpdate({ ...update, version: update.version + 1 })),
    );
    const report = await changed((dataDir) => spliced(dataDir, 1, frame.offset, frame.end, forged));
    expect(told(report.problems)[0]).toBe(
      `log {"file":"${files[1]}","offset":${frame.offset},"position":6,"namespace":"n1"} ` +
        'The update has version 4 in its namespace instead of 3.',
    );
  });

  it('reports a heading whose floor is not what the updates before it lead to', async () => {
    const [heading] = framesOf(join(whole, files[1] ?? ''));
    if (heading === undefined) throw new Error('No heading');
    const content = decodeNote(heading, () => 'The heading') as Record<string, JsonValue>;
    const forged = encodeFrame(heading, (to) => to.value({ ...content, floor: 7 }));
    const report = await changed((dataDir) => spliced(dataDir, 1, heading.offset, heading.end, forged));
    expect(told(report.problems)).toEqual([
      `log {"file":"${files[1]}","offset":${heading.offset}} The heading has 7 as the highest version of a dropped ` +
        'namespace; the updates before it lead to 0.',
    ]);
  });

  it('reports a follower that has received more than the log holds', async () => {
    const note = encodeFrame({ position: 12, flags: NOTE, synced: 0, count: 0 }, (to) =>
      to.value({ checkpoints: { mirror: 1_000_000 } }),
    );
    const report = await changed((dataDir) => appendFile(join(dataDir, files[2] ?? ''), note));
    expect(told(report.problems).join()).toMatch(
      /"offset":\d+} The log ends at 12, but follower mirror has already received 1000000/,
    );
  });

  it('notes a write that was cut off at the end, at any byte', async () => {
    const { offset, end } = frameOf(2, 12);
    const before = (await changed((dataDir) => truncate(join(dataDir, files[2] ?? ''), offset))).digest;
    for (let at = offset + 1; at < end; at += 7) {
      const report = await changed((dataDir) => truncate(join(dataDir, files[2] ?? ''), at));
      expect(report).toMatchObject({ ok: true, position: 11, digest: before });
      expect(report.notes).toContainEqual(
        `${files[2]} ends at byte ${offset} with a write that was cut off; the next start discards it.`,
      );
    }
    const zeros = await changed((dataDir) => appendFile(join(dataDir, files[2] ?? ''), Buffer.alloc(5_000)));
    expect(zeros).toMatchObject({ ok: true, position: 12, digest });
    expect(zeros.notes.join()).not.toContain('cut off');
  });

  it('refuses other formats', async () => {
    const newer = copy();
    const file = join(await newer, files[2] ?? '');
    await writeFile(file, Buffer.concat([Buffer.from('context-cache 5\n'), (await readFile(file)).subarray(16)]));
    await expect(verifyDirectory(await newer)).rejects.toMatchObject({ code: 'FORMAT_UNSUPPORTED' });
    const older = await tempDir('older');
    await cp(whole, older, { recursive: true });
    await writeFile(join(older, 'db', 'CURRENT'), 'MANIFEST-000001\n');
    await expect(verifyDirectory(older)).rejects.toMatchObject({ code: 'FORMAT_UNSUPPORTED' });
  });
});

describe('verify of a base', () => {
  let compacted = '';
  let base = '';

  beforeAll(async () => {
    compacted = await tempDir('base');
    const cache = await open({ dataDir: compacted });
    await fill(cache);
    await cache.compact({ keepUpdates: 300 });
    await cache.set('later', 1, 'wide');
    await cache.shutdown();
    const names = await readdir(join(compacted, 'db', 'base'));
    expect(names).toHaveLength(1);
    base = `db/base/${names[0]}`;
  });

  async function found(change: (dataDir: string) => Promise<unknown>): Promise<string> {
    const dataDir = await tempDir('copy');
    await cp(compacted, dataDir, { recursive: true });
    await change(dataDir);
    return told((await verifyDirectory(dataDir)).problems).join('\n');
  }

  it('finds nothing if it is whole, and folds the log from there', async () => {
    const report = await verifyDirectory(compacted);
    expect(told(report.problems)).toEqual([]);
    expect(report.notes).toEqual([]);
    expect(report.checked.updates).toBeLessThan(400);
    const cache = await open({ dataDir: compacted });
    expect(report.digest).toBe(await cache.digest());
    await cache.shutdown();
  });

  it('reports damage with file and offset', async () => {
    for (const { offset, end } of framesOf(join(compacted, base))) {
      for (const at of [offset, Math.floor((offset + end) / 2), end - 1]) {
        const problems = await found((dataDir) => flipAt(join(dataDir, base), at));
        expect(problems).toContain(`base {"file":"${base}","offset":${offset}} ${base} is damaged from byte ${offset}`);
      }
    }
  });

  it('reports one that is cut short, missing, of another log or of another position', async () => {
    const frames = framesOf(join(compacted, base));
    const last = frames.at(-1)?.offset ?? 0;
    expect(await found((dataDir) => truncate(join(dataDir, base), last))).toMatch(/does not hold the namespaces/);
    expect(await found((dataDir) => rm(join(dataDir, base)))).toMatch(
      /^log .*lacks the updates before it: positions 1 to/,
    );
    const foreign = encodeFrame({ ...frames[0], position: 1, flags: NOTE, synced: 0, count: 0 }, (to) =>
      to.value({ product: 'agent-context-cache', log: 'another', position: 1 }),
    );
    const end = frames[0]?.end ?? 0;
    const bytes = await readFile(join(compacted, base));
    const other = Buffer.concat([MAGIC, foreign, bytes.subarray(end)]);
    expect(await found((dataDir) => writeFile(join(dataDir, base), other))).toMatch(/^base .*belongs to another log/);
    const moved = `db/base/${String(Number.parseInt(base.slice(8), 10) - 1).padStart(16, '0')}.base`;
    expect(await found((dataDir) => rename(join(dataDir, base), join(dataDir, moved)))).not.toBe('');
    const lost = /^log {"file":"db\/log"} The log has no file, but there is a base or an index/;
    expect(await found((dataDir) => rm(join(dataDir, 'db', 'log'), { recursive: true }))).toMatch(lost);
  });
});

describe('verify of a state that is too large to be folded at once', () => {
  it('folds it in parts, and finds the same', async () => {
    const dataDir = await filledDirectory();
    const path = join(dataDir, 'db');
    const storage = await openLevel(join(path, 'index'));
    const [key, bytes] = ['!state!p/4:busy/0', storage.getSync('!past!p/4:busy/0/0') ?? new Uint8Array()];
    const verified = async (foldBytes: number) => {
      const index = new PinnedStorage(storage, path);
      const findings = new Findings(systemClock);
      const parts = { files: nodeFiles, dataDir, path, ...(await storedLog(nodeFiles, path)), index, foldBytes };
      let folds = 0;
      const onFold = async () => {
        folds += 1;
      };
      const verdict = await verifyStored({ ...parts, onFold }, findings);
      await index.close();
      const { problems, notes, counts } = findings;
      return { folds, found: { verdict, problems: told(problems).sort(), notes, counts } };
    };
    for (const isWrong of [false, true]) {
      if (isWrong) await storage.batch([{ type: 'put', key, value: bytes }], false);
      const [one, many] = [await verified(1e9), await verified(10_000)];
      expect(one.found.problems.length > 0).toBe(isWrong);
      expect(one.folds).toBe(1);
      expect(many.folds).toBeGreaterThan(3);
      expect(many.found).toEqual(one.found);
    }
    await storage.close();
  });
});

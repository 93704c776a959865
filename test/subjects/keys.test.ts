import { execFile } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { memorySubjectKeys } from '../../src/index.ts';
import { FileSubjectKeys, fileSubjectKeys } from '../../src/subjects/file-subject-keys.ts';
import { subjectKeysSuite } from '../../src/testing/subject-keys-suite.ts';
import type { SubjectKeyStore } from '../../src/types.ts';
import { buildDist, projectRoot } from '../support/dist.ts';
import { tempDir } from '../support/temp-dir.ts';

const BUILT = pathToFileURL(join(projectRoot, 'dist/src/index.js')).href;

describe('keys in memory', () => subjectKeysSuite({ test, open: () => ({ store: memorySubjectKeys() }) }));

describe('keys in a file', () =>
  subjectKeysSuite({
    test,
    open: async () => {
      const path = join(await tempDir('keys'), 'deep', 'subject.keys');
      return { store: new FileSubjectKeys(path), reopen: () => new FileSubjectKeys(path) };
    },
  }));

describe('keys behind promises', () =>
  subjectKeysSuite({
    test,
    open: () => {
      const keys = memorySubjectKeys();
      const store: SubjectKeyStore = {
        keyFor: async (subject) => keys.keyFor(subject),
        find: async (id) => keys.find(id),
        destroy: async (subject) => keys.destroy(subject),
        list: async () => keys.list(),
      };
      return { store };
    },
  }));

describe('a file of keys', () => {
  const newFile = async () => join(await tempDir('keys'), 'subject.keys');

  test('can be read by its owner alone, and is refused otherwise', async () => {
    const path = await newFile();
    new FileSubjectKeys(path).keyFor('a');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    chmodSync(path, 0o644);
    expect(() => new FileSubjectKeys(path)).toThrow(expect.objectContaining({ code: 'FORBIDDEN' }));
  });

  test('is replaced when a key is destroyed, and the old file is overwritten', async () => {
    const path = await newFile();
    const keys = new FileSubjectKeys(path);
    keys.keyFor('a');
    keys.keyFor('b');
    const held = openSync(path, 'r');
    const before = readFileSync(path, 'utf8');
    const [, lineOfA = ''] = before.split('\n');
    const { key } = JSON.parse(lineOfA) as { key: string };
    keys.destroy('a');
    const old = Buffer.alloc(before.length);
    readSync(held, old, 0, old.length, 0);
    closeSync(held);
    expect(old.every((byte) => byte === 0)).toBe(true);
    expect(readFileSync(path, 'utf8')).not.toContain(key);
    expect(readdirSync(join(path, '..'))).toEqual(['subject.keys']);
  });

  test('leaves out a line that a crash has cut off, and writes on', async () => {
    const path = await newFile();
    const { id } = new FileSubjectKeys(path).keyFor('a');
    writeFileSync(path, `${readFileSync(path, 'utf8')}{"id":"x","subj`);
    const keys = new FileSubjectKeys(path);
    expect(keys.list().map(({ subject }) => subject)).toEqual(['a']);
    keys.keyFor('b');
    const again = new FileSubjectKeys(path);
    expect(again.keyFor('a').id).toBe(id);
    expect(again.list()).toHaveLength(2);
  });

  test('is refused with the line if it is damaged, and left as it is', async () => {
    const path = await newFile();
    new FileSubjectKeys(path).keyFor('a');
    const damaged = readFileSync(path, 'utf8').replace('"subject"', '"sobject"');
    writeFileSync(path, damaged);
    expect(() => new FileSubjectKeys(path)).toThrow(/Line 2 of .* is no record/);
    writeFileSync(path, 'something else\n');
    expect(() => new FileSubjectKeys(path)).toThrow(expect.objectContaining({ code: 'FILE_CORRUPT' }));
    expect(readFileSync(path, 'utf8')).toBe('something else\n');
  });

  test('is shared by the caches of a process and by several processes', async () => {
    const path = await newFile();
    expect(fileSubjectKeys(path)).toBe(fileSubjectKeys(path));
    const keys = new FileSubjectKeys(path);
    const other = new FileSubjectKeys(path);
    const key = keys.keyFor('a');
    expect(other.keyFor('a').id).toBe(key.id);
    other.destroy('a');
    expect(keys.refresh()).toEqual([key.id]);
    expect(() => keys.keyFor('a')).toThrow(expect.objectContaining({ code: 'SUBJECT_FORGOTTEN' }));
  });

  test('keeps every key that several processes create at once; the lock of an ended process is removed', async () => {
    const path = await newFile();
    await buildDist();
    const script =
      `const { fileSubjectKeys } = await import(${JSON.stringify(BUILT)}); const keys = fileSubjectKeys(process.argv[1]);` +
      "const from = Number(process.argv[2]); for (let i = from; i < from + 40; i += 1) { keys.keyFor('u-' + i); if (i % 10 === 9) keys.destroy('u-' + i); }";
    writeFileSync(`${path}.lock`, '4194999');
    const run = (from: number) =>
      promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, path, String(from)]);
    await Promise.all([run(0), run(40), run(100)]);
    const records = new FileSubjectKeys(path).list();
    expect(records).toHaveLength(120);
    expect(new Set(records.map(({ id }) => id)).size).toBe(120);
    expect(readdirSync(join(path, '..'))).toEqual(['subject.keys']);
  });

  test('reports a key that another process has destroyed, whatever was asked in between', async () => {
    for (const asked of ['list', 'find', 'keyFor', 'destroy'] as const) {
      const path = await newFile();
      const keys = new FileSubjectKeys(path);
      const { id, secret } = keys.keyFor('a');
      new FileSubjectKeys(path).destroy('a');
      if (asked === 'list') keys.list();
      else keys[asked]('other');
      expect(keys.refresh(), asked).toEqual([id]);
      expect(secret.every((byte) => byte === 0)).toBe(true);
      expect(keys.refresh()).toEqual([]);
    }
  });

  test('overwrites and removes the temporary file that a crash has left', async () => {
    const path = await newFile();
    const temporary = join(path, '..', '.subject.keys.tmp');
    const first = new FileSubjectKeys(path);
    first.keyFor('a');
    const changes = [
      () => void new FileSubjectKeys(path),
      () => void first.destroy('a'),
      () => void new FileSubjectKeys(path).list(),
    ];
    for (const change of changes) {
      const text = readFileSync(path, 'utf8');
      writeFileSync(temporary, text, { mode: 0o600 });
      const held = openSync(temporary, 'r');
      change();
      const left = Buffer.alloc(text.length);
      readSync(held, left, 0, left.length, 0);
      closeSync(held);
      expect(left.every((byte) => byte === 0)).toBe(true);
      expect(readdirSync(join(path, '..'))).toEqual(['subject.keys']);
    }
    const outside = join(await tempDir('keys'), 'outside');
    writeFileSync(outside, 'kept');
    symlinkSync(outside, temporary);
    new FileSubjectKeys(path);
    expect(readFileSync(outside, 'utf8')).toBe('kept');
    expect(readdirSync(join(path, '..'))).toEqual(['subject.keys']);
  });

  test.skipIf(process.platform === 'win32')('loses no key of another subject on a full disk', async () => {
    const path = await newFile();
    await buildDist();
    const keys = new FileSubjectKeys(path);
    const ids = Array.from({ length: 30 }, (_, n) => keys.keyFor(`u-${n}`).id);
    // A limit on the size of files cuts a write short, as a full disk does.
    const script =
      `const { fileSubjectKeys } = await import(${JSON.stringify(BUILT)}); const keys = fileSubjectKeys(process.argv[1]);` +
      "const codes = []; for (const change of [() => keys.destroy('u-0'), () => keys.keyFor('new')]) " +
      'try { change(); } catch (error) { codes.push(error.code); } console.log(codes.join());';
    const limited = ['-c', `trap '' XFSZ; ulimit -f 2; exec "$@"`, 'sh', process.execPath, '--input-type=module'];
    const { stdout } = await promisify(execFile)('sh', [...limited, '-e', script, path]);
    expect(stdout).toBe('KEY_UNAVAILABLE,KEY_UNAVAILABLE\n');
    expect(readdirSync(join(path, '..'))).toEqual(['subject.keys']);
    const after = new FileSubjectKeys(path);
    expect(ids.map((id) => after.find(id))).toEqual(
      ids.map((id) => expect.objectContaining({ id, secret: expect.anything() })),
    );
    expect(after.keyFor('new').subject).toBe('new');
  });

  test('is read again after it was replaced by another', async () => {
    const path = await newFile();
    const keys = new FileSubjectKeys(path);
    keys.keyFor('a');
    const other = new FileSubjectKeys(`${path}.other`);
    const { id } = other.keyFor('b');
    renameSync(`${path}.other`, path);
    expect(keys.find(id)).toMatchObject({ subject: 'b' });
  });
});

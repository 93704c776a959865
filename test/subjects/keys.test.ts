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

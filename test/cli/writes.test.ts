import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { jsonLines } from '../support/cli.ts';
import { run } from '../support/cli-here.ts';
import { tempDir } from '../support/temp-dir.ts';

const newDir = async () => join(await tempDir('cli'), 'data');

describe('writes', () => {
  test('writes carry meta and an operation id into entry, log and history', async () => {
    const dataDir = await newDir();
    const on = (...args: string[]) => run([...args, '--data-dir', dataDir]);
    const origin = (id: string) => ['--meta', '{"task":"t-7"}', '--operation-id', id];
    expect(await on('set', 'plan', '1', ...origin('o-1'))).toMatchObject({ code: 0 });
    expect(JSON.parse((await on('get', 'plan', '--entry', '--json')).stdout)).toMatchObject({ meta: { task: 't-7' } });
    expect(await on('delete', 'plan', ...origin('o-2'))).toMatchObject({ code: 0 });
    expect(await on('drop', 'default', '--yes', ...origin('o-3'))).toMatchObject({ code: 0 });
    for (const command of [['log'], ['history', 'plan']]) {
      const lines = jsonLines((await on(...command)).stdout);
      expect(lines).toHaveLength(command[0] === 'log' ? 3 : 2);
      for (const line of lines)
        expect(line).toMatchObject({ meta: { task: 't-7' }, operationId: expect.stringMatching(/^o-/) });
    }
  });

  test('values with a subject are encrypted, listed and forgotten', async () => {
    const dataDir = await newDir();
    const keys = join(dataDir, '..', 'subject.keys');
    const on = (...args: string[]) => run([...args, '--data-dir', dataDir, '--subject-keys', keys]);
    const blind = (...args: string[]) => run([...args, '--data-dir', dataDir]);
    expect(await blind('set', 'a', '"x"', '--subject', 'user-42')).toMatchObject({ code: 2 });
    expect(await blind('keys')).toMatchObject({ code: 3 });
    expect(await on('set', 'a', '"secret"', '--subject', 'user-42')).toMatchObject({ code: 0 });
    expect(await on('append', '"secret"', '--subject', 'user-42')).toMatchObject({ code: 0, stdout: 'a2\n' });
    expect(await on('get', 'a')).toMatchObject({ code: 0, stdout: '"secret"\n' });
    expect((await blind('get', 'a')).stderr).toContain('--subject-keys');
    expect((await on('log')).stdout).not.toContain('secret');
    expect(await on('subjects')).toMatchObject({ code: 0, stdout: 'user-42\n' });
    expect(await on('forget', 'user-42')).toMatchObject({ code: 2 });
    expect(await on('forget', 'user-41', '--yes')).toMatchObject({ code: 3 });
    const forgotten = await on('forget', 'user-42', '--yes', '--reason', 'asked', '--agent', 'clerk');
    expect(forgotten).toMatchObject({ code: 0, stdout: 'user-42 is forgotten: 2 entries in default, position 3.\n' });
    expect(await on('get', 'a')).toMatchObject({ code: 3, stdout: '' });
    expect(JSON.parse((await on('get', 'a', '--entry', '--json')).stdout)).toMatchObject({ forgotten: [''] });
    expect((await on('subjects')).stdout).toMatch(/^user-42 {2}forgotten .* by clerk: asked\n$/);
  });

  test('increment and append print the new value and the new key', async () => {
    const dataDir = await newDir();
    const on = (...args: string[]) => run([...args, '--data-dir', dataDir]);
    expect(await on('increment', 'count')).toEqual({ code: 0, stdout: '1\n', stderr: '' });
    const subtract = ['increment', '--data-dir', dataDir, 'count', '--', '-2.5'];
    expect(await run(subtract)).toMatchObject({ code: 0, stdout: '-1.5\n' });
    expect(await on('increment', 'none', '--if-present')).toMatchObject({ code: 4, stdout: '' });
    expect(await on('increment', 'count', 'x')).toMatchObject({ code: 2, stdout: '' });
    expect(await on('append', '{"n":1}', '--prefix', 'm:')).toEqual({ code: 0, stdout: 'm:a3\n', stderr: '' });
    const json = await on('append', 'text', '--string', '--prefix', 'm:', '--json');
    expect(JSON.parse(json.stdout)).toEqual({ version: 4, position: 4, changed: true, key: 'm:a4' });
  });

  test('conditions leave the entry or end with a conflict', async () => {
    const dataDir = await newDir();
    const on = (...args: string[]) => run([...args, '--data-dir', dataDir]);
    expect(await on('set', 'k', '1', '--if-absent')).toMatchObject({ code: 0 });
    expect(await on('set', 'k', '2', '--if-absent')).toMatchObject({ code: 4 });
    expect(await on('set', 'other', '2', '--if-present')).toMatchObject({ code: 4 });
    expect((await on('set', 'k', '1', '--if-different', '--json')).stdout).toContain('"changed":false');
    expect(await on('delete', 'other', '--if-present')).toMatchObject({ code: 4 });
    expect(await on('set', 'k', '1', '--if-absent', '--if-present')).toMatchObject({ code: 2 });
  });

  test('clear removes the keys with a prefix', async () => {
    const dataDir = await newDir();
    const on = (...args: string[]) => run([...args, '--data-dir', dataDir]);
    for (const key of ['m:1', 'm:2', 'n']) await on('set', key, '1');
    expect(await on('clear', 'default', '--prefix', 'm:', '--yes')).toMatchObject({ code: 0 });
    expect((await on('keys')).stdout).toBe('n\n');
  });
});

import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { jsonLines, run } from '../support/cli.ts';
import { tempDir } from '../support/temp-dir.ts';

const newDir = async () => join(await tempDir('cli'), 'data');

describe('writes', () => {
  test('writes carry meta and an operation id into entry, log and history', async () => {
    const dataDir = await newDir();
    const on = (...args: string[]) => run([...args, '--data-dir', dataDir]);
    const origin = ['--meta', '{"task":"t-7"}', '--operation-id', 'o-1'];
    expect(await on('set', 'plan', '1', ...origin)).toMatchObject({ code: 0 });
    expect(JSON.parse((await on('get', 'plan', '--entry', '--json')).stdout)).toMatchObject({ meta: { task: 't-7' } });
    expect(await on('delete', 'plan', ...origin)).toMatchObject({ code: 0 });
    expect(await on('drop', 'default', '--yes', ...origin)).toMatchObject({ code: 0 });
    for (const command of [['log'], ['history', 'plan']]) {
      const lines = jsonLines((await on(...command)).stdout);
      expect(lines).toHaveLength(command[0] === 'log' ? 3 : 2);
      for (const line of lines) expect(line).toMatchObject({ meta: { task: 't-7' }, operationId: 'o-1' });
    }
  });
});

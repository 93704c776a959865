import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { jsonLines, serve, setLine } from '../support/cli.ts';
import { run } from '../support/cli-here.ts';
import { tempDir } from '../support/temp-dir.ts';

/** Creates a directory with this many updates in two groups. */
async function filledDir(count: number): Promise<string> {
  const dataDir = join(await tempDir('compact'), 'data');
  for (let half = 0; half < 2; half += 1) {
    const input = Array.from({ length: count / 2 }, (_, index) => setLine(`k${index % 5}`, half * 100 + index)).join(
      '',
    );
    expect(await run(['apply', '--data-dir', dataDir], { input })).toMatchObject({ code: 0 });
  }
  return dataDir;
}

describe('compact', () => {
  test.each(['a directory', 'a served directory'])('of %s discards the past and keeps the present', async (where) => {
    const dataDir = await filledDir(20);
    const on = (...args: string[]) => run([...args, '--data-dir', dataDir]);
    const before = await on('dump');
    await using _server = where === 'a directory' ? undefined : await serve(dataDir);
    expect(await on('compact', '--yes')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('No bound is set. Add --keep-updates'),
    });
    const report = JSON.parse((await on('compact', '--keep-updates', '3', '--yes', '--json')).stdout);
    expect(report).toEqual({ first: expect.any(Number), removed: report.first - 1 });
    expect(report.first).toBeGreaterThanOrEqual(11);
    expect(await on('dump')).toEqual(before);
    expect(await on('dump', '--at', '16')).toMatchObject({ code: 1, stderr: expect.stringContaining('position 17') });
    expect(jsonLines((await on('dump', '--at', '17')).stdout)).toHaveLength(5);
    expect(await on('log', '--from', '1')).toMatchObject({ code: 1, stderr: expect.stringContaining('Read from') });
    expect(jsonLines((await on('log')).stdout).at(-1)).toMatchObject({ position: 20 });
    expect(jsonLines((await on('history', 'k4')).stdout)).toMatchObject([{ position: 20 }]);
    expect(await on('compact', '--keep-updates', '0', '-y')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('the log is kept from position 21 on'),
    });
    expect(await on('compact', '--keep', '1d', '--forget', 'mirror', '--yes')).toMatchObject({ code: 3 });
    expect(await on('compact', '--keep', 'long')).toMatchObject({ code: 2 });
    expect(await on('dump')).toEqual(before);
  });

  test('the kept log can be replayed', async () => {
    const dataDir = await filledDir(20);
    const on = (...args: string[]) => run([...args, '--data-dir', dataDir]);
    expect(await on('compact', '--keep-updates', '6', '--yes')).toMatchObject({ code: 0 });
    const again = `${dataDir}-again`;
    expect(await run(['replay', dataDir, '--data-dir', again, '--until', '13'])).toMatchObject({ code: 1 });
    expect(await run(['replay', dataDir, '--data-dir', again, '--until', '17'])).toMatchObject({ code: 0 });
    expect((await run(['dump', '--data-dir', again])).stdout).toBe((await on('dump', '--at', '17')).stdout);
  });
});

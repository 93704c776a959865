import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { Output } from '../../src/cli/terminal/output.ts';
import { Progress, progressLine } from '../../src/cli/terminal/progress.ts';
import type { Clock } from '../../src/index.ts';
import { run, runAtTerminal, runLine, setLine } from '../support/cli.ts';
import { tempDir } from '../support/temp-dir.ts';

/** Creates a folder with a data directory that has three keys in `trip`. */
async function filledFolder(): Promise<string> {
  const cwd = await tempDir('terminal');
  const input = [1, 2, 3].map((n) => setLine(`k${n}`, n, { namespace: 'trip' })).join('');
  expect(await run(['apply'], { cwd, input })).toMatchObject({ code: 0 });
  return cwd;
}

const keysOf = async (cwd: string) => (await run(['keys', '-n', 'trip'], { cwd })).stdout;
const ALL = 'k1\nk2\nk3\n';

describe('a command that loses data for good', () => {
  let cwd: string;
  beforeAll(async () => {
    cwd = await filledFolder();
  });

  test.each(['clear trip', 'drop trip', 'compact --keep-updates 0'])(
    '%s is refused without a terminal, before anything has changed',
    async (line) => {
      const before = await run(['log'], { cwd });
      const piped = await run(line.split(' '), { cwd, input: 'y\n' });
      expect(piped).toEqual({ code: 2, stdout: '', stderr: expect.stringMatching(/^error: .*--yes/) });
      const json = await runAtTerminal(`context-cache ${line} --json`, { cwd });
      expect(json).toMatchObject({ code: 2, stdout: expect.stringContaining('"USAGE"') });
      expect(await run(['log'], { cwd })).toEqual(before);
      expect(await keysOf(cwd)).toBe(ALL);
    },
  );

  test.each([
    ['no', 'n\r'],
    ['nothing', '\r'],
    ['the end of the input', '\u0004'],
    ['Ctrl-C', '\u0003'],
  ])('the answer %s changes nothing', async (_, input) => {
    const { code, stdout } = await runAtTerminal('context-cache drop trip', { cwd, input });
    expect(stdout).toMatch(/drop removes the namespace trip .*\. Continue\? \[y\/N\] .*Nothing has changed\./s);
    expect(code).toBe(1);
    expect(await keysOf(cwd)).toBe(ALL);
  });

  test.each(['y', 'YES'])('the answer %s executes it', async (answer) => {
    const own = await filledFolder();
    const { code, stdout } = await runAtTerminal('context-cache clear trip', { cwd: own, input: `${answer}\r` });
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('Done: version 4') });
    expect(await keysOf(own)).toBe('');
    expect((await run(['namespaces'], { cwd: own })).stdout).toContain('trip');
  });

  test('--yes executes it without asking, and delete never asks', async () => {
    const own = await filledFolder();
    expect(await run(['delete', 'k1', '-n', 'trip'], { cwd: own })).toMatchObject({ code: 0 });
    expect(await run(['drop', 'trip', '--yes', '--json', '--agent', 'me'], { cwd: own })).toMatchObject({
      code: 0,
      stdout: '{"version":5,"position":5,"changed":true}\n',
    });
    expect((await run(['namespaces'], { cwd: own })).stdout).toBe('default\n');
    expect((await run(['drop', 'trip', '--yes'], { cwd: own })).stderr).toContain('Nothing was dropped');
  });

  test('a file cannot consent', async () => {
    const { code, stderr } = await runLine(
      `echo '{"yes": true}' > context-cache.config.json; context-cache drop trip; s=$?; rm context-cache.config.json; exit $s`,
      { cwd },
    );
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('yes cannot be set in a file') });
    expect(await keysOf(cwd)).toBe(ALL);
  });
});

describe('progress', () => {
  const slow = `(printf '%s' '${setLine('a', 1)}'; sleep 1; printf '%s' '${setLine('b', 1)}') | context-cache apply`;

  test('shows on a terminal, and is removed at the end', async () => {
    const cwd = await tempDir('terminal');
    const input = `${setLine('a', 1)}\u0004`;
    const { code, stdout } = await runAtTerminal('context-cache apply', { cwd, input, prompt: /Applying … \d+ s/ });
    expect(code).toBe(0);
    const drawn = stdout.split('\r\u{1b}[K');
    expect(drawn[1]).toMatch(/^Applying … \d+ s/);
    expect(drawn.at(-1)).toMatch(/^1 line: 1 update, 0 unchanged/);
  });

  test('does not show if messages go elsewhere, or with --json', async () => {
    const cwd = await tempDir('terminal');
    const { stdout, stderr } = await runLine(slow, { cwd });
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^2 lines: 2 updates[^\r]*\n$/);
    expect(stderr).not.toContain('\u{1b}');
    const json = await runAtTerminal(`${slow} --json`, { cwd });
    expect(json.stdout).not.toContain('\u{1b}');
  });

  test('is a bar if the share is known, otherwise a count and the time', () => {
    expect(progressLine('Replaying', '1,000 updates', 0.5, 3_400)).toBe(
      'Replaying [############------------]  50 % 1,000 updates, 3 s',
    );
    expect(progressLine('Replaying', '', 7, 0)).toBe(`Replaying [${'#'.repeat(24)}] 100 % 0 s`);
    expect(progressLine('Compacting', '', undefined, 61_000)).toBe('Compacting … 61 s');
  });

  test('shows after a delay, draws at intervals, counts the time by itself, and ends', () => {
    const drawn: string[] = [];
    const timers: (() => void)[] = [];
    let now = 0;
    const clock: Clock = {
      now: () => now,
      setTimeout: (callback) => timers.push(callback),
      clearTimeout: () => timers.splice(0),
    };
    const output = {
      showsProgress: true,
      progress: (text: string) => drawn.push(text),
      clearProgress: () => drawn.push(''),
    };
    const progress = new Progress(output, 'Working', clock);
    progress.count(1, 'lines');
    expect(drawn).toEqual([]);
    now = 500;
    progress.count(2, 'lines');
    progress.count(3, 'lines');
    expect(drawn).toEqual(['Working … 2 lines, 0 s']);
    now = 1_000;
    timers.shift()?.();
    expect(drawn.at(-1)).toBe('Working … 3 lines, 1 s');
    progress[Symbol.dispose]();
    now = 9_000;
    progress.count(4, 'lines');
    expect({ drawn: drawn.length, last: drawn.at(-1), timers: timers.length }).toEqual({
      drawn: 3,
      last: '',
      timers: 0,
    });
    expect(new Output(true).showsProgress).toBe(false);
  });
});

describe('colors', () => {
  const RED = '\u{1b}[31merror:\u{1b}[39m';
  const failing = 'context-cache get nothing --data-dir none';

  test.each([
    ['a terminal has them', {}, '', true],
    ['NO_COLOR disables them', { NO_COLOR: '1' }, '', false],
    ['an empty NO_COLOR has no effect', { NO_COLOR: '' }, '', true],
    ['--no-color disables them', {}, ' --no-color', false],
    ['--no-color is stronger than FORCE_COLOR', { FORCE_COLOR: '1' }, ' --no-color', false],
    ['a dumb terminal has none', { TERM: 'dumb' }, '', false],
  ])('%s', async (_, env, flag, coloured) => {
    const cwd = await tempDir('terminal');
    const { stdout } = await runAtTerminal(failing + flag, { cwd, env });
    expect({ stdout, coloured: stdout.includes('\u{1b}[31m') }).toMatchObject({ coloured });
  });

  test('are absent elsewhere unless FORCE_COLOR is set', async () => {
    const cwd = join(await tempDir('terminal'));
    expect((await runLine(failing, { cwd })).stderr).toMatch(/^error: /);
    expect((await runLine(failing, { cwd, env: { FORCE_COLOR: '0' } })).stderr).toMatch(/^error: /);
    expect((await runLine(failing, { cwd, env: { FORCE_COLOR: '1' } })).stderr).toContain(RED);
    expect((await runLine(`${failing} --json`, { cwd, env: { FORCE_COLOR: '1' } })).stderr).not.toContain('\u{1b}');
    const forced = await runLine(failing, { cwd, env: { FORCE_COLOR: '1', NO_COLOR: '1' } });
    expect(forced.stderr).not.toContain(RED);
  });
});

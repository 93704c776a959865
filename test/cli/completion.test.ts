import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { wantedAt } from '../../src/cli/completion/candidates.ts';
import { createProgram } from '../../src/cli/program.ts';
import { EXIT } from '../../src/cli/terminal/failure.ts';
import { Output } from '../../src/cli/terminal/output.ts';
import { runLine, serve, setLine, waitFor } from '../support/cli.ts';
import { run } from '../support/cli-here.ts';
import { tempDir } from '../support/temp-dir.ts';

const program = createProgram({ output: new Output(true), exitCode: EXIT.ok });

/** Returns the completions at the end of a line; a blank at its end starts a new word. */
function at(line: string) {
  const { candidates, kind, prefix, typed } = wantedAt(program, line.split(' '));
  const values = candidates.map(({ value }) => prefix + value).filter((value) => value.startsWith(prefix + typed));
  return { values, place: kind };
}

describe('completions', () => {
  test('are the commands of each level, without hidden ones', () => {
    const commands = at('').values;
    expect(commands).toEqual(expect.arrayContaining(['serve', 'get', 'backup', 'config', 'doctor', 'bench', 'help']));
    expect(commands).not.toContain('complete');
    expect(at('com').values).toEqual(['compact', 'completion']);
    expect(at('backup ').values).toEqual(expect.arrayContaining(['now', 'enable', 'list']));
    expect(at('--json backup e').values).toEqual(['enable']);
    expect(at('get backup ').values).toEqual([]);
  });

  test('are the options of the command and the global ones, each once unless it may be repeated', () => {
    expect(at('get --').values).toEqual(
      expect.arrayContaining(['--namespace', '--entry', '--json', '--data-dir', '--help']),
    );
    expect(at('get --json --js').values).toEqual([]);
    expect(at('serve --topic a --top').values).toEqual(['--topic']);
    expect(at('get -- --').values).toEqual([]);
  });

  test('are the values of an option: choices, directories, files, namespaces', () => {
    expect(at('backup enable --mode ').values).toEqual(['periodic', 'on_change', 'manual']);
    expect(at('apply --durability=m').values).toEqual(['--durability=memory']);
    expect(at('apply --durability = m').values).toEqual(['memory']);
    expect(at('apply --durability =').values).toEqual(['log', 'memory']);
    expect(at('completion ').values).toEqual(['bash', 'zsh', 'fish']);
    expect(at('get --data-dir ').place).toBe('dirs');
    expect(at('apply ').place).toBe('files');
    expect(at('restore --log ').place).toBe('files');
    expect(at('get -n ').place).toBe('namespaces');
    expect(at('drop ').place).toBe('namespaces');
    expect(at('serve --port ')).toEqual({ values: [], place: undefined });
  });
});

describe('namespaces', () => {
  const NAMES = ['trip', 'trips/2', '$(touch evil)', "it's", 'with space', '\tfiles', 'a\nb'];
  let dataDir: string;
  beforeAll(async () => {
    dataDir = join(await tempDir('completion'), 'data');
    const input = NAMES.map((namespace) => setLine('k', 1, { namespace })).join('');
    expect(await run(['apply', '--data-dir', dataDir], { input })).toMatchObject({ code: 0 });
  });

  test('are those of a served directory; a Tab opens no directory and runs no JavaScript file', async () => {
    const cwd = await tempDir('completion');
    const words = ['complete', '--', 'get', '-n', ''];
    await writeFile(join(cwd, 'context-cache.config.js'), `throw new Error('was run')`);
    const quiet = { code: 0, stdout: '', stderr: '' };
    expect(await run(words, { cwd })).toEqual(quiet);
    expect(await run(['complete', '--', 'get', '--data-dir', dataDir, '-n', ''])).toEqual(quiet);
    await using _server = await serve(dataDir);
    // A Tab waits one second for an answer; on a busy machine it is pressed again.
    const served = { ...quiet, stdout: 'trip\t\ntrips/2\t\n' };
    const press = (args: readonly string[], expected: object, options = {}) =>
      waitFor(async () => expect(await run(['complete', '--', ...args], options)).toEqual(expected));
    await press(['get', '--data-dir', dataDir, '-n', 'tr'], served);
    await writeFile(join(cwd, 'c.json'), JSON.stringify({ dataDir }));
    await press(['--config', 'c.json', 'drop', 'tr'], served, { cwd });
    await press(['keys', '-n', 'tr'], served, { env: { CONTEXT_CACHE_DIR: dataDir } });
    const all = ['$(touch evil)', 'default', "it's", 'trip', 'trips/2', 'with space'];
    const stdout = all.map((name) => `${name}\t\n`).join('');
    await press(['get', '--data-dir', dataDir, '-n', ''], { ...quiet, stdout });
  });

  test('reach the command line of Bash as words, and nothing in them is executed', async () => {
    const cwd = await tempDir('completion');
    await using _server = await serve(dataDir);
    const ask = (line: string) =>
      runLine(
        `compopt() { echo "compopt $*"; }
        source <(context-cache completion bash)
        COMP_WORDS=(${line}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _context_cache context-cache; printf '%s\\n' "\${COMPREPLY[@]}"`,
        { cwd, env: { CONTEXT_CACHE_DIR: dataDir } },
      );
    await waitFor(async () =>
      expect(await ask(`context-cache get -n ''`)).toEqual({
        code: 0,
        stdout: "\\$\\(touch\\ evil\\)\ndefault\nit\\'s\ntrip\ntrips/2\nwith\\ space\n",
        stderr: '',
      }),
    );
    expect((await ask('context-cache backup enable --mode = p')).stdout).toBe('periodic\n');
    expect((await ask('context-cache comp')).stdout).toBe('compact\ncompletion\n');
    expect((await ask(`context-cache apply ''`)).stdout).toBe('compopt -o default\n\n');
    expect((await ask(`context-cache get --data-dir ''`)).stdout).toBe('compopt -o dirnames\n\n');
    expect(await runLine('ls', { cwd })).toMatchObject({ stdout: '' });
  });
});

test('a wrong configuration file does not break completion', async () => {
  const cwd = await tempDir('completion');
  await writeFile(join(cwd, 'context-cache.config.json'), '{');
  expect(await run(['complete', '--', 'he'], { cwd })).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^health\t/),
  });
  expect(await run(['complete', '--', 'get', '-n', ''], { cwd })).toEqual({ code: 0, stdout: '', stderr: '' });
  expect(await run(['completion', 'tcsh'], { cwd })).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('bash, zsh, fish'),
  });
});

test.each(['bash', 'zsh', 'fish'])('the script for %s is valid', async (shell) => {
  const { code, stdout } = await run(['completion', shell]);
  expect(code).toBe(0);
  expect(stdout).toContain('complete -- ');
  // Bash is on every machine; Zsh and fish may be missing.
  const checked = await runLine(
    `type -P ${shell} >/dev/null || exit 0; context-cache completion ${shell} | ${shell} -n`,
  );
  expect(checked).toEqual({ code: 0, stdout: '', stderr: '' });
});

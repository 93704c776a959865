import { appendFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { seal } from '../../src/storage/disk/index/leveldb/sealed.ts';
import { run as runProcess, serve } from '../support/cli.ts';
import { run } from '../support/cli-here.ts';
import { flipAt, logFiles } from '../support/stored-log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { filledDirectory, withRecords } from '../support/verify.ts';

describe('context-cache verify', () => {
  it('reports a whole directory, served or not', async () => {
    const dataDir = await filledDirectory();
    const own = await run(['verify', '--data-dir', dataDir, '--json']);
    expect(own).toMatchObject({ code: 0, stderr: '' });
    const report = JSON.parse(own.stdout);
    expect(report).toMatchObject({ ok: true, problems: [], moreProblems: 0, notes: [], position: 3_475 });
    const told = await run(['verify', '--data-dir', dataDir]);
    expect(told).toMatchObject({ code: 0, stdout: '' });
    expect(told.stderr).toContain(`is whole: position 3,475, digest ${report.digest}.`);
    await using _ = await serve(dataDir);
    const served = await run(['verify', '--data-dir', dataDir, '--json']);
    expect(served).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(served.stdout)).toMatchObject({ ok: true, digest: report.digest });
  });

  it('prints each problem with its location, and ends with 1', async () => {
    const dataDir = await filledDirectory();
    await withRecords(dataDir, (storage) =>
      storage.batch([{ type: 'put', key: '!state!p/4:wide/1', value: seal(['k1', 5, Buffer.from([1])]) }], false),
    );
    const own = await run(['verify', '--data-dir', dataDir]);
    expect(own.code).toBe(1);
    expect(own.stdout).toMatch(/^index \(file db\/index, record !state!p\/4:wide\/1, namespace wide.*\): /m);
    expect(own.stderr).toMatch(/has \d+ problems/);
    await using _ = await serve(dataDir);
    const served = await run(['verify', '--data-dir', dataDir, '--json']);
    expect(served.code).toBe(1);
    expect(JSON.parse(served.stdout)).toMatchObject({ ok: false });
    const repaired = await run(['verify', '--data-dir', dataDir, '--repair', '--json']);
    expect(repaired.code).toBe(0);
    expect(JSON.parse(repaired.stdout)).toMatchObject({ ok: true, problems: [] });
    expect(JSON.parse(repaired.stdout).repaired.length).toBeGreaterThan(0);
  });

  it('rebuilds the index with --repair, says so, and ends with 0', async () => {
    const dataDir = await filledDirectory();
    await rm(join(dataDir, 'db', 'index'), { recursive: true });
    const noted = await run(['verify', '--data-dir', dataDir]);
    expect(noted).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('The index was not compared: it is missing'),
    });
    const repaired = await run(['verify', '--data-dir', dataDir, '--repair']);
    expect(repaired).toMatchObject({ code: 0, stdout: '' });
    expect(repaired.stderr).toMatch(/Repaired: The index was not compared: it is missing/);
    expect(repaired.stderr).toContain('The index was rebuilt from base and log.');
    expect((await run(['verify', '--data-dir', dataDir])).stderr).not.toContain('Note');
  });

  it('ends with 1 if the log is damaged, and names file and offset', async () => {
    const dataDir = await filledDirectory();
    const [segment = ''] = await logFiles(dataDir);
    await flipAt(join(dataDir, 'db', 'log', segment), 100_000);
    const { code, stdout } = await run(['verify', '--data-dir', dataDir, '--repair']);
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^log \(file db\/log\/0{15}1\.log, offset \d+, position \d+\): .*is damaged from byte \d+ to \d+\.$/m,
    );
  });

  it('compares with a backup, and reports what it could not check', async () => {
    const dataDir = await filledDirectory();
    const backups = await tempDir('backups');
    expect(await run(['backup', 'now', '--data-dir', dataDir, '--backup-dir', backups])).toMatchObject({ code: 0 });
    const compared = await run(['verify', '--data-dir', dataDir, '--against', backups, '--json']);
    expect(compared.code).toBe(0);
    expect(JSON.parse(compared.stdout)).toMatchObject({ ok: true, checked: { compared: 242 } });
    expect(await run(['verify', '--data-dir', dataDir, '--against', join(backups, 'x')])).toMatchObject({ code: 3 });
    const unreachable = await run(['verify', '--data-dir', dataDir, '--against', 'redis://user:secret@127.0.0.1:1']);
    expect(unreachable.code).toBe(5);
    expect(unreachable.stderr + unreachable.stdout).not.toContain('secret');
    expect(await run(['verify', '--data-dir', join(dataDir, 'none')])).toMatchObject({ code: 3 });
    const [blob = ''] = await readdir(backups);
    await appendFile(join(backups, blob), 'x');
    expect((await run(['verify', '--data-dir', dataDir, '--against', backups])).code).not.toBe(0);
    const store = await import('../../src/index.ts');
    const cache = await store.AgentContextCache.open({ dataDir, natsUrl: null });
    const locked = await runProcess(['verify', '--data-dir', dataDir]);
    await cache.shutdown();
    expect(locked).toMatchObject({
      code: 6,
      stderr: expect.stringMatching(/in use by (another process|process \d+)\. Stop it/),
    });
  });
});

describe('context-cache check-schemas', () => {
  it('prints the refused values and ends with 1, for a directory, a server and --json', async () => {
    const dataDir = await tempDir();
    const module = join(dataDir, 'schemas.mjs');
    const schema = (message: string) =>
      `{ '~standard': { version: 1, vendor: 'test', validate: (value) => value === 5 ? { issues: [{ message: '${message}', path: ['x'] }] } : { value } } }`;
    await run(['set', 'plan', '5', '-n', 'trip', '--agent', 'ann', '--data-dir', dataDir]);
    await run(['set', 'plan', '6', '-n', 'trip', '--data-dir', dataDir]);
    await run(['set', 'note', '5', '--data-dir', dataDir]);
    const check = (...more: string[]) => run(['check-schemas', '--module', module, '--data-dir', dataDir, ...more]);
    expect(await check()).toMatchObject({ code: 2, stderr: expect.stringMatching(/schemas\.mjs cannot be loaded/) });
    await writeFile(module, 'export const other = 1;');
    expect(await check()).toMatchObject({ code: 2, stderr: expect.stringMatching(/exports no schemas/) });
    const second = join(dataDir, 'second.mjs');
    await writeFile(second, `export const schemas = { '*': ${schema('no five')} };`);
    const found = await run(['check-schemas', '--module', second, '--data-dir', dataDir]);
    expect(found.code).toBe(1);
    expect(found.stdout).toBe(
      'recorded 1  trip plan  ann: x: no five\nrecorded 3  default note  no agent: x: no five\n' +
        'present 3  default note  no agent: x: no five\n',
    );
    expect(found.stderr).toContain('refuse 2 of 3 recorded values (positions 1 to 3) and 1 of 2 present values.');
    const range = ['--from', '2', '--to', '2', '--limit', '0'];
    await using _ = await serve(dataDir);
    const served = await run(['check-schemas', '--module', second, '--data-dir', dataDir, '--json', ...range]);
    expect(served.code).toBe(1);
    expect(JSON.parse(served.stdout)).toMatchObject({
      ...{ ok: false, recorded: [], present: [], more: true },
      ...{ checked: { recorded: 1, present: 2 }, refused: { recorded: 0, present: 1 } },
    });
    const beyond = await run(['check-schemas', '--module', second, '--data-dir', dataDir, '--to', '9']);
    expect(beyond).toMatchObject({ code: 2, stderr: expect.stringMatching(/--to/) });
    const fits = join(dataDir, 'fits.mjs');
    await writeFile(fits, 'export default {};');
    expect(await run(['check-schemas', '--module', fits, '--data-dir', dataDir])).toMatchObject({
      code: 0,
      stdout: '',
    });
  });
});

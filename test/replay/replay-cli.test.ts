import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect as connectClient } from '@nats-io/transport-node';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { AgentContextCache } from '../../src/index.ts';
import { AIRLINE_UPDATES, airlinePath } from '../support/airline.ts';
import { closing } from '../support/cache.ts';
import { run, setLine } from '../support/cli.ts';
import { buildDist } from '../support/dist.ts';
import { startNats } from '../support/servers.ts';
import { tempDir } from '../support/temp-dir.ts';

beforeAll(buildDist);

/** Runs a command, which must succeed. */
async function ok(args: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await run(args, input === undefined ? {} : { input });
  expect([code, stderr.includes('error')], stderr).toEqual([0, false]);
  return stdout;
}

async function places(...names: string[]): Promise<string[]> {
  const home = await tempDir('replay-cli');
  return names.map((name) => join(home, name));
}

/** A recorded log of three updates. */
async function smallLog(): Promise<{ readonly dir: string; readonly log: string }> {
  const [dir = ''] = await places('recorded');
  await ok(['apply', '-', '--data-dir', dir], ['a', 'b', 'c'].map((key, index) => setLine(key, index)).join(''));
  return { dir, log: await ok(['log', '--data-dir', dir]) };
}

describe('the recorded agent runs', () => {
  it('exported and replayed from a file, standard input or the directory give the same dump and the same log', async () => {
    const [recorded = '', file = '', ...others] = await places('recorded', 'run.ndjson', 'a', 'b', 'c');
    await ok(['apply', airlinePath, '--data-dir', recorded]);
    const log = await ok(['log', '--data-dir', recorded]);
    const dump = await ok(['dump', '--data-dir', recorded]);
    await writeFile(file, log);
    for (const [index, dir] of others.entries()) {
      const source = [file, '-', recorded][index] ?? '';
      const report = JSON.parse(
        await ok(['replay', source, '--data-dir', dir, '--json'], source === '-' ? log : undefined),
      );
      expect(report).toMatchObject({ position: AIRLINE_UPDATES, updates: AIRLINE_UPDATES, problems: {} });
      expect(await ok(['log', '--data-dir', dir])).toBe(log);
      expect(await ok(['dump', '--data-dir', dir])).toBe(dump);
    }
  });
});

describe('context-cache replay', () => {
  it('stops at a position or a time', async () => {
    const { dir, log } = await smallLog();
    const lines = log.split('\n');
    const at = (line: number) => new Date(JSON.parse(lines[line] ?? '').at).toISOString();
    for (const [until, count] of [
      ['2', 2],
      ['0', 0],
      [at(2), 3],
      ['2001-01-01', 0],
    ] as const) {
      const [target = ''] = await places('new');
      await ok(['replay', dir, '--data-dir', target, '--until', until]);
      expect(await ok(['log', '--data-dir', target])).toBe(
        lines
          .slice(0, count)
          .map((line) => `${line}\n`)
          .join(''),
      );
    }
    expect((await run(['replay', dir, '--data-dir', 'x', '--until', 'yesterday'])).code).toBe(2);
  });

  it('refuses a damaged log with line and reason, creates nothing, and reports what --repair leaves out', async () => {
    const { log } = await smallLog();
    const [file = '', target = ''] = await places('run.ndjson', 'new');
    await writeFile(file, log.replace(/\n.*\n/, '\ndamage\n'));
    const refused = await run(['replay', file, '--data-dir', target, '--json']);
    expect(refused.code).toBe(1);
    expect(JSON.parse(refused.stderr)).toMatchObject({
      error: { code: 'LOG_CORRUPT', message: expect.stringContaining('At line 2: ') },
    });
    await expect(readdir(target)).rejects.toMatchObject({ code: 'ENOENT' });
    const repaired = await run(['replay', file, '--data-dir', target, '--repair']);
    expect(repaired.code).toBe(0);
    expect(repaired.stderr).toMatch(
      /Line 2 \(unreadable\).*1 unreadable.*left out: 1.*From recorded position 3.*2 updates/s,
    );
    expect(await ok(['keys', '--data-dir', target])).toBe('a\nc\n');
  });

  it('neither fills nor reads a directory that is in use', async () => {
    const { dir, log } = await smallLog();
    const full = await run(['replay', '-', '--data-dir', dir, '--json'], { input: log });
    expect([full.code, JSON.parse(full.stderr).error.code]).toEqual([1, 'NOT_EMPTY']);
    closing(await AgentContextCache.open({ dataDir: dir }));
    const [target = ''] = await places('new');
    const locked = await run(['replay', dir, '--data-dir', target, '--json']);
    expect([locked.code, JSON.parse(locked.stderr).error.code]).toEqual([6, 'DIRECTORY_LOCKED']);
    expect((await run(['replay', '/no/such/file', '--data-dir', target])).code).toBe(3);
  });

  it('reads a JetStream stream', async () => {
    const nats = await startNats();
    onTestFinished(() => nats[Symbol.asyncDispose]());
    const connection = await connectClient({ servers: nats.url });
    onTestFinished(() => connection.close());
    await (await jetstreamManager(connection)).streams.add({ name: 'S', subjects: ['ctx.a'] });
    const [recorded = '', target = ''] = await places('recorded', 'new');
    await ok(
      ['apply', '-', '--data-dir', recorded, '--nats', nats.url, '--topic', 'ctx.a'],
      setLine('a', 1) + setLine('b', 2),
    );
    await ok(['replay', nats.url, '--stream', 'S', '--subject', 'ctx.a', '--data-dir', target]);
    expect(await ok(['log', '--data-dir', target])).toBe(await ok(['log', '--data-dir', recorded]));
    for (const wrong of [[nats.url], ['-', '--stream', 'S'], ['-', '--subject', 'x']]) {
      expect((await run(['replay', ...wrong, '--data-dir', target])).code).toBe(2);
    }
  });
});

describe('context-cache restore', () => {
  it('adds what the log has after the snapshot: of the directory itself, or of a file', async () => {
    const { dir } = await smallLog();
    const [file = '', whole = '', both = '', snapshot = ''] = await places('run.ndjson', 'whole', 'both', 'snapshot');
    await ok(['backup', 'now', '--data-dir', dir]);
    await ok(['set', 'later', '1', '--data-dir', dir]);
    const dump = await ok(['dump', '--data-dir', dir]);
    await writeFile(file, await ok(['log', '--data-dir', dir]));
    const backups = join(dir, 'backups');
    await ok(['restore', '--backup-dir', dir, '--data-dir', whole]);
    await ok(['restore', '--backup-dir', backups, '--log', file, '--data-dir', both]);
    await ok(['restore', '--backup-dir', backups, '--data-dir', snapshot]);
    expect(await ok(['dump', '--data-dir', whole])).toBe(dump);
    expect(await ok(['dump', '--data-dir', both])).toBe(dump);
    expect(await ok(['dump', '--data-dir', snapshot])).toBe(dump.replace(/.*"later".*\n/, ''));
  });
});

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { projectRoot } from '../support/dist.ts';
import { tempDir } from '../support/temp-dir.ts';

const bench = join(projectRoot, 'bench');

interface Verdict {
  readonly text: string;
  readonly shown: string;
  readonly met: boolean;
}

interface Goals {
  judge(result: object, oneCase: object): Verdict[];
}

interface Numbers {
  show(value: number, unit: string): string;
  ratioOf(own: number, limit: number, how: { better: string; style: string }): number;
}

/** Loads a module of the bench, which is plain JavaScript so that every Node runs it. */
const load = async (name: string): Promise<unknown> => import(pathToFileURL(join(bench, 'lib', `${name}.mjs`)).href);

function checkTables(...args: string[]): { readonly status: number | null; readonly stderr: string } {
  return spawnSync(process.execPath, [join(bench, 'run.mjs'), '--check-tables', ...args], { encoding: 'utf8' });
}

function questions(): string[] {
  const { stdout } = spawnSync(process.execPath, [join(bench, 'run.mjs'), '--list'], { encoding: 'utf8' });
  return stdout.trim().split('\n');
}

describe('the processes of the bench', () => {
  test.each([
    ['() => process.exit(7)', [7, null]],
    ['() => {}', [null, 'SIGKILL']],
  ])('are asked to end before they are killed: %s', async (onEnd, ended) => {
    const { endChild } = (await load('measure')) as { endChild(child: ChildProcess, afterMs: number): void };
    const program = `process.on('SIGTERM', ${onEnd}); setInterval(() => {}, 1_000); console.log('ready');`;
    const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(child.stdout, 'data');
    const exit = once(child, 'exit');
    endChild(child, ended[0] === null ? 50 : 30_000);
    expect(await exit).toEqual(ended);
  });

  test('report a server that cannot be started, and one that does not answer in time', async () => {
    const { serverOf, repeated } = (await load('cluster/nats-cluster')) as {
      serverOf(index: number, options: object): { start(): Promise<void>; kill(): Promise<void> };
      repeated(work: () => Promise<unknown>, options: object): Promise<unknown>;
    };
    const options = { ports: [1, 1, 1], size: 1, dir: await tempDir('bench') };
    const missing = serverOf(0, { ...options, program: join(options.dir, 'nats-server') });
    await expect(missing.start()).rejects.toThrow('ENOENT');
    await missing.kill();
    const ending = serverOf(0, { ...options, program: 'false' });
    await expect(ending.start()).rejects.toThrow('The nats-server n1 has ended (1)');
    await expect(repeated(async () => undefined, { timeoutMs: 40 })).rejects.toThrow('no answer within 0.04 s');
  });
});

describe('the tables and the last results of the bench', () => {
  test('agree', () => {
    expect(checkTables()).toMatchObject({ status: 0, stderr: '' });
  });

  test.each([
    ['--readme', 'README.md'],
    ['--bench-readme', 'bench/README.md'],
    ['--cluster-page', 'docs/cluster.md'],
  ])('reports a number that was changed by hand in the page of %s', async (option, page) => {
    const text = readFileSync(join(projectRoot, page), 'utf8');
    const table = text.slice(text.indexOf('<!-- bench:begin -->'));
    // The first figure, or the first word if there are no results yet.
    const number = /\d+(?=[.\d]* (?:ns|µs|ms|k\/s))|(?<=-->\n)There/.exec(table)?.[0] ?? '';
    expect(number).not.toBe('');
    const changed = join(await tempDir('bench'), 'README.md');
    await writeFile(changed, text.replace(table, table.replace(number, `${number}1`)));
    const { status, stderr } = checkTables(option, changed);
    expect(status).toBe(1);
    expect(stderr).toContain('--write-tables');
  });

  test('name all figures of the cluster itself in its table, and no other question', async () => {
    const { clusterTable } = (await load('tables')) as { clusterTable(results: readonly object[]): string };
    const metrics = { rate: { unit: '/s', what: '' }, p50: { unit: 'ms', what: 'p50' } };
    const candidate = (role: string, rate: number) => ({
      role,
      metrics: { rate: { median: rate }, p50: { median: 2 } },
    });
    const cases = [{ name: '64 in flight', candidates: [candidate('limit', 9_000), candidate('ours', 20_000)] }];
    const machine = { cpu: 'a processor', cores: 2, memoryGb: 4, node: 'v20', load: 0 };
    const result = {
      order: 1,
      title: 'a cluster: writes',
      question: 'cluster-writes',
      at: '2026-12-01',
      metrics,
      cases,
      machine,
    };
    const table = clusterTable([result, { ...result, title: 'get', question: 'get' }]);
    expect(table).toContain('| writes: 64 in flight | 20.0 k/s; p50 2.00 ms |');
    expect(table).not.toMatch(/get|9\.00/);
    expect(clusterTable([])).toBe('There are no results yet.');
  });

  test('hold full results of existing questions without a failed candidate', () => {
    const known = questions();
    expect(known.length).toBeGreaterThan(15);
    const results = readdirSync(join(bench, 'results')).filter((name) => name.endsWith('.json'));
    expect(results.length).toBeGreaterThan(0);
    for (const name of results) {
      expect(known).toContain(name.slice(0, -'.json'.length));
      const text = readFileSync(join(bench, 'results', name), 'utf8');
      expect(JSON.parse(text)).toMatchObject({ question: name.slice(0, -'.json'.length), quick: false });
      expect(text).not.toContain('"failed"');
    }
  });
});

test('the rivals of the bench are in a package of their own, from no named registry', () => {
  const lock = readFileSync(join(bench, 'package-lock.json'), 'utf8');
  expect(lock).not.toMatch(/"resolved"|registry\./);
  const own = JSON.parse(readFileSync(join(bench, 'package.json'), 'utf8')) as { dependencies: object };
  const root = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as Record<string, object>;
  const installed = { ...root.dependencies, ...root.devDependencies, ...root.optionalDependencies };
  for (const name of Object.keys(own.dependencies)) {
    expect(installed).not.toHaveProperty([name]);
    // An adapter's framework is a peer that no user has to install.
    if (name in (root.peerDependencies ?? {}))
      expect(root.peerDependenciesMeta).toMatchObject({ [name]: { optional: true } });
  }
});

test('every question has all its parts', async () => {
  for (const name of questions()) {
    const module = (await import(pathToFileURL(join(bench, `${name}.mjs`)).href)) as {
      default: Record<string, unknown>;
    };
    expect(Object.keys(module.default), name).toEqual(
      expect.arrayContaining(['title', 'about', 'metrics', 'cases', 'candidates', 'measure']),
    );
  }
});

describe('the bench judges a target', () => {
  const metrics = { ns: { unit: 'ns', better: 'less', what: '' } };
  const result = { main: 'ns', metrics, ratioStyle: 'times', goals: [], cases: [] };
  const candidate = (name: string, role: string, ns: number, traits = {}) => ({
    ...{ name, role, traits, metrics: { ns: { median: ns } } },
    ratio: { median: ns / 10 },
  });
  const oneCase = {
    name: 'a case',
    candidates: [
      candidate('nested Map', 'limit', 10),
      candidate('agent-context-cache', 'ours', 20),
      candidate('quick', 'rival', 5),
      candidate('thorough', 'rival', 60, { isolates: true }),
    ],
  };
  const verdictOn = async (goal: object, about: object = oneCase, of: object = result) => {
    const { judge } = (await load('goals')) as Goals;
    return judge({ ...of, goals: [{ text: 'asked', ...goal }] }, about)[0];
  };

  test('by the ratio to the limit', async () => {
    expect(await verdictOn({ ofLimit: 2 })).toEqual({ text: 'asked', shown: '2.00×', met: true });
    expect(await verdictOn({ ofLimit: 1.9 })).toMatchObject({ met: false });
    expect(await verdictOn({ ofLimit: 0.8 }, oneCase, { ...result, ratioStyle: 'share' })).toMatchObject({ met: true });
  });

  test('by a bound', async () => {
    expect(await verdictOn({ metric: 'ns', atMost: 20 })).toMatchObject({ met: true });
    expect(await verdictOn({ metric: 'ns', atMost: 19 })).toMatchObject({ met: false });
    expect(await verdictOn({ metric: 'ns', atLeast: 21 })).toMatchObject({ met: false });
  });

  test('by the best of the selected rivals', async () => {
    expect(await verdictOn({ ahead: 1 })).toMatchObject({ shown: '0.25× ahead of quick', met: false });
    expect(await verdictOn({ ahead: 1, except: ['quick'] })).toMatchObject({ shown: '3.00× ahead of thorough' });
    expect(await verdictOn({ ahead: 3, traits: ['isolates'] })).toMatchObject({ met: true });
    expect(await verdictOn({ ahead: 4, of: ['thorough'] })).toMatchObject({ met: false });
  });

  test('by another case', async () => {
    const before = { name: 'before', candidates: [candidate('agent-context-cache', 'ours', 10)] };
    const grown = { ...result, cases: [before] };
    expect(await verdictOn({ flat: 2, from: 'before' }, oneCase, grown)).toMatchObject({ met: true });
    expect(await verdictOn({ flat: 1.9, from: 'before' }, oneCase, grown)).toMatchObject({ met: false });
  });

  test('ratios say how many times slower, or what share of the rate', async () => {
    const { ratioOf, show } = (await load('numbers')) as Numbers;
    expect(ratioOf(30, 10, { better: 'less', style: 'times' })).toBe(3);
    expect(ratioOf(30, 10, { better: 'more', style: 'share' })).toBe(3);
    expect(ratioOf(5, 10, { better: 'more', style: 'times' })).toBe(2);
    expect([show(1_234, 'ns'), show(0.0005, 'ms'), show(12_345, '/s'), show(0.5, 'share')]).toEqual([
      ...['1.23 µs', '0.50 µs', '12.3 k/s', '50.0 %'],
    ]);
  });
});

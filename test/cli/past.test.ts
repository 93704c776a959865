import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { AgentContextCache } from '../../src/index.ts';
import { expectedDump, jsonLines, line, type Ran, serve, setLine } from '../support/cli.ts';
import { run } from '../support/cli-here.ts';
import { tempDir } from '../support/temp-dir.ts';

interface LogLine {
  readonly position: number;
  readonly namespace: string;
  readonly version: number;
  readonly operation: string;
  readonly key: string | null;
  readonly value: unknown;
  readonly at: number;
  readonly expiresAt?: number;
}

/** A small log with every kind of update that a file of commands can make. */
const COMMANDS = [
  setLine('plan', ['search'], { namespace: 'trip', agent: 'planner' }),
  setLine('n', 1),
  setLine('plan', ['search', 'book'], { namespace: 'trip', agent: 'booker' }),
  setLine('n', null),
  setLine('soon', { a: 1 }, { ttl: '1h' }),
  line({ type: 'context.delete', namespace: 'trip', key: 'plan' }),
  setLine('\u{1f600}', 'x', { namespace: 'trip' }),
  setLine('\u{ff5e}', 'y', { namespace: 'trip' }),
  line({ type: 'context.drop', namespace: 'trip' }),
  setLine('plan', 'again', { namespace: 'trip' }),
  setLine('n', 2),
];
const HEAD = COMMANDS.length;

/** Folds the printed log up to a position, independently of the package. */
function folded(log: readonly LogLine[], position: number) {
  const state = new Map<string, Map<string, { value: unknown; version: number }>>();
  for (const { namespace, version, operation, key, value, position: at } of log) {
    if (at > position) break;
    const entries = state.get(namespace) ?? new Map();
    state.set(namespace, entries);
    if (key === null) entries.clear();
    else if (operation === 'set') entries.set(key, { value, version });
    else entries.delete(key);
  }
  return state;
}

let dataDir: string;
let log: LogLine[];
const on = (...args: string[]): Promise<Ran> => run([...args, '--data-dir', dataDir]);

beforeAll(async () => {
  dataDir = join(await tempDir('past'), 'data');
  expect(await run(['apply', '--data-dir', dataDir], { input: COMMANDS.join('') })).toMatchObject({ code: 0 });
  log = jsonLines<LogLine>((await on('log')).stdout);
  expect(log.map(({ position }) => position)).toEqual(Array.from({ length: HEAD }, (_, index) => index + 1));
});

describe('dump --at', () => {
  test('at every position equals the fold of the log up to it', async () => {
    const dumps: string[] = [];
    for (let position = 0; position <= HEAD; position += 1) {
      const { code, stdout, stderr } = await on('dump', '--at', String(position));
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toBe(expectedDump(folded(log, position)));
      dumps.push(stdout);
    }
    // The drop of the namespace gives the same state as an earlier position.
    expect(new Set(dumps).size).toBe(HEAD);
    await using _server = await serve(dataDir);
    const live: string[] = [];
    for (const position of dumps.keys()) live.push((await on('dump', '--at', String(position))).stdout);
    expect(live).toEqual(dumps);
  });

  test('a time selects the last position before the first later update', async () => {
    const time = log[4]?.at ?? 0;
    const later = log.findIndex(({ at }) => at > time);
    const position = later < 0 ? HEAD : later;
    const { stdout } = await on('dump', '--at', new Date(time).toISOString());
    expect(stdout).toBe(expectedDump(folded(log, position)));
    expect((await on('dump', '--at', '2020-01-01T00:00:00Z')).stdout).toBe('');
  });
});

test("briefing prints what others have changed since the agent's last one", async () => {
  const dataDir = await tempDir('briefing');
  const asked = (...flags: string[]) => run(['briefing', '--data-dir', dataDir, '--agent', 'planner', ...flags]);
  await run(['set', 'hotel', '"Adler"', '-n', 'trip', '--agent', 'booker', '--data-dir', dataDir]);
  await run(['set', 'plan', '1', '-n', 'trip', '--agent', 'planner', '--data-dir', dataDir]);
  const peeked = await asked('--peek', '--json');
  expect(JSON.parse(peeked.stdout)).toMatchObject({ since: 0, until: 2, omitted: 0, changes: [{ key: 'hotel' }] });
  const { code, stdout } = await asked();
  expect([code, stdout]).toEqual([
    0,
    expect.stringMatching(/^Shared memory, for planner:\n\[trip\]\nhotel = "Adler" \(booker /),
  ]);
  expect((await asked()).stdout).toBe('Nothing has changed.\n');
  expect((await asked('--since', '0', '--only', 'flight/*')).stdout).toBe('Nothing has changed.\n');
  expect(await asked('--max-tokens', '1')).toMatchObject({ code: 2, stdout: '' });
});

test('changes prints the last update of each key, and where to go on', async () => {
  const { stdout, stderr } = await on('changes', '--since', '0', '-n', 'trip');
  const lines = jsonLines<LogLine>(stdout);
  expect(new Set(lines.map(({ key }) => key)).size).toBe(lines.length);
  expect(lines.every(({ position }, index) => index === 0 || position > (lines[index - 1] as LogLine).position)).toBe(
    true,
  );
  expect(stderr).toMatch(/^These are all changes\. Go on with --since \d+\.\n$/);
  const page = JSON.parse((await on('changes', '--since', '0', '--prefix', 'tr', '--limit', '1', '--json')).stdout);
  expect(page).toMatchObject({ changes: [{ position: lines[0]?.position }], next: lines[0]?.position, more: true });
  expect(await on('changes')).toMatchObject({ code: 2 });
});

test('history prints every version of an entry, newest first', async () => {
  expect(jsonLines((await on('history', 'plan', '-n', 'trip')).stdout)).toEqual([
    {
      position: 10,
      time: expect.any(String),
      version: log[9]?.version,
      operation: 'set',
      value: 'again',
      at: log[9]?.at,
      agent: null,
    },
    { position: 6, time: expect.any(String), version: 3, operation: 'delete', at: log[5]?.at, agent: null },
    {
      position: 3,
      time: expect.any(String),
      version: 2,
      operation: 'set',
      value: ['search', 'book'],
      at: log[2]?.at,
      agent: 'booker',
    },
    {
      position: 1,
      time: expect.any(String),
      version: 1,
      operation: 'set',
      value: ['search'],
      at: log[0]?.at,
      agent: 'planner',
    },
  ]);
  const dropped = jsonLines((await on('history', '\u{ff5e}', '-n', 'trip')).stdout);
  expect(dropped.map(({ position, operation, value }) => [position, operation, value])).toEqual([
    [9, 'clear_namespace', undefined],
    [8, 'set', 'y'],
  ]);
  const values = jsonLines((await on('history', 'n')).stdout).map(({ value }) => value);
  expect(values).toEqual([2, null, 1]);
  const [soon] = jsonLines<LogLine>((await on('history', 'soon')).stdout);
  expect(soon?.expiresAt).toBe(log[4]?.expiresAt);
});

test('diff prints added, changed and removed entries, sorted by namespace and key', async () => {
  const lines = async (...args: string[]) => jsonLines((await on('diff', ...args)).stdout);
  expect(await lines('2', '8')).toEqual([
    { change: 'changed', namespace: 'default', key: 'n', before: 1, after: null },
    { change: 'added', namespace: 'default', key: 'soon', after: { a: 1 } },
    { change: 'removed', namespace: 'trip', key: 'plan', before: ['search'] },
    { change: 'added', namespace: 'trip', key: '\u{ff5e}', after: 'y' },
    { change: 'added', namespace: 'trip', key: '\u{1f600}', after: 'x' },
  ]);
  expect(await lines('2', '8', '-n', 'default')).toHaveLength(2);
  expect(await lines('8', '8')).toEqual([]);
  expect(await lines('2020-01-01', String(HEAD))).toHaveLength(3);
});

test('a served directory has the same past as one that is not served', async () => {
  const time = new Date(log[4]?.at ?? 0).toISOString();
  const commands = [
    'dump --at 3',
    'dump --at 3 -n trip',
    `dump --at ${time}`,
    'dump --at 999',
    'history plan -n trip',
    'history n',
    'history soon',
    'history missing',
    'diff 0 11',
    'diff 11 0',
    'diff 2 8 -n trip',
    `diff ${time} 11`,
    'diff 0 999',
  ];
  const all = async () => {
    const ran: Record<string, Ran> = {};
    for (const command of commands) ran[command] = await on(...command.split(' '));
    return ran;
  };
  const own = await all();
  expect(own['dump --at 999']).toMatchObject({ code: 1, stdout: '' });
  expect(own['history missing']).toEqual({
    code: 0,
    stdout: '',
    stderr: 'The namespace default has never had a key missing.\n',
  });
  await using _server = await serve(dataDir);
  expect(await all()).toEqual(own);
});

describe('bisect', () => {
  const module = async (text: string) => {
    const file = join(await tempDir('past'), 'predicate.mjs');
    await writeFile(file, text);
    return file;
  };

  test('prints the update that made the condition false, as log does', async () => {
    const file = await module("export default (view) => view.get('n') !== null;");
    const range = ['--from', '1', '--to', '8'];
    const { stdout } = await on('log', '--from', '4', '--to', '4');
    expect(await on('bisect', '--module', file, ...range)).toEqual({ code: 0, stdout, stderr: '' });
    expect(await on('bisect', '--module', file, '--to', '3')).toMatchObject({ code: 3, stdout: '' });
    const later = await module("export default async (view) => view.get('plan', 'trip') !== 'again';");
    expect(jsonLines((await on('bisect', '--module', later)).stdout)).toMatchObject([{ position: 10 }]);
  });

  test('is refused without a condition, if it is false at the start, for an empty range, and for a served directory', async () => {
    const good = await module('export default () => false;');
    const bad = await module('export const predicate = () => true;');
    const wrong = [
      ['bisect'],
      ['bisect', '--module', `${good}.none`],
      ['bisect', '--module', bad],
      ['bisect', '--module', good],
      ['bisect', '--module', good, '--from', '5', '--to', '4'],
    ];
    for (const args of wrong) expect(await on(...args)).toMatchObject({ code: 2, stdout: '' });
    const throws = await module("export default () => { throw new Error('not mine'); };");
    expect(await on('bisect', '--module', throws)).toMatchObject({ code: 1, stderr: 'error: not mine\n' });
    await using _server = await serve(dataDir);
    const { code, stdout, stderr } = await on('bisect', '--module', good);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/[Ss]top the server, or use a copy/);
  });
});

const USAGE: readonly (readonly string[])[] = [
  ['dump', '--at', 'yesterday'],
  ['dump', '--at', '1.5'],
  ['dump', '--at', '2026-13-01'],
  ['history'],
  ['history', 'k', '-n', ''],
  ['diff', '1'],
  ['diff', '1', 'x'],
];
test.each(USAGE.map((args) => [args]))('2 for %j', async (args) => {
  expect(await on(...args)).toMatchObject({ code: 2, stdout: '' });
});

test.each(['dump --at 1', 'history k', 'diff 0 1'])('3 for %s without a directory', async (command) => {
  const args = [...command.split(' '), '--data-dir', `${dataDir}-none`];
  expect(await run(args)).toMatchObject({ code: 3, stdout: '' });
});

test('provenance and impact print the writes that bases name, as lines, as a graph and as DOT', async () => {
  const directory = await tempDir('trace');
  const basis = (key: string, version: number) => [{ namespace: 'trip', key, version }];
  {
    await using cache = await AgentContextCache.open({ dataDir: directory, natsUrl: null });
    await cache.set('fact', 'Oslo', 'trip', { agent: 'scout' });
    await cache.set('plan', 'fly', 'trip', { agent: 'a "b"', basis: basis('fact', 1) });
    const range = { namespace: 'trip', prefix: 'p', from: 1, to: 2 };
    await cache.set('late', 1, 'trip', { basis: [...basis('plan', 2), range] });
    await cache.set('plan', 'walk', 'trip', { agent: 'walker', basis: [] });
  }
  const at = (...args: string[]) => run([...args, '--data-dir', directory]);
  const positionsOf = (stdout: string) =>
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).position);
  const provenance = await at('provenance', 'late', '-n', 'trip');
  expect(positionsOf(provenance.stdout)).toEqual([3, 2, 1]);
  expect(provenance.stderr).toBe('1 reading cannot be followed; --json names it.\n');
  expect(positionsOf((await at('provenance', 'plan', '-n', 'trip', '--at', '2')).stdout)).toEqual([2, 1]);
  expect(await at('provenance', 'none')).toMatchObject({ code: 3, stdout: '' });
  const impact = await at('impact', '1');
  expect(positionsOf(impact.stdout)).toEqual([1, 2, 3]);
  expect(impact.stderr).toMatch(/^2 later writes, of .*a "b" \(1\).*\.\n$/);
  const graph = JSON.parse((await at('impact', 'fact', '-n', 'trip', '--json')).stdout);
  expect(graph).toMatchObject({
    links: [
      { cause: 1, effect: 2, certain: true },
      { cause: 2, effect: 3 },
    ],
    more: false,
  });
  expect((await at('impact', '2', '--dot')).stdout).toBe(
    'digraph writes {\n  node [shape=box];\n  2 [label="2 set\\ntrip plan\\na \\"b\\"", style=bold];\n' +
      '  3 [label="3 set\\ntrip late\\nno agent"];\n  2 -> 3;\n}\n',
  );
  expect(await at('impact', 'fact')).toMatchObject({ code: 2 });
  const retracted = await at('retract', '1', '--cascade', 'restore', '--dry-run');
  expect(retracted.stdout).toBe(
    'removed fact in trip\nremoved late in trip\nleft, written later plan in trip at 4 by walker\n',
  );
  expect(retracted.stderr).toBe('Position 1 would be taken back: 3 entries.\n');
  expect(await at('retract', '9')).toMatchObject({ code: 1, stdout: '' });
  const found = await at('contradictions', '-n', 'trip');
  expect(JSON.parse(found.stdout)).toMatchObject({ key: 'plan', earlier: { position: 2 }, later: { position: 4 } });
  expect(found.stderr).toBe('1 contradiction. Go on with --since 4.\n');
  expect(JSON.parse((await at('contradictions', '--since', '4', '--json')).stdout)).toEqual({
    ...{ contradictions: [], next: 4, more: false },
  });
});

test('lines of history, changes, entries and dump say what was taken back, and what is stale because of it', async () => {
  const directory = await tempDir('taken-back');
  const on = (...args: string[]) => run([...args, '--data-dir', directory]);
  {
    await using cache = await AgentContextCache.open({ dataDir: directory, natsUrl: null });
    await cache.set('fact', 'Bergen', 'trip');
    await cache.set('fact', 'Oslo', 'trip');
    await cache.set('plan', 'walk', 'trip', { basis: [{ namespace: 'trip', key: 'fact', version: 2 }] });
  }
  await on('retract', '2', '--cascade', 'mark', '--reason', 'a rumour');
  const lines = async (...args: string[]) => jsonLines<Record<string, unknown>>((await on(...args)).stdout);
  const fact = { retraction: { position: 2, reason: 'a rumour' }, value: 'Bergen' };
  const plan = { stale: { because: 2, reason: 'a rumour' }, value: 'walk' };
  expect((await lines('history', 'fact', '-n', 'trip'))[0]).toMatchObject(fact);
  expect((await lines('history', 'plan', '-n', 'trip'))[0]).toMatchObject(plan);
  for (const args of [['changes', '--since', '0'], ['dump'], ['entries', '-n', 'trip']]) {
    const told = await lines(...args);
    expect(told.find(({ key }) => key === 'fact')).toMatchObject(fact);
    expect(told.find(({ key }) => key === 'plan')).toMatchObject(plan);
  }
});

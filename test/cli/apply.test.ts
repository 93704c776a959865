import { existsSync } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { foldCommands } from '../support/airline.ts';
import { expectedDump, jsonLines, line, run, serve, setLine, start } from '../support/cli.ts';
import { fcOptions } from '../support/property.ts';
import { tempDir } from '../support/temp-dir.ts';

const newDir = async () => join(await tempDir('cli'), 'data');

/** `[what, the line, what its error says]`. */
const BAD_LINES: readonly (readonly [string, string | Uint8Array, RegExp])[] = [
  ['text that is not JSON', '{"type":"context.set",\n', /not valid JSON/],
  ['an unknown command', line({ type: 'context.fly' }), /no known type/],
  ['JSON that is no command', '[1,2]\n', /must be an object/],
  ['a field that is unknown', setLine('k', 1, { colour: 'red' }), /no field "colour"/],
  ['an empty namespace', setLine('a', 1, { namespace: '' }), /must not be empty/],
  ['a name with a lone surrogate', '{"type":"context.set","key":"\\ud800","value":1}\n', /surrogate/],
  ['a value beyond all numbers', '{"type":"context.set","key":"k","value":1e999}\n', /Infinity/],
  ['bytes that are not UTF-8', Buffer.from([...Buffer.from('{"type":"context.set","key":"a'), 0xff, 0x0a]), /UTF-8/],
  ['a topic that is none', line({ type: 'topics.add', topic: 'a.*' }), /wildcard/],
];

describe('a wrong line', () => {
  test.each(BAD_LINES)('ends apply at that line: %s', async (_, bad, says) => {
    const dataDir = await newDir();
    const input = Buffer.concat([
      Buffer.from(setLine('before', 1) + setLine('before2', 2)),
      Buffer.from(bad as string),
    ]);
    const all = Buffer.concat([input, Buffer.from(setLine('after', 3))]);
    const { code, stderr, stdout } = await run(['apply', '--data-dir', dataDir], { input: all });
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^error: Line 3: /);
    expect(stderr).toMatch(says);
    const dumped = await run(['dump', '--data-dir', dataDir]);
    expect(jsonLines(dumped.stdout).map(({ key }) => key)).toEqual(['before', 'before2']);
  });

  test('is skipped and counted with --keep-going, here and in a serving process', async () => {
    const pieces = BAD_LINES.flatMap(([, bad], index) => [
      Buffer.from(bad as string),
      Buffer.from(setLine(`k${index}`, index)),
    ]);
    const input = Buffer.concat(pieces);
    const dataDir = await newDir();
    const here = await run(['apply', '-', '--keep-going', '--json', '--data-dir', dataDir], { input });
    const servedDir = await newDir();
    await using _server = await serve(servedDir);
    const there = await run(['apply', '-', '--keep-going', '--json', '--data-dir', servedDir], { input });
    const count = BAD_LINES.length;
    for (const { code, stdout, stderr } of [here, there]) {
      expect(code).toBe(1);
      expect(JSON.parse(stdout)).toMatchObject({ lines: 2 * count, updates: count, failed: count });
      const errors = jsonLines<{ error: { code: string; message: string; line: number } }>(stderr);
      expect(errors.map(({ error }) => error.line)).toEqual(BAD_LINES.map((_, index) => 2 * index + 1));
      BAD_LINES.forEach(([, , says], index) => {
        expect(errors[index]?.error.message).toMatch(says);
      });
    }
    expect(there.stderr).toBe(here.stderr);
    const dumps = await Promise.all([dataDir, servedDir].map((dir) => run(['dump', '--data-dir', dir])));
    expect(dumps[0]?.stdout).toBe(dumps[1]?.stdout);
    expect(jsonLines(dumps[0]?.stdout ?? '')).toHaveLength(count);
  });

  test('longer than 64 MiB is refused without being held in memory, and the next line is read', async () => {
    const dataDir = await newDir();
    const long = Buffer.alloc(65 * 1024 * 1024, 'x');
    const input = Buffer.concat([long, Buffer.from(`\n${setLine('k', 1)}`)]);
    const { code, stderr } = await run(['apply', '--keep-going', '--data-dir', dataDir], {
      input,
      execArgv: ['--max-old-space-size=64'],
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/Line 1: The line is longer than/);
    expect((await run(['get', 'k', '--data-dir', dataDir])).stdout).toBe('1\n');
  });

  test('that conflicts ends apply with 4, and no later line is executed', async () => {
    const conflict = setLine('k', 2, { ifVersion: 7 });
    const more = Array.from({ length: 500 }, (_, index) => setLine(`after${index}`, index)).join('');
    const input = setLine('k', 1) + conflict + more;
    for (const served of [false, true]) {
      const dataDir = await newDir();
      await using server = served ? await serve(dataDir) : undefined;
      const { code, stderr } = await run(['apply', '--data-dir', dataDir, '--json'], { input });
      expect(code).toBe(4);
      expect(JSON.parse(stderr)).toEqual({
        error: { code: 'VERSION_CONFLICT', message: expect.stringContaining('Line 2: '), line: 2 },
      });
      expect((await run(['dump', '--data-dir', dataDir])).stdout).toBe(
        line({ namespace: 'default', key: 'k', value: 1, version: 1 }),
      );
      expect(server?.pid).not.toBe(0);
    }
  });

  test('that conflicts with an entry that has just expired ends apply too', async () => {
    const dataDir = await newDir();
    const expired = setLine('k', 1, { expiresAt: 1 });
    const input = expired + setLine('k', 2, { ifVersion: 1 }) + setLine('after', 1);
    expect(await run(['apply', '--data-dir', dataDir], { input })).toMatchObject({ code: 4 });
    expect((await run(['dump', '--data-dir', dataDir])).stdout).toBe('');
  });
});

test('blank lines are counted and skipped; CRLF, a byte order mark and a missing last line end are accepted', async () => {
  const dataDir = await newDir();
  const input = `\u{feff}${setLine('a', 1).trimEnd()}\r\n\n  \r\n${setLine('b', 2).trimEnd()}`;
  const { code, stdout } = await run(['apply', '-', '--ack', '--data-dir', dataDir], { input });
  expect(code).toBe(0);
  expect(stdout).toBe('{"line":1,"position":1}\n{"line":4,"position":2}\n');
});

test('each line is acknowledged when it is durable, not when the input ends', async () => {
  const dataDir = await newDir();
  const child = start(['apply', '--ack', '--data-dir', dataDir]);
  const lines = child.stdout.setEncoding('utf8')[Symbol.asyncIterator]();
  for (const number of [1, 2, 3]) {
    child.stdin.write(setLine('k', number));
    expect((await lines.next()).value).toBe(`{"line":${number},"position":${number}}\n`);
  }
  child.stdin.end();
  expect((await lines.next()).done).toBe(true);
});

test('a delete that changes nothing is acknowledged with the position of the log', async () => {
  const dataDir = await newDir();
  const input = setLine('k', 1) + line({ type: 'context.delete', key: 'none' }) + line({ type: 'context.clear' });
  const { stdout } = await run(['apply', '--ack', '--data-dir', dataDir], { input });
  const positions = jsonLines<{ position: number }>(stdout).map(({ position }) => position);
  expect(positions).toEqual([1, 1, 2]);
});

test('commands about the cache itself are executed in their turn', async () => {
  const dataDir = await newDir();
  const input =
    setLine('k', 1) + line({ type: 'topics.set', topics: ['a.b'] }) + line({ type: 'context.get', key: 'k' });
  expect(await run(['apply', '--data-dir', dataDir], { input })).toMatchObject({ code: 0 });
  expect((await run(['topics', '--json', '--data-dir', dataDir])).stdout).toBe('["a.b"]\n');
});

test('with --durability memory everything is on disk at the end too', async () => {
  const dataDir = await newDir();
  const input = Array.from({ length: 10_000 }, (_, index) => setLine(`k${index % 10}`, index)).join('');
  const { code } = await run(['apply', '--durability', 'memory', '--data-dir', dataDir], { input });
  expect(code).toBe(0);
  expect((await run(['log', '--from', '10000', '--data-dir', dataDir])).stdout).toContain('"value":9999');
});

test('a missing file ends with 3, and no directory is created', async () => {
  const dataDir = await newDir();
  expect(await run(['apply', '/none.ndjson', '--data-dir', dataDir])).toMatchObject({ code: 3 });
  expect(existsSync(dataDir)).toBe(false);
});

test('a reader that closes the acknowledgements ends apply without an error about the pipe', async () => {
  const dataDir = await newDir();
  const file = `${dataDir}.ndjson`;
  await writeFile(file, Array.from({ length: 50_000 }, (_, index) => setLine('k', index)).join(''));
  const child = start(['apply', file, '--ack', '--data-dir', dataDir]);
  const errors: Buffer[] = [];
  child.stderr.on('data', (chunk) => errors.push(chunk));
  child.stdout.once('data', () => child.stdout.destroy());
  const code = await new Promise((resolve) => child.once('close', resolve));
  expect(code).toBe(1);
  expect(Buffer.concat(errors).toString()).toBe('Stopped: the reader of the acknowledgements is gone.\n');
  expect(await run(['log', '--from', '1', '--to', '1', '--data-dir', dataDir])).toMatchObject({ code: 0 });
});

test('memory does not grow with the file', async () => {
  const dataDir = await newDir();
  const file = `${dataDir}.ndjson`;
  const handle = await open(file, 'w');
  for (let first = 0; first < 300_000; first += 10_000) {
    let text = '';
    for (let index = first; index < first + 10_000; index += 1) {
      text += setLine(`key-${index % 100}`, { index, text: 'x'.repeat(100) }, { namespace: `n${index % 7}` });
    }
    await handle.write(text);
  }
  await handle.close();
  const execArgv = ['--max-old-space-size=64'];
  const applied = await run(['apply', file, '--data-dir', dataDir, '--json'], { execArgv });
  expect(applied).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(applied.stdout)).toMatchObject({ lines: 300_000, updates: 300_000, position: 300_000 });
  const dumped = await run(['dump', '--data-dir', dataDir], { execArgv });
  expect(jsonLines(dumped.stdout)).toHaveLength(700);
});

test('after a kill, every acknowledged line is there and the log is exactly the first lines', async () => {
  const dir = await tempDir('cli');
  const lines = Array.from({ length: 30_000 }, (_, index) =>
    index % 17 === 3
      ? line({ type: 'context.delete', namespace: `n${index % 5}`, key: `k${index % 50}` })
      : setLine(`k${index % 50}`, { index }, { namespace: `n${index % 5}` }),
  );
  const file = join(dir, 'commands.ndjson');
  await writeFile(file, lines.join(''));
  for (const [round, killAfter] of [1, 3_000, 11_000].entries()) {
    const dataDir = join(dir, `data${round}`);
    const acknowledged = await applyAndKill(file, dataDir, killAfter);
    expect(acknowledged.length).toBeGreaterThanOrEqual(killAfter);
    const log = jsonLines((await run(['log', '--data-dir', dataDir])).stdout);
    expect(log.map(({ position }) => position)).toEqual(log.map((_, index) => index + 1));
    expect(log.length).toBeGreaterThanOrEqual(acknowledged.at(-1)?.position ?? 0);
    // Exactly the lines that make this many updates.
    let [done, most] = [acknowledged.length, lines.length];
    while (done < most) {
      const middle = Math.floor((done + most) / 2);
      if (foldCommands(lines.slice(0, middle)).updates < log.length) done = middle + 1;
      else most = middle;
    }
    const expected = foldCommands(lines.slice(0, done));
    expect(expected.updates).toBe(log.length);
    expect((await run(['dump', '--data-dir', dataDir])).stdout).toBe(expectedDump(expected.entries));
  }
});

/** Returns the complete acknowledgements from before the kill. */
async function applyAndKill(file: string, dataDir: string, killAfter: number) {
  const child = start(['apply', file, '--ack', '--data-dir', dataDir]);
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    if (text.split('\n').length > killAfter) child.kill('SIGKILL');
  });
  await new Promise((resolve) => child.once('close', resolve));
  expect(child.signalCode).toBe('SIGKILL');
  return jsonLines<{ line: number; position: number }>(text.slice(0, text.lastIndexOf('\n') + 1));
}

test('names, keys and values of any kind equal an independent fold', async () => {
  const name = fc.oneof(
    fc.constantFrom(
      '__proto__',
      'constructor',
      'a:b',
      'a',
      'b:c',
      '*',
      '>',
      ' ',
      'default',
      '\u{1f600}',
      '\u{ff5e}',
      '%',
      '\n',
    ),
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter((text) => text.isWellFormed()),
  );
  const namespace = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('n', '__proto__', '\u{1f600}') },
    { weight: 1, arbitrary: name },
  );
  const command = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ type: fc.constant('context.set'), namespace, key: name, value: fc.jsonValue() }),
    },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('context.delete'), namespace, key: name }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('context.clear'), namespace }) },
  );
  const commands = fc.array(command, { minLength: 1, maxLength: 150 });
  await fc.assert(
    fc.asyncProperty(commands, async (some) => {
      const dataDir = await newDir();
      const lines = some.map((each) => JSON.stringify(each));
      const applied = await run(['apply', '-', '--data-dir', dataDir], { input: lines.join('\n') });
      expect(applied.code, applied.stderr).toBe(0);
      const { stdout } = await run(['dump', '--data-dir', dataDir]);
      expect(stdout).toBe(expectedDump(foldCommands(lines).entries));
    }),
    fcOptions(12),
  );
});

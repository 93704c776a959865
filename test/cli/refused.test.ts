import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { setLine } from '../support/cli.ts';
import { run } from '../support/cli-here.ts';
import { tempDir } from '../support/temp-dir.ts';

const NOWHERE = { NATS_URL: '', REDIS_URL: '' };

describe('a command that is refused creates nothing', () => {
  test.each([
    ['set', ['set', 'k', '1', '-n', ''], 2],
    ['set --ttl', ['set', 'k', '1', '--ttl', 'soon'], 2],
    ['set --ttl of 0', ['set', 'k', '1', '--ttl', '0'], 2],
    ['set --if-version', ['set', 'k', '1', '--if-version', '3'], 4],
    ['set --agent', ['set', 'k', '1', '--agent', ''], 2],
    ['set of a value that is no JSON', ['set', 'k', 'text'], 2],
    ['serve --topic', ['serve', '--topic', 'a.*', '--nats'], 2],
    ['serve --nats', ['serve', '--nats', 'nats://u%:p@host:4222'], 2],
    ['serve --redis', ['serve', '--redis', 'redis://%:x'], 2],
    ['serve --commands-subject', ['serve', '--nats', '--commands-subject', 'a.>'], 2],
    ['apply of a bad line', ['apply', 'bad.ndjson'], 1],
    ['apply of a bad line, --keep-going', ['apply', 'bad.ndjson', '--keep-going'], 1],
    ['apply --topic', ['apply', 'good.ndjson', '--topic', 'a.*', '--nats'], 2],
    ['apply --redis', ['apply', 'good.ndjson', '--redis', 'redis://%:x'], 2],
    ['apply of no file', ['apply', 'none.ndjson'], 3],
    ['restore of nothing', ['restore', '--backup-dir', 'none'], 3],
    ['restore --log', ['restore', '--backup-dir', 'none', '--log', 'good.ndjson'], 3],
    ['replay of no file', ['replay', 'none.ndjson'], 3],
    ['replay of a bad log', ['replay', 'bad.ndjson'], 1],
    ['backup list', ['backup', 'list', '--backup-dir', 'none'], 0],
    ['backup now', ['backup', 'now', '--backup-dir', 'none'], 3],
    ['verify --against', ['verify', '--against', 'none'], 3],
    ['inspect', ['inspect'], 3],
  ] as const)('%s', async (_, args, code) => {
    const cwd = await tempDir('refused');
    await writeFile(join(cwd, 'bad.ndjson'), '{"type":"context.fly"}\n');
    await writeFile(join(cwd, 'good.ndjson'), setLine('k', 1));
    const before = readdirSync(cwd);
    const ran = await run([...args, '--data-dir', 'a/b/data'], { cwd, env: NOWHERE });
    expect({ code: ran.code, stderr: ran.stderr }).toMatchObject({ code });
    expect(readdirSync(cwd)).toEqual(before);
  });

  test('serve on a port that is taken', async () => {
    const cwd = await tempDir('refused');
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const port = String((taken.address() as AddressInfo).port);
    const ran = await run(['serve', '--port', port, '--data-dir', 'data'], { cwd });
    taken.close();
    expect(ran).toMatchObject({ code: 2, stderr: expect.stringMatching(`--port ${port} .*EADDRINUSE`) });
    expect(readdirSync(cwd)).toEqual([]);
  });

  test('and apply keeps what came before a bad line', async () => {
    const cwd = await tempDir('refused');
    const input = `\n${setLine('a', 1)}{"type":"context.fly"}\n${setLine('b', 1)}`;
    expect(await run(['apply'], { cwd, input })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('Line 3: '),
    });
    expect(await run(['keys'], { cwd })).toMatchObject({ stdout: 'a\n' });
    const later = `{"type":"context.fly"}\n\n${setLine('b', 1)}`;
    const fresh = await run(['apply', '--keep-going', '--json', '--data-dir', 'new'], { cwd, input: later });
    expect(JSON.parse(fresh.stdout)).toMatchObject({ lines: 3, updates: 1, failed: 1 });
    expect(JSON.parse(fresh.stderr)).toMatchObject({ error: { line: 1 } });
  });
});

describe('a message names flags, not options of the library', () => {
  const OF_THE_LIBRARY =
    /\b(log\.keep|keepUpdates|keepMs|keepBytes|health\(\)|ifVersion|natsUrl|redisUrl|subjectId|dataDir|restoreFrom|until |since |against )/;

  test.each([
    ['compact --yes', 2, /--keep-updates, --keep or --keep-bytes/],
    ['set k 1 --ttl soon', 2, /--ttl/],
    ['set k 1 --ttl 0', 2, /--ttl/],
    ['set k 1 --if-version 7', 4, /--if-version|version/],
    ['set k 1 --agent =', 2, /--agent/],
    ['compact --keep-updates 1 --yes --forget nobody', 3, /named nobody .*"context-cache health" lists/],
    ['backup settings --keep 0', 2, /--keep/],
    ['backup settings --interval 99999999', 2, /--interval/],
    ['replay . --data-dir .', 1, /Name a new or empty directory with --data-dir/],
    ['dump --at 99', 1, /position 99|ends at 1/],
    ['verify --against redis://%:x', 2, /--against|Redis URL/],
  ] as const)('%s', async (line, code, message) => {
    const cwd = await tempDir('refused');
    await run(['set', 'k', '1', '--data-dir', '.'], { cwd });
    const args = line.split(' ').map((word) => (word === '=' ? '' : word));
    const given = args.includes('--data-dir') ? args : [...args, '--data-dir', '.'];
    const { code: ended, stderr } = await run(given, { cwd, env: NOWHERE });
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(OF_THE_LIBRARY);
    expect(ended).toBe(code);
  });
});

describe('a mistyped subcommand gets a suggestion', () => {
  test.each([
    [
      'backup enabel',
      /unknown command 'enabel' \(Did you mean backup enable\?\).*\nSee "context-cache backup --help"/s,
    ],
    ['backup lst --json', /"message":"unknown command 'lst' \(Did you mean backup list\?\)/],
    ['topics ad agents.context', /unknown command 'ad' \(Did you mean topics add\?\)/],
    ['topics agents.context', /unknown command 'agents\.context'.* list, set, add, remove/],
    ['sett k 1', /Did you mean set\?/],
  ] as const)('%s', async (line, message) => {
    const { code, stderr } = await run(line.split(' '), { cwd: await tempDir('refused') });
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringMatching(message) });
  });
});

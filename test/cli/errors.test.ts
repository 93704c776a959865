import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { serve, setLine } from '../support/cli.ts';
import { run } from '../support/cli-here.ts';
import { tempDir } from '../support/temp-dir.ts';

/** The arguments, the exit code, and the message with problem and remedy. */
type Case = readonly [args: string, code: number, message: RegExp];

let cwd: string;
const on = (args: string, input = '') => run(args.split(' '), { cwd, input, env: { NATS_URL: '', REDIS_URL: '' } });

beforeAll(async () => {
  cwd = await tempDir('errors');
  await mkdir(join(cwd, 'folder'));
  await mkdir(join(cwd, 'damaged/db'), { recursive: true });
  await writeFile(join(cwd, 'damaged/db/CURRENT'), 'nothing\n');
  await writeFile(join(cwd, 'no-default.js'), 'export const a = 1;');
  await writeFile(join(cwd, 'never-true.js'), 'export default () => false;');
  await writeFile(join(cwd, 'package.json'), '{"type":"module"}');
  await writeFile(join(cwd, 'bad.ndjson'), `${setLine('a', 1)}{"type":"context.fly"}\n`);
  expect(await on('apply', setLine('k', 1, { namespace: 'trip' }) + setLine('k', 2))).toMatchObject({ code: 0 });
});

async function isReported([args, code, message]: Case): Promise<void> {
  const ran = await on(args);
  expect(ran).toMatchObject({ code, stdout: '' });
  expect(ran.stderr).toMatch(/^error: /m);
  expect(ran.stderr).toMatch(message);
  expect(ran.stderr).not.toMatch(/^\s+at |undefined|\[object/m);
}

const TYPED_WRONG: readonly Case[] = [
  ['fly', 2, /unknown command 'fly'.*\nSee "context-cache --help"/],
  ['serv', 2, /Did you mean serve\?/],
  ['get', 2, /missing required argument 'key'.*\nSee "context-cache get --help"/],
  [
    'backup enable --mode often',
    2,
    /Allowed choices are periodic, on_change, manual\..*\nSee "context-cache backup enable --help"/,
  ],
  ['get k --namespce trip', 2, /Did you mean --namespace\?/],
  ['get k extra', 2, /too many arguments.*\nSee "context-cache get --help"/],
  ['set k nonsense', 2, /not JSON\. Quote a text as '"text"', or add --string/],
  ['set k 1 --ttl soon', 2, /--ttl must be .* such as '10s'/],
  ['set k 1 --if-version x', 2, /Give an integer from 0/],
  ['set k 1 --meta x', 2, /not JSON/],
  ['set k 1 --meta 7', 2, /--meta must be a JSON object/],
  ['log --from 5 --to 4', 2, /--from must not be greater than --to/],
  ['dump --at soon', 2, /Give a position, or a time such as 2026/],
  ['diff soon 1', 2, /Give a position, or a time such as 2026/],
  ['serve --port 99999', 2, /Give a port from 0 to 65535/],
  ['serve --nats --commands-subject a.>', 2, /--commands-subject takes one NATS subject, such as agents\.commands/],
  ['serve --drain-timeout soon', 2, /Give a duration such as '60s'/],
  ['apply --topic a', 2, /--topic needs a NATS server: add --nats nats:\/\/host:4222, or set NATS_URL/],
  ['apply --nats file.ndjson', 2, /--nats takes a URL such as nats:.*Put a file before it, or write --nats=URL/],
  ['apply --redis http://u:secret@x', 2, /--redis takes a URL such as redis:(?!.*secret)/],
  ['topics add a.*', 2, /topic/i],
  ['backup list --redis --backup-dir x', 2, /Give --redis or --backup-dir, not both/],
  ['backup enable --interval 0', 2, /Give a number of seconds/],
  ['restore', 2, /Name the store of the snapshot: --redis .* or --backup-dir/],
  ['replay x --stream S', 2, /replay nats:\/\/host:4222 --stream NAME/],
  ['replay x --subject s', 2, /--subject needs --stream/],
  ['bisect', 2, /required option '--module <file>'.*\nSee "context-cache bisect --help"/],
  ['bisect --module none.js', 2, /Name another with --module/],
  ['bisect --module no-default.js', 2, /export default \(view\) => boolean/],
  ['bisect --module never-true.js', 2, /Choose --from so that it is true there/],
  ['verify --against somewhere', 3, /somewhere/],
  ['completion', 2, /missing required argument 'shell'/],
  ['clear trip', 2, /To confirm, add --yes/],
  ['compact --keep-updates 0', 2, /To confirm, add --yes/],
  ['compact --yes', 2, /No bound is set\. Add --keep-updates, --keep or --keep-bytes/],
];

const NOT_THERE: readonly Case[] = [
  ['get none', 3, /no key none, nor has any other\. See "context-cache keys"/],
  ['get k --data-dir none', 3, /Name another with --data-dir, or create it with context-cache serve, set or apply/],
  ['apply none.ndjson', 3, /none\.ndjson cannot be read \(ENOENT\)\. Name a file of commands/],
  ['apply folder', 2, /folder is a directory\. Name a file of commands/],
  ['replay none.ndjson --data-dir new', 3, /none\.ndjson/],
  ['restore --backup-dir none --data-dir new', 3, /Name the store that "context-cache backup" wrote to/],
  ['verify --data-dir none', 3, /with --data-dir/],
  ['compact --keep 1d --forget mirror --yes', 3, /mirror/],
];

const REFUSED: readonly Case[] = [
  ['set k 1 --if-version 9', 4, /version/],
  ['dump --at 99', 1, /the log ends at 2\. Use that position or an earlier one/],
  ['watch', 5, /Start "context-cache serve" with the same --data-dir/],
  [
    'backup list --redis redis://127.0.0.1:1',
    5,
    /Redis at redis:\/\/127\.0\.0\.1:1 cannot be reached.*Check that it runs/,
  ],
  [
    'restore --redis redis://127.0.0.1:1 --data-dir new',
    5,
    /Redis at redis:\/\/127\.0\.0\.1:1 cannot be reached.*Check that it runs/,
  ],
  ['replay nats://127.0.0.1:1 --stream S --data-dir new', 5, /Check the address and that the server runs/],
  ['restore --backup-dir .context-cache --data-dir .context-cache', 1, /empty/i],
  ['replay .context-cache --data-dir .context-cache', 1, /empty/i],
  ['get k --data-dir damaged', 1, /restore|CURRENT|damaged/],
  ['apply bad.ndjson', 1, /Line 2: .*context\.fly/],
  [
    'bench --data-dir none/at/all',
    2,
    /Nothing can be written in .*none\/at\. .*|Nothing can be written in .*--data-dir/,
  ],
];

test('a NATS server that is not used never disturbs, whatever the environment says', async () => {
  for (const NATS_URL of ['', 'no URL at all']) {
    expect(await run(['get', 'k'], { cwd, env: { NATS_URL } })).toMatchObject({ code: 0, stdout: '2\n', stderr: '' });
  }
});

describe('an error names the problem and the remedy', () => {
  test.each([...TYPED_WRONG, ...NOT_THERE, ...REFUSED].map((each) => [each[0], each] as const))('%s', (_, each) =>
    isReported(each),
  );

  test('for a served directory', async () => {
    await using _server = await serve(join(cwd, '.context-cache'));
    await writeFile(join(cwd, 'true.js'), 'export default () => true;');
    for (const each of [
      ['serve', 6, /already serves .*stop it, or choose another --data-dir/],
      ['demo', 6, /already serves .*stop it, or choose another --data-dir/],
      ['bisect --module true.js', 2, /Stop the server, or use a copy/],
      ['backup --backup-dir x', 2, /Omit --redis and --backup-dir, or give them to serve/],
      ['apply --nats nats://127.0.0.1:1', 2, /Give --nats, --topic and --redis to serve, or stop it/],
      ['restore --backup-dir x', 6, /served by a running process\. Restore into another, empty directory/],
    ] satisfies Case[]) {
      await isReported(each);
    }
  });

  test.skipIf(process.getuid?.() === 0)('for a directory without permission to read', async () => {
    const dataDir = join(cwd, 'closed');
    await mkdir(dataDir);
    await chmod(dataDir, 0);
    await isReported([`get k --data-dir ${dataDir}`, 3, /closed/]);
  });
});

import { once } from 'node:events';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ended, run, serve, start } from '../support/cli.ts';
import { tempDir } from '../support/temp-dir.ts';

/** Sends requests as a page does, to the printed address. */
function asking(url: string) {
  const { origin, hash } = new URL(url);
  const headers = { authorization: `Bearer ${hash.slice('#token='.length)}`, 'content-type': 'application/json' };
  return async (path: string, body?: unknown) => {
    const init = body === undefined ? { headers } : { headers, method: 'POST', body: JSON.stringify(body) };
    const response = await fetch(origin + path, init);
    return { status: response.status, body: await response.json() };
  };
}

/** Starts `inspect` and waits for its address. */
async function inspect(dataDir: string, ...args: string[]) {
  const child = start(['inspect', '--data-dir', dataDir, ...args]);
  onTestFinished(() => void child.kill('SIGKILL'));
  const all = ended(child);
  const [chunk] = await once(child.stdout, 'data');
  const end = async () => {
    child.kill('SIGINT');
    return all;
  };
  return { ask: asking(String(chunk).trim()), end };
}

async function filled(): Promise<string> {
  const dataDir = join(await tempDir('inspect'), 'data');
  expect(await run(['set', 'plan', '["search"]', '-n', 'trip', '--data-dir', dataDir])).toMatchObject({ code: 0 });
  return dataDir;
}

const edit = { namespace: 'trip', key: 'plan', value: 'mine', ifVersion: 1 };

test('attaches to the serving process, and leaves nothing behind in it', async () => {
  const dataDir = await filled();
  await using server = await serve(dataDir);
  const { ask, end } = await inspect(dataDir);
  expect((await ask('/api/meta')).body).toMatchObject({ pid: server.pid, durable: true, allowWrite: false });
  expect(await ask('/api/set', edit)).toMatchObject({ status: 403 });
  await run(['set', 'more', '1', '-n', 'trip', '--data-dir', dataDir]);
  expect((await ask('/api/updates')).body).toMatchObject({ items: [{ key: 'more' }, { key: 'plan' }] });
  expect(await end()).toMatchObject({ code: 0 });
  await expect(ask('/api/meta')).rejects.toThrow();
  expect(await run(['get', 'more', '-n', 'trip', '--data-dir', dataDir])).toMatchObject({ code: 0 });
});

test('opens a directory that is not served, and serves it to other commands meanwhile', async () => {
  const dataDir = await filled();
  const { ask, end } = await inspect(dataDir, '--allow-write', '--redact', 'more');
  await run(['set', 'more', '"x"', '-n', 'trip', '--data-dir', dataDir]);
  const hidden = await ask('/api/entry?namespace=trip&key=more');
  expect(hidden.body).toMatchObject({ value: expect.stringMatching(/^\[hidden/), hidden: true });
  expect(await ask('/api/set', edit)).toMatchObject({ status: 200, body: { version: 3 } });
  expect(await end()).toMatchObject({ code: 0 });
  expect(await run(['get', 'plan', '-n', 'trip', '--data-dir', dataDir])).toMatchObject({ stdout: '"mine"\n' });
});

test('--json prints the overview of a directory, served or not', async () => {
  const dataDir = await filled();
  const own = await run(['inspect', '--json', '--data-dir', dataDir]);
  expect(JSON.parse(own.stdout)).toMatchObject({ status: 'ok', keys: 1, log: { head: 1 } });
  await using server = await serve(dataDir);
  const served = await run(['inspect', '--json', '--data-dir', dataDir]);
  expect(JSON.parse(served.stdout)).toMatchObject({ process: { pid: server.pid }, keys: 1 });
  expect([own.code, served.code]).toEqual([0, 0]);
});

test('says when the serving process has ended, and if there is no directory', async () => {
  const dataDir = await filled();
  await using server = await serve(dataDir);
  const child = start(['inspect', '--data-dir', dataDir]);
  const all = ended(child);
  await once(child.stdout, 'data');
  await server.end();
  expect(await all).toMatchObject({ code: 0, stderr: expect.stringContaining('has ended') });
  const none = await run(['inspect', '--data-dir', join(dataDir, 'none')]);
  expect(none).toMatchObject({ code: 3, stdout: '' });
});

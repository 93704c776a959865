import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { connect } from '../../src/client.ts';
import { AgentContextCache, type ShareOptions } from '../../src/index.ts';
import { startServer } from '../../src/server.ts';
import { readServeFile } from '../../src/wire/serve-file.ts';
import { ended, run, start, waitFor } from '../support/cli.ts';
import { buildDist } from '../support/dist.ts';
import { Sharing } from '../support/sharing.ts';
import { tempDir } from '../support/temp-dir.ts';

const quiet: ShareOptions = { natsUrl: null, backup: { enabled: false }, onError: () => {} };

describe('AgentContextCache.share', () => {
  test('creates a directory, and continues it after all have left', async () => {
    const dataDir = join(await tempDir('share'), 'new');
    const first = await AgentContextCache.share(dataDir, quiet);
    await first.set('key', 1);
    await first.shutdown();
    expect(existsSync(join(dataDir, 'serve.json'))).toBe(false);
    await using second = await AgentContextCache.share(dataDir, quiet);
    expect(await second.get('key')).toBe(1);
  });

  test('hands the directory over when its holder is shut down, and loses no request', async () => {
    const dataDir = await tempDir('share');
    const holder = await AgentContextCache.share(dataDir, quiet);
    await using other = await AgentContextCache.share(dataDir, quiet);
    const watch = other.watch();
    await other.set('before', 1);
    const closing = holder.shutdown();
    const during = Array.from({ length: 100 }, (_, n) => other.set(`key ${n}`, n));
    await Promise.all([closing, ...during]);
    expect((await other.listKeys()).length).toBe(101);
    for (let position = 1; position <= 101; position += 1) {
      expect((await watch.next()).value).toMatchObject({ position, snapshot: false });
    }
    expect((await readServeFile(dataDir))?.pid).toBe(process.pid);
  });

  test('goes on as a client of a process that serves the directory, and holds it after that one', async () => {
    const dataDir = await tempDir('share');
    const cache = await AgentContextCache.open({ dataDir, natsUrl: null, backup: { enabled: false } });
    await startServer(cache);
    await using shared = await AgentContextCache.share(dataDir, quiet);
    await shared.set('key', 1);
    expect(cache.get('key')).toBe(1);
    await cache.shutdown();
    await shared.set('key', 2);
    expect((await readServeFile(dataDir))?.shared).toEqual({ hungAfterMs: 1_000 });
    await using plain = await connect(dataDir);
    expect(await plain.get('key')).toBe(2);
  });

  test('waits for a process that has the directory open without serving it, and says so in the end', async () => {
    const dataDir = await tempDir('share');
    const cache = await AgentContextCache.open({ dataDir, natsUrl: null, backup: { enabled: false } });
    await expect(AgentContextCache.share(dataDir, { ...quiet, timeoutMs: 100 })).rejects.toMatchObject({
      code: expect.stringMatching(/^(DIRECTORY_LOCKED|UNREACHABLE)$/),
      message: expect.stringContaining(dataDir),
    });
    const sharing = AgentContextCache.share(dataDir, quiet);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await cache.shutdown();
    await using shared = await sharing;
    await shared.set('key', 1);
  });

  test('ends its wait by the signal, and leaves nothing behind', async () => {
    const dataDir = await tempDir('share');
    const cache = await AgentContextCache.open({ dataDir, natsUrl: null, backup: { enabled: false } });
    const waiting = new AbortController();
    const sharing = AgentContextCache.share(dataDir, { ...quiet, signal: waiting.signal });
    setTimeout(() => waiting.abort(new Error('enough')), 50);
    await expect(sharing).rejects.toThrow('enough');
    expect(existsSync(join(dataDir, 'serve.json'))).toBe(false);
    await cache.shutdown();
    await using shared = await AgentContextCache.share(dataDir, quiet);
    expect(await shared.listKeys()).toEqual([]);
  });

  test('refuses wrong options before anything is created', async () => {
    const dataDir = join(await tempDir('share'), 'none');
    const wrong: readonly object[] = [
      { hungAfterMs: 10 },
      { hungAfterMs: 'soon' },
      { hungAfterms: 1_000 },
      { timeoutMs: -1 },
      { repeatWrites: 'yes' },
      { signal: 'stop' },
      { server: { port: 70_000 } },
      { server: { prot: 1 } },
      { dataDir: '.' },
      { restoreFrom: 'x' },
      { log: { keepUpdates: -1 } },
      { limits: { maxDepth: 0 } },
      { topics: ['not a * topic'] },
      { grants: [{ agent: 'a', read: ['b**c'] }] },
      { onError: 5 },
    ];
    for (const options of wrong) {
      const sharing = AgentContextCache.share(dataDir, { natsUrl: null, ...options } as ShareOptions);
      const refused = await sharing.then(
        () => 'not refused',
        ({ code }) => code,
      );
      expect([options, refused]).toEqual([options, 'INVALID_OPTION']);
    }
    await expect(AgentContextCache.share('', quiet)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    expect(existsSync(dataDir)).toBe(false);
  });

  test('gives each schema and limit of the holder to all', async () => {
    const dataDir = await tempDir('share');
    await using holder = await AgentContextCache.share(dataDir, { ...quiet, limits: { maxBytes: 100 } });
    await using other = await AgentContextCache.share(dataDir, quiet);
    for (const cache of [holder, other]) {
      await expect(cache.set('key', 'x'.repeat(200))).rejects.toMatchObject({ code: 'INVALID_VALUE' });
    }
  });
});

describe('a shared directory', () => {
  beforeAll(() => buildDist());

  test('is reached by commands, whichever process holds it', async () => {
    const dataDir = await tempDir('share');
    await using sharing = new Sharing(dataDir);
    await Promise.all([sharing.start(), sharing.start()].map(({ ready }) => ready));
    const of = (command: string, ...args: string[]) => run([command, ...args, '--data-dir', dataDir]);
    expect(await of('set', 'by-command', '"first"')).toMatchObject({ code: 0 });
    const holder = await sharing.holder();
    holder?.child.kill('SIGSTOP');
    expect(await of('get', 'by-command')).toMatchObject({ code: 0, stdout: '"first"\n' });
    await holder?.ended;
    expect(await of('set', 'by-command', '"second"')).toMatchObject({ code: 0 });
    expect(await of('get', 'by-command')).toMatchObject({ code: 0, stdout: '"second"\n' });
    expect(sharing.reported.failures).toEqual([]);
  });

  test('shows a retraction by one process to its holder, to a reader, and to the next holder', async () => {
    const dataDir = await tempDir('share');
    const holder = await AgentContextCache.share(dataDir, quiet);
    await using sharing = new Sharing(dataDir);
    const other = sharing.start();
    await other.ready;
    await using reader = await connect(dataDir, { onError: () => {} });
    await holder.set('station', 'open', 'trip', { agent: 'scout' });
    const { position, version } = await holder.set('station', 'closed', 'trip', { agent: 'scout' });
    const basis = [{ namespace: 'trip', key: 'station', version }];
    await holder.set('plan', 'bus', 'trip', { agent: 'planner', basis });
    const watch = reader.watch({ namespace: 'trip' });
    await reader.get('plan', 'trip');
    const [retraction, stale] = [
      { position, reason: 'misread' },
      { because: position, reason: 'misread' },
    ];
    expect(await other.ask('retract', position)).toMatchObject({
      ...{ retracted: position, changed: true, conflicts: [] },
      restored: [{ namespace: 'trip', key: 'station' }],
      marked: [{ namespace: 'trip', key: 'plan' }],
    });
    const seenBy = async (cache: typeof reader) => [
      await cache.entry('station', 'trip'),
      await cache.entry('plan', 'trip'),
    ];
    const expected = [
      expect.objectContaining({ value: 'open', agent: 'operator', retraction }),
      expect.objectContaining({ value: 'bus', stale }),
    ];
    for (const cache of [holder, reader]) expect(await seenBy(cache)).toEqual(expected);
    const heard = [await watch.next(), await watch.next()].map(({ value }) => value);
    expect(heard.map(({ key, retraction: taken, stale: mark }) => [key, taken ?? mark]).sort()).toEqual([
      ['plan', stale],
      ['station', retraction],
    ]);
    await watch.return?.();
    await holder.shutdown();
    await waitFor(async () => expect((await sharing.holder())?.child.pid).toBe(other.child.pid));
    // The reader finds the next holder by itself.
    await waitFor(async () => expect(await seenBy(reader)).toEqual(expected));
    expect(sharing.reported.failures).toEqual([]);
  });

  test('is shown by an inspector, whichever process holds it', async () => {
    const dataDir = await tempDir('share');
    await using sharing = new Sharing(dataDir);
    await Promise.all([sharing.start(), sharing.start()].map(({ ready }) => ready));
    const inspector = start(['inspect', '--data-dir', dataDir]);
    const all = ended(inspector);
    let printed = '';
    inspector.stdout.on('data', (piece) => {
      printed += piece;
    });
    const pids: unknown[] = [];
    for (let count = 1; count <= 2; count += 1) {
      const url = await waitFor(() => {
        const urls = printed.split('\n').filter(Boolean);
        expect(urls).toHaveLength(count);
        return new URL(urls[count - 1] as string);
      });
      const headers = { authorization: `Bearer ${url.hash.slice('#token='.length)}` };
      const holder = await sharing.holder();
      expect(await (await fetch(`${url.origin}/api/meta`, { headers })).json()).toMatchObject({
        pid: holder?.child.pid,
      });
      pids.push(holder?.child.pid);
      if (count === 1) await holder?.kill();
    }
    inspector.kill('SIGINT');
    expect(new Set(pids).size).toBe(2);
    expect(await all).toMatchObject({ code: 0, stderr: expect.stringContaining('has taken over') });
  });

  test('keeps a holder that must not be ended', async () => {
    const dataDir = await tempDir('share');
    await using sharing = new Sharing(dataDir, { hungAfterMs: null });
    const sharers = [sharing.start(), sharing.start()];
    await Promise.all(sharers.map(({ ready }) => ready));
    const holder = await sharing.holder();
    holder?.child.kill('SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(holder?.isRunning).toBe(true);
    const before = sharing.reported.acknowledged.size;
    holder?.child.kill('SIGCONT');
    await expect.poll(() => sharing.reported.acknowledged.size, { timeout: 30_000 }).toBeGreaterThan(before + 100);
    expect(sharing.reported.failures).toEqual([]);
  });
});

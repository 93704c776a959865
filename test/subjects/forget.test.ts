import { readFileSync, statSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { connect } from '../../src/client.ts';
import { INTERNALS } from '../../src/engine/internals.ts';
import { AgentContextCache, fileSubjectKeys, memorySubjectKeys, type OpenOptions, replay } from '../../src/index.ts';
import { asAgent } from '../../src/serve/apply-lines.ts';
import { startServer } from '../../src/serve/cache-server.ts';
import { FileSubjectKeys } from '../../src/subjects/file-subject-keys.ts';
import { KeyRing } from '../../src/subjects/key-ring.ts';
import type { SubjectKeyStore } from '../../src/types.ts';
import { all } from '../support/all.ts';
import { openCluster } from '../support/cluster.ts';
import { send, sendCommand } from '../support/http.ts';
import { subscribeRaw } from '../support/nats-wire.ts';
import { filesWith } from '../support/planted.ts';
import { startNats, startRedis } from '../support/servers.ts';
import { tempDir } from '../support/temp-dir.ts';

const SECRET = 'Karl-Johans-gate-1';
const CONTROL = 'untagged-control';

async function open(options: OpenOptions = {}): Promise<AgentContextCache> {
  const subjects = { keys: memorySubjectKeys() };
  const cache = await AgentContextCache.open({ natsUrl: null, onError: () => {}, subjects, ...options });
  onTestFinished(async () => void (await cache.shutdown({ timeoutMs: 1_000 })));
  return cache;
}

describe('forget', () => {
  test('makes a value unreadable at once for every reader of this cache', async () => {
    const cache = await open();
    await cache.set('a', { name: SECRET }, 'trip', { subject: 'u' });
    await cache.set('b', { name: SECRET, n: 1 }, 'trip', { subjects: { '/name': 'u' } });
    await cache.set('c', 'other', 'trip', { subject: 'v' });
    const view = cache.at(cache.position);
    await using branch = await cache.fork();
    const watch = cache.watch({ namespace: 'trip', since: 0 });
    const late = cache.watch({ namespace: 'trip' });
    await cache.set('a', { name: SECRET }, 'trip', { subject: 'u' });
    expect((await watch.next()).value.value).toEqual({ name: SECRET });
    const heard: unknown[] = [];
    cache.subscribe((update) => heard.push(update.value), { namespace: 'trip' });
    expect(branch.get('a', 'trip')).toEqual({ name: SECRET });
    expect(view.get('a', 'trip')).toEqual({ name: SECRET });
    const report = await cache.forget('u', { reason: 'asked', agent: 'clerk', meta: { ticket: 7 } });
    expect(report).toEqual({
      ...{ subject: 'u', position: 5, entries: 2, namespaces: ['trip'] },
      ...{ published: [], publishedSince: 1 },
    });
    for (const reader of [cache, view, branch, cache.at(3)]) {
      expect(reader.get('a', 'trip')).toBeUndefined();
      expect(reader.has('a', 'trip')).toBe(false);
      expect(reader.get('b', 'trip')).toEqual({ name: null, n: 1 });
      expect(reader.get('c', 'trip')).toBe('other');
      expect(reader.entry('a', 'trip')).toMatchObject({ value: null, forgotten: [''] });
      expect(reader.entry('b', 'trip')).toMatchObject({ value: { name: null, n: 1 }, forgotten: ['/name'] });
      expect(reader.listKeys('trip').sort()).toEqual(['a', 'b', 'c']);
      const shown =
        'health' in reader ? [...reader.entries('trip', {}), reader.entries('trip')] : [...reader.entries('trip', {})];
      expect(JSON.stringify(shown)).not.toContain(SECRET);
    }
    for (const each of [watch, late]) {
      const { value } = await each.next();
      expect(value.forgotten).toBeDefined();
      expect(JSON.stringify(value)).not.toContain(SECRET);
      await each.return?.();
    }
    const versions = await all(cache.history('a', 'trip'));
    expect(versions.map(({ forgotten, value }) => [forgotten, value])).toEqual([
      [[''], null],
      [[''], null],
    ]);
    const { changes } = await cache.changes({ since: 0, namespace: 'trip' });
    expect(JSON.stringify([changes, await cache.diff(0, cache), heard])).not.toContain(SECRET);
    expect(changes.find(({ key }) => key === 'a')).toMatchObject({ forgotten: [''] });
    expect(await cache.verify()).toMatchObject({ ok: true });
  });

  test('is recorded in the log, listed, and refuses what comes later', async () => {
    const cache = await open();
    await cache.set('a', SECRET, 'trip', { subject: 'u' });
    const updates = cache.watch({ namespace: '$forgotten' });
    await cache.as({ agent: 'clerk' }).set('b', SECRET, 'trip', { subject: 'v' });
    const first = await cache.forget('u', { reason: 'asked', agent: 'clerk' });
    expect((await updates.next()).value).toMatchObject({ key: 'u', agent: 'clerk', value: { reason: 'asked' } });
    expect(await cache.forget('u')).toEqual(first);
    expect(await cache.subjects()).toMatchObject([
      { subject: 'u', reason: 'asked', agent: 'clerk', forgottenAt: expect.any(Number) },
      { subject: 'v', forgottenAt: null },
    ]);
    await expect(cache.set('a', 1, 'trip', { subject: 'u' })).rejects.toMatchObject({ code: 'SUBJECT_FORGOTTEN' });
    await expect(cache.forget('w')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(cache.forget('', {})).rejects.toMatchObject({ code: 'INVALID_COMMAND' });
    await expect(cache.forget('v', { why: 'x' } as never)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(cache.forget('v', { reason: 'x'.repeat(1001) })).rejects.toMatchObject({ code: 'INVALID_COMMAND' });
    expect(cache.get('b', 'trip')).toBe(SECRET);
    expect(await cache.getOrSet('a', () => 'new', 'trip')).toBe('new');
  });

  test('is refused in a branch, and a merge brings what is encrypted', async () => {
    const cache = await open();
    await cache.set('a', 1, 'trip', { subject: 'u' });
    await using branch = await cache.fork();
    await branch.set('b', SECRET, 'trip', { subject: 'u' });
    await branch.set('a', 2, 'trip', { subject: 'u' });
    await cache.set('a', 3, 'trip', { subject: 'u' });
    await expect(branch.forget('u')).rejects.toMatchObject({ code: 'FORBIDDEN' });
    const seen: unknown[] = [];
    const onConflict = ({ ours, theirs }: { ours?: { value: unknown }; theirs?: { value: unknown } }) => {
      seen.push([ours?.value, theirs?.value]);
      return { value: 5 };
    };
    await cache.merge(branch, { onConflict: onConflict as never });
    expect(seen).toContainEqual([3, 2]);
    expect(cache.get('a', 'trip')).toBe(5);
    expect(cache.get('b', 'trip')).toBe(SECRET);
    await cache.forget('u');
    expect([cache.get('a', 'trip'), cache.get('b', 'trip'), branch.get('b', 'trip')]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  test('leaves the secret nowhere: not in files, snapshots, Redis, messages, nor in backups that were taken before', async () => {
    await using redis = await startRedis();
    await using nats = await startNats({ jetstream: false });
    const root = await tempDir('subjects');
    const dataDir = join(root, 'data');
    const keyFile = join(root, 'keys', 'subject.keys');
    const options = { subjects: { keys: keyFile }, natsUrl: nats.url, redisUrl: redis.url, topics: ['out'] };
    const backups = join(root, 'backups');
    const subscriber = await subscribeRaw(nats.url, ['out']);
    const cache = await open({ dataDir, ...options });
    for (let i = 0; i < 50; i += 1) {
      await cache.set(`k-${i}`, { text: `${SECRET} ${i}` }, 'trip', { subject: 'u', operationId: `op-${i}` });
      await cache.set(`m-${i}`, { text: `${SECRET} ${i}`, plain: CONTROL }, 'trip', { subjects: { '/text': 'u' } });
    }
    await cache.ask({ type: 'namespace.passivate', namespace: 'trip' });
    expect(cache.get('k-7', 'trip')).toEqual({ text: `${SECRET} 7` });
    await cache.backup();
    await cache.synced();
    await cp(dataDir, backups, { recursive: true });
    const { Redis } = await import('ioredis');
    const client = new Redis(redis.url);
    onTestFinished(() => client.disconnect());
    const inRedis = async (text: string) => {
      const found: string[] = [];
      for (const key of await client.keys('*')) {
        const dump = (await client.dumpBuffer(key)) ?? Buffer.alloc(0);
        const type = await client.type(key);
        const whole =
          type === 'string'
            ? await client.getBuffer(key)
            : type === 'hash'
              ? JSON.stringify(await client.hgetall(key))
              : '';
        if (dump.includes(text) || whole?.includes(text)) found.push(key);
      }
      return found;
    };
    // The control shows that the search would find it.
    expect(filesWith(dataDir, CONTROL).length).toBeGreaterThan(0);
    expect((await inRedis(CONTROL)).length).toBeGreaterThan(0);
    const published = () => subscriber.messages.map(({ payload }) => payload).join('\n');
    expect(published()).toContain(CONTROL);
    const digest = await cache.digest('trip');
    const line = JSON.parse(readFileSync(keyFile, 'utf8').split('\n')[1] as string) as { key: string };
    expect(filesWith(root, line.key)).toEqual([join('keys', 'subject.keys')]);
    const nowhere = async () => {
      expect([filesWith(root, SECRET), await inRedis(SECRET), published().includes(SECRET)]).toEqual([[], [], false]);
    };
    await nowhere();

    const report = await cache.forget('u', { reason: 'asked' });
    expect(report).toMatchObject({ entries: 100, namespaces: ['trip'] });
    expect(report.published).toEqual([
      { topic: 'out', updates: 100, positions: Array.from({ length: 100 }, (_, i) => i + 1) },
    ]);
    expect(filesWith(root, line.key)).toEqual([]);
    expect(filesWith(root, Buffer.from(line.key, 'base64'))).toEqual([]);
    await cache.synced();
    await nowhere();
    expect(statSync(keyFile).mode & 0o777).toBe(0o600);
    expect(await cache.digest('trip')).toBe(digest);
    expect(await cache.verify({ against: redis.url })).toMatchObject({ ok: true });
    await cache.shutdown();

    await using again = await open({ dataDir, ...options, redisUrl: undefined, natsUrl: null });
    await using old = await open({ dataDir: backups, ...options, redisUrl: undefined, natsUrl: null });
    const { cache: replayed } = await replay(again.readLog(), { subjects: options.subjects });
    for (const each of [again, old, replayed]) {
      expect(each.entry('k-7', 'trip')).toMatchObject({ value: null, forgotten: [''] });
      expect(each.get('m-7', 'trip')).toEqual({ text: null, plain: CONTROL });
      expect(await each.digest('trip')).toBe(digest);
    }
    await replayed.shutdown();
  }, 60_000);

  test('destroys the key at the next opening if the process ended between record and key', async () => {
    const root = await tempDir('subjects');
    const dataDir = join(root, 'data');
    const keyFile = join(root, 'subject.keys');
    const keys = fileSubjectKeys(keyFile);
    const cache = await open({
      dataDir,
      subjects: { keys: { ...bound(keys), destroy: () => Promise.reject(new Error('disk')) } },
    });
    await cache.set('a', SECRET, 'trip', { subject: 'u' });
    await expect(cache.forget('u')).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE' });
    expect(cache.get('a', 'trip')).toBeUndefined();
    expect(readFileSync(keyFile, 'utf8')).toContain('"key":');
    await cache.shutdown();
    await using next = await open({ dataDir, subjects: { keys: keyFile } });
    expect(next.get('a', 'trip')).toBeUndefined();
    await expect.poll(() => readFileSync(keyFile, 'utf8')).not.toContain('"key":');
  });

  test('reaches clients, and agents with a token of their own may not forget', async () => {
    const cache = await open();
    const server = await startServer(cache);
    onTestFinished(() => server.close());
    const client = await connect(server.url, { token: server.token });
    onTestFinished(() => client.shutdown());
    await client.set('a', { name: SECRET }, 'trip', { subject: 'u' });
    await client.update('a', (value) => ({ ...(value as object), n: 1 }), 'trip');
    expect(await client.get('a', 'trip')).toEqual({ name: SECRET, n: 1 });
    expect(JSON.stringify(await all(cache.readLog()))).not.toContain(SECRET);
    const view = await client.at(2);
    expect(await view.get('a', 'trip')).toEqual({ name: SECRET, n: 1 });
    expect((await send(server, '/v1/dump', {})).body).toContain(SECRET);
    expect(await client.subjects()).toMatchObject([{ subject: 'u', forgottenAt: null }]);
    expect(await client.forget('u', { reason: 'asked' })).toMatchObject({ entries: 1, position: 3 });
    expect(await client.get('a', 'trip')).toBeUndefined();
    expect(await client.entry('a', 'trip')).toMatchObject({ forgotten: [''] });
    expect(await view.get('a', 'trip')).toBeUndefined();
    await expect(client.set('a', 1, 'trip', { subject: 'u' })).rejects.toMatchObject({ code: 'SUBJECT_FORGOTTEN' });
    const dump = await send(server, '/v1/dump', {});
    expect(dump.body).not.toContain(SECRET);
    expect(dump.body).toContain('"forgotten":[""]');
    const ofAgent = () => asAgent('planner', { type: 'subjects.forget', subject: 'u' });
    expect(ofAgent).toThrow(expect.objectContaining({ code: 'FORBIDDEN' }));
    const refused = await sendCommand(server, { type: 'subjects.forget', subject: 'none' });
    expect([refused.status, refused.body]).toEqual([404, expect.stringContaining('NOT_FOUND')]);
  });

  test('reaches every node of a cluster, whose messages hold no secret', async () => {
    const keys = memorySubjectKeys();
    const { nodes, settle, stream } = await openCluster(3, { subjects: { keys } });
    const [one, two, three] = nodes as [AgentContextCache, AgentContextCache, AgentContextCache];
    await one.set('a', SECRET, 'trip', { subject: 'u' });
    const { key } = await two.append(SECRET, 'trip', { subject: 'u', prefix: 'm:' });
    await two.set('control', CONTROL, 'trip');
    await settle();
    expect([two.get('a', 'trip'), three.get(key, 'trip')]).toEqual([SECRET, SECRET]);
    await three.forget('u', { reason: 'asked' });
    await settle();
    for (const node of nodes) {
      expect(node.entry('a', 'trip')).toMatchObject({ forgotten: [''] });
      expect(node.entry('u', '$forgotten')).toMatchObject({ value: { reason: 'asked' } });
      await expect(node.set('b', 1, 'trip', { subject: 'u' })).rejects.toMatchObject({ code: 'SUBJECT_FORGOTTEN' });
    }
    expect(new Set(await Promise.all(nodes.map((node) => node.digest()))).size).toBe(1);
    const sent = Buffer.concat(stream.messages.map(({ data }) => data));
    expect([sent.includes(SECRET), sent.includes(CONTROL)]).toEqual([false, true]);
  });

  test('without the keys a value is neither shown nor overwritten unseen', async () => {
    const root = await tempDir('subjects');
    const dataDir = join(root, 'data');
    const cache = await open({ dataDir, subjects: { keys: join(root, 'subject.keys') } });
    await cache.set('a', SECRET, 'trip', { subject: 'u' });
    await cache.shutdown();
    await using blind = await open({ dataDir, subjects: undefined });
    expect(() => blind.get('a', 'trip')).toThrow(expect.objectContaining({ code: 'KEY_UNAVAILABLE' }));
    expect(blind.entry('a', 'trip')).toMatchObject({ value: null, sealed: [''] });
    await expect(blind.update('a', () => 1, 'trip')).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE' });
    await blind.shutdown();
    const inside = { keys: join(dataDir, 'subject.keys') };
    await expect(open({ dataDir, subjects: inside })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(open({ subjects: { keys: 7 as never } })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });
});

describe('a key that is destroyed behind the cache', () => {
  test.each(['file', 'memory'])('encrypts nothing any more (%s)', async (kind) => {
    const keyFile = join(await tempDir('subjects'), 'subject.keys');
    const keys = kind === 'file' ? new FileSubjectKeys(keyFile) : memorySubjectKeys();
    const cache = await open({ subjects: { keys } });
    await cache.set('a', SECRET, 'trip', { subject: 'u' });
    await (kind === 'file' ? new FileSubjectKeys(keyFile) : keys).destroy('u');
    expect((await cache.subjects()).map(({ forgottenAt }) => forgottenAt)).toEqual([expect.any(Number)]);
    await cache.set('b', 'other', 'trip', { subject: 'v' });
    await expect(cache.set('a', 'again', 'trip', { subject: 'u' })).rejects.toMatchObject({
      code: 'SUBJECT_FORGOTTEN',
    });
    expect(cache.entry('a', 'trip')).toMatchObject({ value: null, forgotten: [''] });
    expect(cache.get('b', 'trip')).toBe('other');
  });
});

describe('an update after a restart', () => {
  /** Writes two values, forgets `u`, and opens the directory as another process does: no key has been loaded yet. */
  async function reopened(storeOf: (path: string) => SubjectKeyStore): Promise<AgentContextCache> {
    const root = await tempDir('subjects');
    const dataDir = join(root, 'data');
    const keyFile = join(root, 'subject.keys');
    const before = await open({ dataDir, subjects: { keys: new FileSubjectKeys(keyFile) } });
    const person = { email: 'EMAIL', phone: SECRET };
    await before.set('part', person, 'trip', { subjects: { '/email': 'u', '/phone': 'v' } });
    await before.set('whole', SECRET, 'trip', { subject: 'u' });
    await before.forget('u');
    await before.shutdown();
    return open({ dataDir, subjects: { keys: storeOf(keyFile) } });
  }
  const change = (before: unknown) => ({ ...(before as object), n: 1 });

  test('keeps the living subjects of a value encrypted', async () => {
    const cache = await reopened((path) => new FileSubjectKeys(path));
    expect((await cache.update('part', change, 'trip')).value).toEqual({ email: null, phone: SECRET, n: 1 });
    expect(JSON.stringify(await all(cache.readLog()))).not.toContain(SECRET);
  });

  test('refuses to overwrite a forgotten value readable', async () => {
    const cache = await reopened((path) => new FileSubjectKeys(path));
    await expect(cache.update('whole', () => 'new', 'trip')).rejects.toMatchObject({ code: 'SUBJECT_FORGOTTEN' });
    expect((await cache.update('whole', () => 'new', 'trip', { subject: 'w' })).value).toBe('new');
  });

  test('knows the subject of a key that another process has destroyed', async () => {
    const root = await tempDir('subjects');
    const keyFile = join(root, 'subject.keys');
    const dataDir = join(root, 'data');
    const before = await open({ dataDir, subjects: { keys: new FileSubjectKeys(keyFile) } });
    await before.set('a', { email: 'EMAIL', phone: SECRET }, 'trip', { subjects: { '/email': 'u', '/phone': 'v' } });
    await before.shutdown();
    const store = new FileSubjectKeys(keyFile);
    const cache = await open({ dataDir, subjects: { keys: store } });
    new FileSubjectKeys(keyFile).destroy('u');
    KeyRing.of(store).forget(store.refresh());
    expect((await cache.update('a', change, 'trip')).value).toEqual({ email: null, phone: SECRET, n: 1 });
    expect(JSON.stringify(await all(cache.readLog()))).not.toContain(SECRET);
  });

  test('is refused while a subject is not known, unless it names one', async () => {
    const cache = await reopened((path) => new FileSubjectKeys(path));
    const { subjects } = cache[INTERNALS].parts;
    const tagsOf = vi.spyOn(subjects, 'tagsOf').mockReturnValue(undefined);
    const position = cache.position;
    await expect(cache.update('part', change, 'trip')).rejects.toMatchObject({ code: 'KEY_UNAVAILABLE' });
    expect(cache.position).toBe(position);
    await cache.update('part', change, 'trip', { subjects: { '/phone': 'v' } });
    tagsOf.mockRestore();
    expect(JSON.stringify(await all(cache.readLog()))).not.toContain(SECRET);
  });

  test('without the key store does not overwrite a forgotten value', async () => {
    const root = await tempDir('subjects');
    const dataDir = join(root, 'data');
    const cache = await open({ dataDir });
    await cache.set('a', SECRET, 'trip', { subject: 'u' });
    await cache.forget('u');
    await cache.shutdown();
    const blind = await open({ dataDir, subjects: undefined });
    expect(blind.get('a', 'trip')).toBeUndefined();
    await expect(blind.update('a', () => 'new', 'trip')).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });
});

function bound(keys: SubjectKeyStore): SubjectKeyStore {
  return {
    keyFor: (subject) => keys.keyFor(subject),
    find: (id) => keys.find(id),
    destroy: (subject) => keys.destroy(subject),
    list: () => keys.list(),
  };
}

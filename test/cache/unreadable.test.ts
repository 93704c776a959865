import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { AgentContextCache } from '../../src/index.ts';
import { startRedis } from '../support/servers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { eventually } from '../support/waiting.ts';

/** Flips a byte in every record of a namespace in the directory's state table. */
async function damage(dataDir: string, namespace: string): Promise<number> {
  const db = new ClassicLevel<string, Buffer>(join(dataDir, 'db', 'index'), { valueEncoding: 'buffer' });
  let count = 0;
  for await (const [key, value] of db.iterator()) {
    if (!key.startsWith('!state!p') || !key.includes(namespace)) continue;
    value[value.length - 1] = (value.at(-1) ?? 0) ^ 1;
    await db.put(key, value);
    count += 1;
  }
  await db.close();
  return count;
}

it('reads a namespace whose state on disk is damaged from the log, and reports that the index is rebuilt', async () => {
  const dataDir = await tempDir('unreadable');
  const first = await AgentContextCache.open({ dataDir });
  await first.set('a', 1, 'broken');
  await first.set('a', 1, 'sound');
  await first.shutdown();
  expect(await damage(dataDir, 'broken')).toBeGreaterThan(0);

  const errors: string[] = [];
  const onError = ({ message }: Error, { source }: { readonly source: string }) => errors.push(`${source}: ${message}`);
  const cache = await AgentContextCache.open({ dataDir, onError });
  expect(cache.get('a', 'broken')).toBe(1);
  expect(await cache.set('a', 2, 'broken')).toMatchObject({ version: 2 });
  expect(await cache.set('a', 2, 'sound')).toMatchObject({ version: 2 });
  expect([cache.get('a', 'broken'), cache.get('a', 'sound')]).toEqual([2, 2]);
  const reached = () => cache.health().followers.find(({ name }) => name === 'index')?.checkpoint;
  await eventually(() => expect(reached()).toBe(4));
  // That it is complete again is no error.
  expect(errors.filter((message) => message.startsWith('index: The index in '))).toEqual([
    expect.stringContaining(`index: The index in ${dataDir} has failed and is opened again: `),
    expect.stringMatching(
      /^index: The index in .* is rebuilt from position 0 to \d \(.*\)\. Reads and writes work meanwhile\.$/,
    ),
  ]);
  await cache.shutdown();
});

it('repairs a Redis that was reset to an earlier state, even without new writes', async () => {
  await using redis = await startRedis();
  const dataDir = await tempDir('put-back');
  const open = () => AgentContextCache.open({ dataDir, redisUrl: redis.url });
  const first = await open();
  await first.set('early', 1);
  await first.set('late', 2);
  await first.synced();
  await first.shutdown();
  const client = new Redis(redis.url);
  for (const log of await client.hkeys(':positions')) await client.hset(':positions', log, '1');
  await client.del('default:late');

  const second = await open();
  expect((await second.shutdown()).undelivered).toEqual([]);
  expect(await client.exists('default:late')).toBe(1);
  client.disconnect();
});

it('refuses invalid topics and namespaces before anything has changed', async () => {
  const cache = new AgentContextCache({ natsUrl: null, onError: () => {} });
  for (const topics of ['abc', {}, null, [1]]) {
    const refused = cache.ask({ type: 'topics.set', topics: topics as string[] });
    await expect(refused).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  }
  expect(cache.getTopicsList()).toEqual([]);
  const namespace = null as unknown as string;
  await expect(cache.ask({ type: 'context.set', namespace, key: 'k', value: 1 })).rejects.toMatchObject({
    code: 'INVALID_NAME',
  });
  await expect(cache.ask({ type: 'context.get', namespace, key: 'k' })).rejects.toMatchObject({ code: 'INVALID_NAME' });
  expect(cache.listKeys()).toEqual([]);
  await cache.shutdown();
});

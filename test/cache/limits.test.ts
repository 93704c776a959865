import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { connect } from '../../src/client.ts';
import { AgentContextCache, replay } from '../../src/index.ts';
import { startServer } from '../../src/server.ts';
import { codeOf } from '../support/cache.ts';
import { tempDir } from '../support/temp-dir.ts';

const BASE = { natsUrl: null, sync: false } as const;
const LONG = '€'.repeat(10_000);

describe('the limits of a cache', () => {
  test.each([
    [{ maxKeyBytes: 0 }, /limits\.maxKeyBytes must be an integer from 1 to 65536/],
    [{ maxKeyBytes: 65_537 }, /limits\.maxKeyBytes/],
    [{ maxKeyBytes: 1.5 }, /limits\.maxKeyBytes/],
    [{ maxKeyBytes: '8' as never }, /limits\.maxKeyBytes/],
    [{ maxDepth: 0 }, /limits\.maxDepth must be an integer from 1 up, or Infinity/],
    [{ maxBytes: Number.NaN }, /limits\.maxBytes/],
    [{ maxKeysBytes: 1 } as object, /Did you mean maxKeyBytes/],
  ])('refuse %j before anything is opened', async (limits, message) => {
    const dataDir = join(await tempDir('limits'), 'data');
    await expect(AgentContextCache.open({ ...BASE, dataDir, limits })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringMatching(message),
    });
    expect(() => new AgentContextCache({ natsUrl: null, limits })).toThrow(message);
    await using opened = await AgentContextCache.open({ ...BASE, dataDir });
    expect(opened.position).toBe(0);
  });

  test('refuse an append whose keys could be too long, before anything has changed', async () => {
    await using cache = new AgentContextCache({ natsUrl: null, limits: { maxKeyBytes: 17 } });
    await expect(cache.append(1)).rejects.toMatchObject({
      code: 'INVALID_NAME',
      message: expect.stringContaining('append gives keys of up to 18 bytes, and limits.maxKeyBytes allows 17. Raise'),
    });
    expect([cache.position, cache.listKeys()]).toEqual([0, []]);
    await using other = new AgentContextCache({ natsUrl: null, limits: { maxKeyBytes: 20 } });
    expect(await codeOf(other.append(1, 'n', { prefix: 'abc' }))).toBe('INVALID_NAME');
    expect(await other.append(1, 'n', { prefix: 'ab' })).toMatchObject({ key: 'aba1' });
  });

  test('bound the keys that are set, and a client learns them from the server', async () => {
    await using cache = new AgentContextCache({ natsUrl: null, limits: { maxKeyBytes: 4 } });
    await using server = await startServer(cache);
    await using remote = await connect(server.url, { token: server.token });
    for (const writer of [cache, remote]) {
      await writer.set('four', 1);
      expect(await codeOf(writer.set('fiver', 1))).toBe('INVALID_NAME');
      expect(await codeOf(writer.set('€€', 1))).toBe('INVALID_NAME');
    }
    expect(cache.position).toBe(2);
  });

  test('leave what was written with larger ones readable, removable, restorable and replayable', async () => {
    const parent = await tempDir('limits');
    const [dataDir, restored] = [join(parent, 'data'), join(parent, 'restored')];
    {
      await using cache = await AgentContextCache.open({ ...BASE, dataDir, limits: { maxKeyBytes: 65_536 } });
      await cache.set(LONG, 'long', 'n');
      await cache.set('', 'empty', 'n');
      await cache.backup();
      await cache.set(LONG, 'longer', 'n', { ttl: '1h' });
    }
    const { cache: replayed } = await replay(dataDir, { natsUrl: null });
    await using copy = await AgentContextCache.open({ ...BASE, dataDir: restored, restoreFrom: dataDir });
    {
      await using cache = await AgentContextCache.open({ ...BASE, dataDir });
      for (const each of [cache, replayed, copy]) {
        expect([each.get(LONG, 'n'), each.get('', 'n')]).toEqual(['longer', 'empty']);
        expect(await codeOf(each.set(LONG, 1, 'n'))).toBe('INVALID_NAME');
        expect(await each.touch(LONG, 'n', { expiresAt: null })).toMatchObject({ changed: true });
        expect(await each.delete(LONG, 'n')).toMatchObject({ changed: true });
      }
      expect(cache.at(1).get(LONG, 'n')).toBe('long');
      await cache.compact({ keepUpdates: 1 });
    }
    await replayed.shutdown();
    await using again = await AgentContextCache.open({ ...BASE, dataDir });
    expect([...again.keys('n')]).toEqual(['']);
    expect((await again.verify()).problems).toEqual([]);
  });

  test('are within what HTTP carries', async () => {
    await using cache = new AgentContextCache({ natsUrl: null, limits: { maxKeyBytes: 65_536 } });
    await using server = await startServer(cache);
    const key = '€'.repeat(21_845);
    await cache.set(key, 1, 'n');
    await cache.set('', 2, 'n');
    const history = async (of: string) => {
      const headers = { authorization: `Bearer ${server.token}` };
      const response = await fetch(`${server.url}/v1/history?namespace=n&key=${encodeURIComponent(of)}`, { headers });
      return JSON.parse(await response.text()) as { value: unknown };
    };
    expect(await history(key)).toMatchObject({ value: 1 });
    expect(await history('')).toMatchObject({ value: 2 });
  });
});

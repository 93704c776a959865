import { encode } from '@msgpack/msgpack';
import { describe, expect, it } from 'vitest';
import { SimulatedClock } from 'xstate';
import { AgentContextCache, RedisContextCache } from '../../../src/index.ts';
import { startRedis } from '../../support/servers.ts';
import { eventually } from '../../support/waiting.ts';
import { still } from '../crash-check.ts';
import { faultSeed, Random } from '../support.ts';
import { mirrorDifferences } from './compare.ts';
import { callsThatWait } from './local-calls.ts';
import { prefixOf, RedisRig } from './redis-rig.ts';
import { lastDifferences } from './side.ts';
import { TopicReader } from './topic-reader.ts';
import { COUNTER, SteadyWriter } from './writer.ts';

/** Makes a cache in memory with some updates, and the messages of all of them. */
async function written(): Promise<{ cache: AgentContextCache; payloads: string[] }> {
  // On a busy machine an entry would expire before the comparison.
  const cache = new AgentContextCache({ clock: still });
  const payloads: string[] = [];
  cache.subscribe(({ position, operation, namespace, key, value }) => {
    if (operation === 'touch') return;
    const word = operation === 'expire' ? 'delete' : operation;
    payloads.push(JSON.stringify({ position, event_data: { operation: word, namespace, key, value } }));
  });
  const writer = new SteadyWriter(cache, new Random(faultSeed()));
  writer.pause();
  for (let i = 0; i < 200; i += 1) writer.tick();
  await cache.flush();
  return { cache, payloads };
}

function readerOf(payloads: readonly string[]): TopicReader {
  const reader = new TopicReader();
  for (const payload of payloads) reader.take(payload);
  return reader;
}

describe('the comparison of cache and subscriber', () => {
  it('finds no difference without one, with repeated messages or without', async () => {
    const { cache, payloads } = await written();
    const reader = readerOf([...payloads.slice(0, 100), ...payloads.slice(50)]);
    expect(reader.differences(cache, false)).toEqual([]);
    expect(await reader.missing(cache)).toEqual([]);
    expect(reader.repeated).toBe(50);
    await cache.shutdown();
  });

  it('finds any single dropped message', async () => {
    const { cache, payloads } = await written();
    for (let i = 0; i < payloads.length; i += 37) {
      const missing = await readerOf(payloads.filter((_, index) => index !== i)).missing(cache);
      expect(missing).toEqual([JSON.parse(payloads[i] ?? '').position]);
    }
    await cache.shutdown();
  });

  it('finds from the state alone that the last message of a key was dropped', async () => {
    const { cache, payloads } = await written();
    const last = payloads.findLastIndex((payload) => payload.includes(`"key":"${COUNTER.key}"`));
    expect(readerOf(payloads.toSpliced(last, 1)).differences(cache, false)).toHaveLength(1);
    await cache.shutdown();
  });

  it('finds two messages in the wrong order, and one with another value', async () => {
    const { cache, payloads } = await written();
    const [first = '', second = '', ...rest] = payloads;
    expect(readerOf([second, first, ...rest]).outOfOrder(false)).toHaveLength(1);
    const forged = payloads.map((payload) => payload.replace('"value":7}', '"value":8}'));
    expect(await readerOf(forged).missing(cache)).toHaveLength(1);
    await cache.shutdown();
  });

  it('finds a late message, unless another one has replaced it and the ring has discarded it', async () => {
    const { cache, payloads } = await written();
    const counts = payloads.filter((payload) => payload.includes(`"key":"${COUNTER.key}"`));
    const late = (payload = '') => readerOf([...payloads.filter((each) => each !== payload), payload]);
    expect(late(counts[7]).differences(cache, true)).toEqual([]);
    expect(late(counts[7]).differences(cache, false)).toHaveLength(1);
    // Found as late, and by the state that is wrong because of it.
    expect(late(counts.at(-1)).differences(cache, true)).toHaveLength(2);
    await cache.shutdown();
  });
});

describe('the comparison of cache and mirror', () => {
  it('finds every kind of change that bypasses the cache', async () => {
    await using rig = await RedisRig.start();
    await rig.settled('before the control');
    const [side] = rig.sides;
    if (side === undefined) throw new Error('There is no cache.');
    const prefix = prefixOf(side.name);
    const key = `${prefix}${COUNTER.namespace}:${COUNTER.key}`;
    const value = (await rig.admin.getBuffer(key)) as Buffer;
    const put = () => rig.admin.set(key, value);
    const index = `${prefix}:keys:${COUNTER.namespace}`;
    const found = () => mirrorDifferences(rig.admin, prefix, side.cache);
    const changes: [says: RegExp, change: () => Promise<unknown>, undo: () => Promise<unknown>][] = [
      [/^steady:counter: .*altered/, () => rig.admin.set(key, Buffer.from(encode('altered'))), put],
      [/lacks steady:counter/, () => rig.admin.del(key), put],
      [/^steady:counter: .*,\d+\] in the mirror/, () => rig.admin.pexpire(key, 100_000), put],
      [/has steady:counterx/, () => rig.admin.set(`${key}x`, value), () => rig.admin.del(`${key}x`)],
      [
        /^x is listed/,
        () => rig.admin.sadd(`${prefix}:namespaces`, 'x'),
        () => rig.admin.srem(`${prefix}:namespaces`, 'x'),
      ],
      [/^the index of steady/, () => rig.admin.sadd(index, 'x'), () => rig.admin.srem(index, 'x')],
    ];
    for (const [says, change, undo] of changes) {
      const finding = () => found().then((differences) => differences.some((difference) => says.test(difference)));
      expect(await finding(), `${says} before`).toBe(false);
      await change();
      expect(await finding(), `${says} after`).toBe(true);
      await undo();
    }
    // Entries of the writer expire meanwhile.
    expect(await lastDifferences(found)).toEqual([]);
  });

  it('finds an older value that follows a newer one', async () => {
    await using rig = await RedisRig.start();
    await rig.settled('before the control');
    const key = `${prefixOf('durable')}${COUNTER.namespace}:${COUNTER.key}`;
    // Lower than any value of the counter.
    await rig.admin.set(key, Buffer.from(encode(0)));
    await eventually(() => expect(rig.watches[1]?.stale.length).toBeGreaterThan(0));
    expect(rig.watches[0]?.stale).toEqual([]);
  });
});

describe('the search for local calls that wait', () => {
  it('finds none if no call waits', async () => {
    const cache = new AgentContextCache();
    expect(await callsThatWait(cache, true)).toEqual([]);
    expect(await callsThatWait(cache, false)).toEqual([]);
    await cache.shutdown();
  });

  it('finds all of them if the cache reads from and writes to Redis', async () => {
    await using redis = await startRedis();
    // Its deadlines never come: a call that was given up would be refused, not waiting.
    const primaryCache = new RedisContextCache({ url: redis.url, clock: new SimulatedClock() });
    const cache = new AgentContextCache({ primaryCache, onError: () => {} });
    await cache.set('local', 1, 'local');
    redis.pause();
    const waiting = await callsThatWait(cache as unknown as AgentContextCache, true);
    expect(waiting).toEqual(expect.arrayContaining(['get', 'set', 'touch', 'batch', 'delete', 'clearNamespace']));
    const ended = callsThatWait(cache as unknown as AgentContextCache, false, 200);
    expect(await ended).toEqual(expect.arrayContaining(['set', 'batch', 'dropNamespace']));
    redis.resume();
    await cache.shutdown({ timeoutMs: 0 });
  });
});

import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { MirrorMismatchError } from '../../../src/backends/mirror-position.ts';
import { RedisContextCache } from '../../../src/backends/redis/redis-context-cache.ts';
import { RespWriter } from '../../../src/backends/redis/resp-writer.ts';
import { encode } from '../../../src/core/encoding/codec.ts';
import type { Update } from '../../../src/core/update.ts';
import type { JsonValue } from '../../../src/core/value.ts';
import { failureOf, LATER, never, updateAt } from '../../support/backends.ts';
import { fcOptions } from '../../support/property.ts';
import { startRedis, type TestServer } from '../../support/servers.ts';

let server: TestServer;
let other: Redis;
const caches: RedisContextCache[] = [];

beforeAll(async () => {
  server = await startRedis();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});
beforeEach(async () => {
  other = new Redis(server.url);
  await other.flushall();
  await other.config('RESETSTAT');
});
afterEach(() => {
  for (const cache of caches.splice(0)) cache.close();
  other.disconnect();
});

function open(url = server.url): RedisContextCache {
  const cache = new RedisContextCache({ url });
  caches.push(cache);
  return cache;
}

const mark = (after: number, through = after + 1) => ({ log: 'l', after, through });

function set(position: number, value: number, key = 'key'): Update {
  return updateAt(position, 'set', { key, value });
}

/** How often Redis has carried out a command. */
async function calls(command: string): Promise<number> {
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await other.info('commandstats'))?.[1] ?? 0);
}

describe('a batch of sets and removals', () => {
  it('is a transaction, the next one without being asked for the position again', async () => {
    const cache = open();
    await cache.applyUpdates([set(1, 1), set(2, 2, 'gone'), set(3, 3, 'kept')], mark(0, 3), never);
    await cache.applyUpdates([updateAt(4, 'delete', { key: 'gone' }), set(5, 5)], mark(3, 5), never);
    expect([await calls('exec'), await calls('evalsha'), await calls('eval')]).toEqual([2, 0, 0]);
    expect(await calls('watch')).toBe(3);
    expect((await other.smembers(':keys:space')).sort()).toEqual(['kept', 'key']);
    expect(await cache.getMany(['key', 'gone', 'kept'], 'space')).toEqual([5, undefined, 3]);
    expect(await cache.appliedPosition('l', never)).toBe(5);
  });

  it('with one that looks first is a script, and so is in order with those before and after it', async () => {
    const cache = open();
    await cache.applyUpdates([updateAt(1, 'set', { value: 1, expiresAt: LATER })], mark(0), never);
    await cache.applyUpdates([set(2, 2), updateAt(3, 'touch', { expiresAt: LATER + 5 })], mark(1, 3), never);
    await cache.applyUpdates([set(4, 4, 'more')], mark(3), never);
    expect([await calls('exec'), (await calls('evalsha')) + (await calls('eval'))]).toEqual([2, 2]);
    expect(await other.pexpiretime('space:key')).toBe(LATER + 5);
    expect(await cache.appliedPosition('l', never)).toBe(4);
  });

  it('takes the last of each key, and expiries with it', async () => {
    const cache = open();
    const updates = [
      set(1, 1),
      updateAt(2, 'delete'),
      updateAt(3, 'set', { value: 3, expiresAt: LATER }),
      set(4, 4, 'b'),
    ];
    await cache.applyUpdates([...updates, updateAt(5, 'expire', { key: 'b' })], mark(0, 5), never);
    expect(await cache.listKeys('space')).toEqual(['key']);
    expect([await cache.get('key', 'space'), await other.pexpiretime('space:key')]).toEqual([3, LATER]);
    await cache.applyUpdates([set(6, 6)], mark(5), never);
    expect(await other.pexpiretime('space:key')).toBe(-1);
  });

  it('is refused whole where the position has changed since it was looked at', async () => {
    const [old, newer] = [open(), open()];
    await old.applyUpdates([set(1, 1)], mark(0), never);
    await newer.applyUpdates([set(2, 2)], mark(1), never);
    // It has come already, by another way.
    await old.applyUpdates([set(2, -2)], mark(1), never);
    expect(await old.get('key', 'space')).toBe(2);
    await old.resetPosition('l', 1, never);
    const failure = await failureOf(() => newer.applyUpdates([set(3, 3)], mark(2), never));
    expect(failure).toBeInstanceOf(MirrorMismatchError);
    expect(failure).toMatchObject({ stored: 1 });
    expect(await old.get('key', 'space')).toBe(2);
  });

  it('gets through where another log is mirrored here at the same time', async () => {
    const cache = open();
    for (let position = 1; position <= 5; position += 1) {
      await other.hset(':positions', 'another', position);
      await cache.applyUpdates([set(position, position)], mark(position - 1), never);
    }
    expect(await cache.get('key', 'space')).toBe(5);
    expect(await other.hgetall(':positions')).toEqual({ another: '5', l: '5' });
  });

  it('several at a time are taken one after the other', async () => {
    const cache = open();
    const batches = [0, 1, 2, 3].map((after) => cache.applyUpdates([set(after + 1, after)], mark(after), never));
    await Promise.all(batches);
    expect([await cache.get('key', 'space'), await cache.appliedPosition('l', never)]).toEqual([3, 4]);
  });

  it('that Redis carries out in part makes the mirror copy everything again', async () => {
    const cache = open();
    await cache.applyUpdates([set(1, 1)], mark(0), never);
    await other.del(':keys:space');
    await other.set(':keys:space', 'theirs');
    expect(await failureOf(() => cache.applyUpdates([set(2, 2)], mark(1), never))).toMatchObject({
      code: 'BACKEND_FAILED',
      message: expect.stringMatching(/WRONGTYPE.*prefix/),
    });
    expect(await cache.appliedPosition('l', never)).toBeUndefined();
  });

  it('is a script where the user may not watch', async () => {
    await other.call('ACL', ['SETUSER', 'agent', 'on', '>pass', '~*', '+@all', '-watch']);
    const cache = open(server.url.replace('//', '//agent:pass@'));
    await cache.applyUpdates([set(1, 1)], mark(0), never);
    await cache.applyUpdates([set(2, 2)], mark(1), never);
    expect([await cache.get('key', 'space'), await cache.appliedPosition('l', never)]).toEqual([2, 2]);
    expect(await calls('exec')).toBe(0);
    await other.call('ACL', ['DELUSER', 'agent']);
  });

  it('is refused, and not tried for ever, where the position is none', async () => {
    await other.hset(':positions', 'l', 'none');
    expect(await failureOf(() => open().applyUpdates([set(1, 1)], mark(0), never))).toBeInstanceOf(MirrorMismatchError);
  });
});

/** A word of a command: a text, a text in two parts, or a value. */
type Word = string | readonly [string, string] | { readonly value: JsonValue };

function plainWord(word: Word): readonly (string | Buffer)[] {
  const bytes = typeof word === 'string' ? word : 'value' in word ? encode(word.value) : word.join('');
  return [`$${Buffer.byteLength(bytes)}\r\n`, bytes, '\r\n'];
}

it('writes any words as the protocol has them, each time into the same buffer', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.tuple(fc.constantFrom('a', 'é', '語'), fc.nat(1200)).map(([unit, times]) => unit.repeat(times)),
  );
  const word: fc.Arbitrary<Word> = fc.oneof(
    text,
    fc.tuple(text, text).filter(([one, other]) => (one + other).isWellFormed()),
    fc.jsonValue().map((value) => ({ value: value as JsonValue })),
    text.map((value) => ({ value })),
  );
  const writer = new RespWriter();
  fc.assert(
    fc.property(fc.array(fc.array(word, { minLength: 1 }), { size: 'max', maxLength: 20 }), (commands) => {
      writer.start();
      for (const words of commands) {
        writer.begin(words.length);
        for (const each of words) {
          if (typeof each === 'string') writer.text(each);
          else if ('value' in each) writer.value(each.value);
          else writer.text(...each);
        }
      }
      const plain = commands.flatMap((words) => [`*${words.length}\r\n`, ...words.flatMap(plainWord)]);
      expect(writer.finish().toString('latin1')).toBe(
        Buffer.concat(plain.map((part) => Buffer.from(part as string))).toString('latin1'),
      );
      expect(writer.commands).toBe(commands.length);
    }),
    fcOptions(),
  );
});

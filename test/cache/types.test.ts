import { describe, expect, expectTypeOf, it } from 'vitest';
import type { KeyOf, NamespaceOf } from '../../src/core/namespace-types.ts';
import {
  type Acknowledgement,
  AgentContextCache,
  type BaseContextCache,
  type CacheHealth,
  type ContextCommand,
  type Entry,
  type InMemoryContextCache,
  type JsonValue,
  type RedisContextCache,
} from '../../src/index.ts';
import { LateCache } from '../support/cache.ts';

type Spaces = {
  auth: { session_token: string; attempts: number };
  trip: { plan: readonly string[] | null };
  default: { greeting: string };
};

/** Whether a method may be called so. */
type Takes<Method, Arguments extends readonly unknown[]> = Method extends (...given: Arguments) => unknown
  ? true
  : false;

/** Only for the compiler: never called. */
const typed = (cache: AgentContextCache<Spaces>) => {
  expectTypeOf(cache.get('session_token', 'auth')).toEqualTypeOf<string | undefined>();
  expectTypeOf(cache.get('attempts', 'auth')).toEqualTypeOf<number | undefined>();
  expectTypeOf(cache.get('plan', 'trip')).toEqualTypeOf<readonly string[] | null | undefined>();
  expectTypeOf(cache.get('greeting')).toEqualTypeOf<string | undefined>();
  expectTypeOf(cache.entry('attempts', 'auth')).toEqualTypeOf<Entry<number> | undefined>();
  expectTypeOf(cache.entry('greeting')).toEqualTypeOf<Entry<string> | undefined>();
  expectTypeOf(cache.getOrSet('greeting', () => 'hi')).toEqualTypeOf<Promise<string>>();
  void cache.update('greeting', (greeting) => `${greeting}!`);
  expectTypeOf(cache.has('attempts', 'auth')).toEqualTypeOf<boolean>();
  expectTypeOf(cache.has('greeting')).toEqualTypeOf<boolean>();
  expectTypeOf(cache.listKeys('auth')).toEqualTypeOf<('session_token' | 'attempts')[]>();
  expectTypeOf(cache.listNamespaces()).toEqualTypeOf<('auth' | 'trip' | 'default')[]>();
  expectTypeOf(cache.getMany(['attempts'], 'auth')).toEqualTypeOf<(string | number | undefined)[]>();
  expectTypeOf(cache.set('attempts', 1, 'auth', { ttl: '1h' })).toEqualTypeOf<Promise<Acknowledgement>>();
  expectTypeOf(cache.set('greeting', 'hi')).toEqualTypeOf<Promise<Acknowledgement>>();
  expectTypeOf(cache.getOrSet('attempts', () => 1, 'auth')).toEqualTypeOf<Promise<number>>();
  expectTypeOf(cache.getOrSet('attempts', async () => 1, 'auth')).toEqualTypeOf<Promise<number>>();
  void cache.update(
    'attempts',
    (count) => {
      expectTypeOf(count).toEqualTypeOf<number | undefined>();
      return (count ?? 0) + 1;
    },
    'auth',
  );
  void cache.setMany({ attempts: 1 }, 'auth');
  void cache.setMany([['attempts', 1]], 'auth');
  void cache.batch(
    [
      { operation: 'set', key: 'attempts', value: 2 },
      { operation: 'delete', key: 'session_token' },
      { operation: 'touch', key: 'attempts', ttl: 1 },
    ],
    'auth',
  );

  type Cache = typeof cache;
  // Generic methods, given their types: what a call must look like.
  expectTypeOf(cache.get<'auth', 'attempts'>).parameters.toEqualTypeOf<['attempts', 'auth']>();
  expectTypeOf(cache.set<'auth', 'attempts'>)
    .parameter(1)
    .toEqualTypeOf<number>();
  expectTypeOf(cache.set<'auth', 'session_token'>)
    .parameter(1)
    .toEqualTypeOf<string>();
  expectTypeOf(cache.getOrSet<'auth', 'attempts'>)
    .parameter(1)
    .returns.toEqualTypeOf<number | Promise<number>>();
  expectTypeOf<KeyOf<Spaces, 'auth'>>().toEqualTypeOf<'session_token' | 'attempts'>();
  expectTypeOf<KeyOf<Spaces, 'default'>>().toEqualTypeOf<'greeting'>();
  expectTypeOf<NamespaceOf<Spaces>>().toEqualTypeOf<'auth' | 'trip' | 'default'>();
  type Step = Parameters<typeof cache.batch<'auth'>>[0][number];
  expectTypeOf<{ operation: 'set'; key: 'attempts'; value: 1 }>().toExtend<Step>();
  expectTypeOf<{ operation: 'set'; key: 'attempts'; value: 'x' }>().not.toExtend<Step>();
  // A condition for many keys makes no sense.
  expectTypeOf<NonNullable<Parameters<Cache['setMany']>[2]>>().not.toHaveProperty('ifVersion');

  const auth = cache.namespace('auth');
  expectTypeOf(auth.name).toEqualTypeOf<'auth'>();
  expectTypeOf(auth.get('attempts')).toEqualTypeOf<number | undefined>();
  expectTypeOf<Takes<(typeof auth)['get'], ['plan']>>().toEqualTypeOf<false>();
  expectTypeOf<Takes<(typeof auth)['set'], ['attempts', 1]>>().toEqualTypeOf<true>();
  expectTypeOf<Takes<(typeof auth)['set'], ['attempts', 'one']>>().toEqualTypeOf<false>();
};

const untyped = (cache: AgentContextCache) => {
  expectTypeOf(cache.get('any')).toEqualTypeOf<JsonValue | undefined>();
  expectTypeOf(cache.get('any', 'where')).toEqualTypeOf<JsonValue | undefined>();
  expectTypeOf(cache.entry('any', 'where')).toEqualTypeOf<Entry<JsonValue> | undefined>();
  expectTypeOf(cache.entry('any')).toEqualTypeOf<Entry<JsonValue> | undefined>();
  expectTypeOf(cache.listKeys()).toEqualTypeOf<string[]>();
  expectTypeOf(cache.health()).toEqualTypeOf<CacheHealth>();
  void cache.set('any', { nested: [1, null] });
  expectTypeOf<Date>().not.toExtend<JsonValue>();
  expectTypeOf<() => void>().not.toExtend<JsonValue>();
  expectTypeOf<Takes<(typeof cache)['set'], ['any', Date]>>().toEqualTypeOf<false>();

  expectTypeOf(cache.ask({ type: 'context.get', key: 'a' })).toEqualTypeOf<Promise<JsonValue | undefined>>();
  expectTypeOf(cache.ask({ type: 'context.set', key: 'a', value: 1 })).toEqualTypeOf<Promise<Acknowledgement>>();
  expectTypeOf(cache.ask({ type: 'context.keys' })).toEqualTypeOf<Promise<string[]>>();
  expectTypeOf(cache.ask({ type: 'cache.health' })).toEqualTypeOf<Promise<CacheHealth>>();
  expectTypeOf(cache.supervisor.send).parameter(0).toEqualTypeOf<ContextCommand>();
  expectTypeOf<{ type: 'context.steal' }>().not.toExtend<ContextCommand>();
  expectTypeOf<{ type: 'context.get' }>().not.toExtend<ContextCommand>();
};

const primaries = (
  memory: AgentContextCache<Spaces, InMemoryContextCache>,
  redis: AgentContextCache<Spaces, RedisContextCache>,
  late: AgentContextCache<Spaces, LateCache>,
  either: AgentContextCache<Spaces, BaseContextCache>,
) => {
  expectTypeOf(memory.get('attempts', 'auth')).toEqualTypeOf<number | undefined>();
  expectTypeOf(redis.get('attempts', 'auth')).toEqualTypeOf<Promise<number | undefined>>();
  expectTypeOf(late.get('attempts', 'auth')).toEqualTypeOf<Promise<number | undefined>>();
  expectTypeOf(late.listKeys('auth')).toEqualTypeOf<Promise<('session_token' | 'attempts')[]>>();
  expectTypeOf(late.has('attempts', 'auth')).toEqualTypeOf<Promise<boolean>>();
  expectTypeOf(late.entry('attempts', 'auth')).toEqualTypeOf<Promise<Entry<number> | undefined>>();
  expectTypeOf(late.listNamespaces()).toEqualTypeOf<Promise<('auth' | 'trip' | 'default')[]>>();
  expectTypeOf(late.namespace('auth').get('attempts')).toEqualTypeOf<Promise<number | undefined>>();
  expectTypeOf(either.get('attempts', 'auth')).toEqualTypeOf<number | undefined | Promise<number | undefined>>();
};

describe('the types', () => {
  it('say what a namespace holds, and whether a read answers at once', () => {
    expect([typed, untyped, primaries]).toHaveLength(3);
  });

  it('of a cache come from the primary that it is given', async () => {
    const cache = new AgentContextCache({ primaryCache: new LateCache() });
    expectTypeOf(cache.get('a')).toEqualTypeOf<Promise<JsonValue | undefined>>();
    expect(cache.get('a')).toBeInstanceOf(Promise);
    await cache.shutdown();
    const plain = new AgentContextCache();
    expectTypeOf(plain.get('a')).toEqualTypeOf<JsonValue | undefined>();
    expect(plain.get('a')).toBeUndefined();
    await plain.shutdown();
  });
});

import { describe, expect, expectTypeOf, it } from 'vitest';
import { z } from 'zod';
import type { KeyOf, NamespaceOf } from '../../src/core/namespace-types.ts';
import {
  type Acknowledgement,
  AgentContextCache,
  type BaseContextCache,
  type CacheHealth,
  type ContextCommand,
  type ContextStore,
  type Entry,
  type InMemoryContextCache,
  type JsonValue,
  type RedisContextCache,
} from '../../src/index.ts';
import type { Inspectable } from '../../src/inspector.ts';
import type { ReadOptions, TransactionOperation } from '../../src/types.ts';
import { LateCache } from '../support/cache.ts';

type Spaces = {
  auth: { session_token: string; attempts: number };
  trip: { plan: readonly string[] | null };
  default: { greeting: string };
};

/** `true` if a method accepts these arguments. */
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
  expectTypeOf(cache.getMany(['attempts'], 'auth')).toEqualTypeOf<(number | undefined)[]>();
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

  // Generic methods with explicit types, to see what a call must look like.
  expectTypeOf(cache.get<'attempts', 'auth'>).parameters.toEqualTypeOf<
    ['attempts', ('auth' | undefined)?, (ReadOptions | undefined)?]
  >();
  expectTypeOf(cache.set<'attempts', 'auth'>)
    .parameter(1)
    .toEqualTypeOf<number>();
  expectTypeOf(cache.set<'session_token', 'auth'>)
    .parameter(1)
    .toEqualTypeOf<string>();
  expectTypeOf(cache.getOrSet<'attempts', 'auth'>)
    .parameter(1)
    .returns.toEqualTypeOf<number | Promise<number>>();
  expectTypeOf<KeyOf<Spaces, 'auth'>>().toEqualTypeOf<'session_token' | 'attempts'>();
  expectTypeOf<KeyOf<Spaces, 'default'>>().toEqualTypeOf<'greeting'>();
  expectTypeOf<NamespaceOf<Spaces>>().toEqualTypeOf<'auth' | 'trip' | 'default'>();
  type Step = Parameters<typeof cache.batch<'auth'>>[0][number];
  expectTypeOf<{ operation: 'set'; key: 'attempts'; value: 1 }>().toExtend<Step>();
  expectTypeOf<{ operation: 'set'; key: 'attempts'; value: 'x' }>().not.toExtend<Step>();
  // A condition for many keys makes no sense.
  expectTypeOf<NonNullable<Parameters<typeof cache.setMany<'auth'>>[2]>>().not.toHaveProperty('ifVersion');

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

interface Plan {
  mode: 'fast' | 'slow';
  steps: { name: string; done?: boolean }[];
}
interface Trips {
  trip: { plan: Plan; size: [number, { unit: string }] };
  auth: { token: string; tries: number };
}
interface Tree {
  name: string;
  children: Tree[];
}
type Nested = Plan | Nested[];

const interfaces = (
  cache: AgentContextCache,
  plan: Plan,
  tree: Tree,
  maybe: Plan | null,
  one: Plan | string,
  some: Plan | Plan[],
  nested: Nested,
) => {
  void cache.set('a', plan);
  void cache.set('a', tree);
  void cache.set('a', maybe);
  void cache.set('a', one);
  void cache.set('a', some);
  void cache.set('a', nested);
  void cache.set('a', { plan, at: 1 }, undefined, { agent: 'planner' });
  void cache.setMany({ plan, tree });
  void cache.setMany([['plan', plan]]);
  void cache.setMany(new Map([['plan', plan]]), undefined, { ttl: '1h' });
  void cache.update('a', () => plan);
  void cache.update('a', async () => plan, undefined, { agent: 'planner' });
  void cache.getOrSet('a', () => plan);
  void cache.batch([{ operation: 'set', key: 'a', value: plan }], undefined, { agent: 'planner' });
  void cache.namespace('trip').set('plan', plan);
};

/** A helper for any JSON value. */
const save = <T extends JsonValue>(cache: AgentContextCache, value: T) => cache.set('a', value);

const readonly = async (cache: AgentContextCache<Trips>, plan: Plan) => {
  const read = cache.get('plan', 'trip');
  expectTypeOf(read).toEqualTypeOf<
    | {
        readonly mode: 'fast' | 'slow';
        readonly steps: readonly { readonly name: string; readonly done?: boolean }[];
      }
    | undefined
  >();
  expectTypeOf(cache.get('size', 'trip')).toEqualTypeOf<readonly [number, { readonly unit: string }] | undefined>();
  void cache.set('plan', plan, 'trip');
  if (read !== undefined) void cache.set('plan', read, 'trip');
  void cache.set('plan', { mode: 'fast', steps: [] }, 'trip');
  const result = await cache.update('plan', (old) => old && { ...old, steps: [...old.steps, { name: 'pay' }] }, 'trip');
  expectTypeOf(result.value).toEqualTypeOf(read);
  expectTypeOf(result.entry?.value).toEqualTypeOf(read);
  expectTypeOf((await cache.update('tries', (tries = 0) => tries + 1, 'auth')).value).toEqualTypeOf<
    number | undefined
  >();
};

const transactions = (cache: AgentContextCache<Trips>, spaces: AgentContextCache<Spaces>, any: AgentContextCache) => {
  const result = cache.transact(async (tx) => {
    const plan = await tx.get('plan', 'trip');
    expectTypeOf(plan).toEqualTypeOf<ReturnType<typeof cache.get<'plan', 'trip'>>>();
    expectTypeOf(tx.get('tries', 'auth')).toEqualTypeOf<Promise<number | undefined>>();
    expectTypeOf(tx.has('tries', 'auth')).toEqualTypeOf<Promise<boolean>>();
    expectTypeOf(tx.set<'tries', 'auth'>)
      .parameter(1)
      .toEqualTypeOf<number>();
    tx.set('tries', ((await tx.get('tries', 'auth')) ?? 0) + 1, 'auth', { ifPresent: true });
    if (plan !== undefined) tx.set('plan', plan, 'trip');
    tx.delete('token', 'auth');
    return plan?.mode;
  });
  expectTypeOf(result).toEqualTypeOf<Promise<'fast' | 'slow' | undefined>>();
  void spaces.transact(async (tx) => {
    expectTypeOf(await tx.get('greeting')).toEqualTypeOf<string | undefined>();
    tx.set('greeting', 'hi');
  });
  void any.transact(async (tx) => {
    expectTypeOf(await tx.get('any', ['store', 'user'])).toEqualTypeOf<JsonValue | undefined>();
    tx.set('any', { nested: [1, null] }, 'where');
  });
  type Operation = Parameters<typeof cache.transaction>[0][number];
  expectTypeOf<{ operation: 'set'; namespace: 'auth'; key: 'tries'; value: 1 }>().toExtend<Operation>();
  expectTypeOf<{ operation: 'set'; namespace: 'auth'; key: 'plan'; value: 1 }>().not.toExtend<Operation>();
  // Only a cache that types `default` may leave the namespace out.
  expectTypeOf<{ operation: 'set'; key: 'tries'; value: 1 }>().not.toExtend<Operation>();
  type Greeting = Parameters<typeof spaces.transaction>[0][number];
  expectTypeOf<{ operation: 'set'; key: 'greeting'; value: 'hi' }>().toExtend<Greeting>();
  expectTypeOf<TransactionOperation>().toExtend<Parameters<typeof any.transaction>[0][number]>();
};

const watching = async (cache: AgentContextCache<Trips>) => {
  for await (const update of cache.watch()) {
    expectTypeOf(update.namespace).toEqualTypeOf<'trip' | 'auth'>();
    expectTypeOf(update.skipped).toEqualTypeOf<number>();
    if (update.namespace === 'trip' && update.operation === 'set' && update.key === 'plan') {
      expectTypeOf(update.value.mode).toEqualTypeOf<'fast' | 'slow'>();
    }
    if (update.operation === 'clear_namespace') expectTypeOf(update.key).toEqualTypeOf<null>();
  }
  for await (const update of cache.watch({ namespace: 'auth', keys: ['token'] })) {
    expectTypeOf(update.key).toEqualTypeOf<'token' | 'tries' | null>();
  }
  cache.watch({ namespace: ['auth', 'trip'], include: 'snapshot' });
  cache.subscribe(
    (update) => {
      if (update.operation === 'set' && update.key === 'tries') expectTypeOf(update.value).toEqualTypeOf<number>();
    },
    { namespace: 'auth' },
  );
  cache.namespace('auth').subscribe((update) => {
    if (update.operation === 'set' && update.key === 'token') expectTypeOf(update.value).toEqualTypeOf<string>();
  });
};

const schemas = {
  auth: { token: z.string(), tries: z.number().default(0) },
  notes: z.object({ text: z.string() }),
  'trip:*': { plan: z.object({ mode: z.enum(['fast', 'slow']) }) },
  'trip:eu:*': { plan: z.number() },
};

const inferred = async (opened: ReturnType<typeof AgentContextCache.open<typeof schemas>>) => {
  const cache = new AgentContextCache({ schemas });
  expectTypeOf(cache.get('token', 'auth')).toEqualTypeOf<string | undefined>();
  expectTypeOf(cache.get('any', 'notes')).toEqualTypeOf<{ readonly text: string } | undefined>();
  expectTypeOf(cache.get('plan', 'trip:7')?.mode).toEqualTypeOf<'fast' | 'slow' | undefined>();
  expectTypeOf(cache.get('plan', 'trip:eu:7')).toEqualTypeOf<number | undefined>();
  expectTypeOf(cache.get('any', 'elsewhere')).toEqualTypeOf<JsonValue | undefined>();
  expectTypeOf(cache.get('any')).toEqualTypeOf<JsonValue | undefined>();
  expectTypeOf((await opened).get('token', 'auth')).toEqualTypeOf<string | undefined>();
  void cache.set('tries', undefined, 'auth');
  void cache.set('plan', { mode: 'fast' }, 'trip:1');
  // With `S` given, the schemas must agree with it.
  new AgentContextCache<Trips>({ schemas: { auth: { token: z.string(), tries: z.number() } } });
};

const stores = (
  memory: AgentContextCache<Trips>,
  redis: AgentContextCache<Trips, RedisContextCache>,
  either: AgentContextCache<Trips, BaseContextCache>,
  any: AgentContextCache,
) => {
  const all: ContextStore[] = [memory, redis, either, any, new AgentContextCache({ schemas })];
  const shown: Inspectable[] = [memory, redis, any];
  return [all, shown];
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
  it('describe the values of a namespace and whether a read returns a promise', () => {
    const all = [typed, untyped, primaries, interfaces, save, readonly, transactions, watching, inferred, stores];
    expect(all).toHaveLength(10);
  });

  it('make reads return promises over an asynchronous primary', async () => {
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

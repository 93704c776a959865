import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { SimulatedClock } from 'xstate';
import type { FailureSource } from '../../src/core/report.ts';
import { inMilliseconds } from '../../src/engine/durations.ts';
import { memoryStorage } from '../../src/engine/storage.ts';
import {
  AgentContextCache,
  type BackendSetOptions,
  BaseContextCache,
  type CacheOptions,
  type ContextCommand,
  type DataCommand,
  type InMemoryContextCache,
  type JsonValue,
  type Update,
} from '../../src/index.ts';
import type { MemoryLog } from '../../src/storage/memory/memory-log.ts';
import { afterEachTest } from './clean-up.ts';

/** First instant of simulated time. */
export const START = 1_000_000;

export function simulatedClock(): SimulatedClock {
  const clock = new SimulatedClock();
  clock.set(START);
  clocks.add(clock);
  return clock;
}

export interface Failure {
  readonly error: Error;
  readonly source: FailureSource;
}

const open: { shutdown(options: { timeoutMs: number }): Promise<unknown> }[] = [];
const clocks = new Set<SimulatedClock>();

afterEachTest(async () => {
  let ended = false;
  const ending = Promise.all(open.splice(0).map((cache) => cache.shutdown({ timeoutMs: 0 }))).then(() => {
    ended = true;
  });
  // Moves the clock until all have ended, so that deadlines pass, even those set only after the disk has answered.
  for (let i = 0; !ended; i += 1) {
    await (i < 1_000 ? turns(1) : sleep(1));
    for (const clock of clocks) clock.increment(10);
  }
  clocks.clear();
  await ending;
});

/** Shuts the cache down after the test, whether it passes or fails. */
export function closing<C extends { shutdown(options: { timeoutMs: number }): Promise<unknown> }>(cache: C): C {
  open.push(cache);
  return cache;
}

/** Creates a cache on the given log. */
export function makeCacheOn(log: MemoryLog, given: CacheOptions = {}) {
  const clock = simulatedClock();
  const failures: Failure[] = [];
  const onError = (error: Error, source: FailureSource) => void failures.push({ error, source });
  const options = inMilliseconds(given);
  const cache = new AgentContextCache({ clock, onError, ...options }, memoryStorage(options, log), false);
  return { cache: closing(cache), clock, failures };
}

/** Creates a cache in memory on simulated time, with the failures that it reported to `onError`. */
export function makeCache<P extends BaseContextCache = InMemoryContextCache>(options: CacheOptions<P> = {}) {
  const clock = simulatedClock();
  const failures: Failure[] = [];
  const onError = (error: Error, source: FailureSource) => void failures.push({ error, source });
  const cache = new AgentContextCache<{ readonly [namespace: string]: { readonly [key: string]: JsonValue } }, P>({
    clock,
    onError,
    ...options,
  });
  return { cache: closing(cache), clock, failures };
}

/** A cache whose log {@link logOf} reads. */
export interface Logged {
  readLog(): AsyncIterable<Update>;
  flush(): Promise<void>;
}

/** Returns all updates in the log, after a flush. */
export async function logOf(cache: Logged): Promise<Update[]> {
  await cache.flush();
  const updates: Update[] = [];
  for await (const update of cache.readLog()) updates.push(update);
  return updates;
}

/** Returns the log in short form: namespace, version, operation and key. */
export async function historyOf(cache: Logged): Promise<string[]> {
  return (await logOf(cache)).map(
    ({ namespace, version, operation, key }) => `${namespace} ${version} ${operation} ${key}`,
  );
}

/** Returns the `code` of the rejection; `undefined` if the promise resolves. */
export async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

/** Waits a few turns of the event loop, enough for all work that needs no timer. */
export async function turns(count = 5): Promise<void> {
  for (let i = 0; i < count; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** Returns the present outcome of a promise, or `pending`. */
export async function outcomeNow<T>(promise: Promise<T>): Promise<{ value: T } | { error: unknown } | 'pending'> {
  await turns();
  return Promise.race([
    promise.then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    ),
    new Promise<'pending'>((resolve) => setImmediate(() => resolve('pending'))),
  ]);
}

/** A custom backend that answers one turn of the event loop later, and can be made to fail or to hang. */
export class LateCache extends BaseContextCache {
  readonly spaces = new Map<string, Map<string, JsonValue>>();
  readonly calls: string[] = [];
  /** Called before each write; may throw or delay it. */
  before: (call: string) => void | Promise<void> = () => {};

  async get(key: string, namespace: string): Promise<JsonValue | undefined> {
    await turns(1);
    return this.spaces.get(namespace)?.get(key);
  }

  async set(key: string, value: JsonValue, namespace: string, _options?: BackendSetOptions): Promise<void> {
    await this.#write(`set ${namespace} ${key}`);
    let space = this.spaces.get(namespace);
    if (space === undefined) {
      space = new Map();
      this.spaces.set(namespace, space);
    }
    space.set(key, value);
  }

  async delete(key: string, namespace: string): Promise<boolean> {
    await this.#write(`delete ${namespace} ${key}`);
    return this.spaces.get(namespace)?.delete(key) ?? false;
  }

  async listKeys(namespace: string): Promise<string[]> {
    await turns(1);
    return [...(this.spaces.get(namespace)?.keys() ?? [])];
  }

  async clearNamespace(namespace: string): Promise<void> {
    await this.#write(`clear ${namespace}`);
    this.spaces.get(namespace)?.clear();
  }

  override async dropNamespace(namespace: string): Promise<void> {
    await this.#write(`drop ${namespace}`);
    this.spaces.delete(namespace);
  }

  async listNamespaces(): Promise<string[]> {
    await turns(1);
    return [...this.spaces.keys()];
  }

  /** Returns the content, without empty namespaces. */
  content(): Record<string, Record<string, JsonValue>> {
    const spaces = [...this.spaces].filter(([, space]) => space.size > 0);
    return Object.fromEntries(spaces.map(([name, space]) => [name, Object.fromEntries(space)]));
  }

  async #write(call: string): Promise<void> {
    this.calls.push(call);
    await this.before(call);
    await turns(1);
  }
}

/** Folds updates to values, without empty namespaces. */
export function foldValues(updates: readonly Update[]): Record<string, Record<string, JsonValue>> {
  const spaces = new Map<string, Map<string, JsonValue>>();
  for (const { namespace, operation, key, value, keys: cleared = [] } of updates) {
    const space = spaces.get(namespace) ?? new Map<string, JsonValue>();
    spaces.set(namespace, space);
    if (operation === 'clear_namespace') space.clear();
    else if (operation === 'clear') for (const each of cleared) space.delete(each);
    else if (operation === 'set') space.set(key as string, value);
    else if (operation !== 'touch') space.delete(key as string);
  }
  return Object.fromEntries(
    [...spaces].filter(([, space]) => space.size > 0).map(([name, space]) => [name, Object.fromEntries(space)]),
  );
}

const names = fc.constantFrom('n', 'm', '__proto__', 'a:b', 'default');
const keys = fc.constantFrom('a', 'b', '__proto__', 'c:d');
const value = fc.constantFrom<unknown>(null, 0, 'x', { list: [1, { a: null }] }, []);
const ttl = fc.option(fc.constantFrom<number | string>(5, 20, '1s'), { nil: undefined, freq: 3 });
const ifVersion = fc.option(fc.integer({ min: 0, max: 4 }), { nil: undefined, freq: 4 });
const agent = fc.option(fc.constantFrom('x', 'y'), { nil: undefined });
const meta = fc.option(fc.constantFrom({}, { why: 'é', steps: [1, { a: null }] }), { nil: undefined });

const step = fc.oneof(
  fc.record({ operation: fc.constant('set' as const), key: keys, value, ttl, ifVersion }),
  fc.record({ operation: fc.constant('delete' as const), key: keys, ifVersion }),
  fc.record({ operation: fc.constant('touch' as const), key: keys, ttl: fc.constantFrom(3, 30), ifVersion }),
);

/** Any data command on a few namespaces and keys. */
export const anyDataCommand: fc.Arbitrary<DataCommand> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('context.set' as const),
      namespace: names,
      key: keys,
      value,
      ttl,
      ifVersion,
      agent,
      meta,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('context.delete' as const),
      namespace: names,
      key: keys,
      ifVersion,
      agent,
      meta,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('context.touch' as const),
      namespace: names,
      key: keys,
      ttl: fc.constantFrom(3, 30),
      agent,
      meta,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('context.batch' as const),
      namespace: names,
      operations: fc.array(step, { maxLength: 4 }),
      agent,
      meta,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constantFrom('context.clear' as const, 'context.drop' as const),
      namespace: names,
      agent,
      meta,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('context.clear' as const),
      namespace: names,
      prefix: fc.constantFrom('a', '_', 'c:'),
      agent,
      meta,
    }),
  },
);

/** A command, or a step of the clock. */
export const anyStep: fc.Arbitrary<ContextCommand | { readonly wait: number }> = fc.oneof(
  { weight: 5, arbitrary: anyDataCommand },
  { weight: 1, arbitrary: fc.record({ wait: fc.constantFrom(1, 4, 25, 1_000) }) },
);

import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { SimulatedClock } from 'xstate';
import { InMemoryContextCache } from '../../src/backends/in-memory-context-cache.ts';
import { MultiBackendContextCache, type MultiBackendOptions } from '../../src/backends/multi-backend-context-cache.ts';
import { RedisContextCache } from '../../src/backends/redis/redis-context-cache.ts';
import type { JsonValue } from '../../src/core/value.ts';
import { failureOf } from '../support/backends.ts';
import { fcOptions } from '../support/property.ts';
import { startRedis } from '../support/servers.ts';
import { eventually } from '../support/waiting.ts';

/** A secondary that fails on demand, and records its calls. */
class Unsteady extends InMemoryContextCache {
  readonly calls: string[] = [];
  broken = false;

  override set(key: string, value: JsonValue, namespace: string): void {
    this.#note(`set ${namespace} ${key} ${JSON.stringify(value)}`);
    super.set(key, value, namespace);
  }
  override delete(key: string, namespace: string): boolean {
    this.#note(`delete ${namespace} ${key}`);
    return super.delete(key, namespace);
  }
  override clearNamespace(namespace: string): void {
    this.#note(`clear ${namespace}`);
    super.clearNamespace(namespace);
  }
  #note(call: string): void {
    if (this.broken) throw new Error('broken');
    this.calls.push(call);
  }
}

class Hanging extends InMemoryContextCache {
  override set(): never {
    return new Promise(() => {}) as never;
  }
}

function pairOf(options: Partial<MultiBackendOptions> = {}) {
  const [primary, secondary] = [new InMemoryContextCache(), new Unsteady()];
  const clock = new SimulatedClock();
  const errors: Error[] = [];
  const onError = (error: Error) => errors.push(error);
  const pair = new MultiBackendContextCache({ primary, secondary, clock, onError, ...options });
  return { pair, primary, secondary, clock, errors };
}

function content(cache: InMemoryContextCache): unknown {
  const spaces = cache.listNamespaces().map((namespace) => {
    const keys = cache.listKeys(namespace).sort();
    return [namespace, keys.map((key) => [key, cache.get(key, namespace)])] as const;
  });
  return spaces.filter(([, entries]) => entries.length > 0).sort();
}

describe('the primary', () => {
  it('answers every read, at once where it can', async () => {
    const { pair, secondary } = pairOf();
    secondary.set('key', 'of the secondary', 'space');
    expect(pair.synchronous).toBe(true);
    expect(pair.get('key', 'space')).toBeUndefined();
    expect(pair.set('key', 1, 'space')).toBeUndefined();
    expect(pair.get('key', 'space')).toBe(1);
    expect(pair.getMany(['key'], 'space')).toEqual([1]);
    expect(pair.listKeys('space')).toEqual(['key']);
    expect(pair.listNamespaces()).toEqual(['space']);
    expect(pair.delete('key', 'space')).toBe(true);
    await pair.close();
  });

  it('is not held up by a secondary that hangs', async () => {
    const { pair, clock, errors } = pairOf({ secondary: new Hanging() });
    for (let i = 0; i < 1000; i += 1) pair.set(`k${i}`, i, 'space');
    expect(pair.get('k999', 'space')).toBe(999);
    expect(pair.pending).toBe(1000);
    const closing = pair.close();
    clock.increment(5000);
    await closing;
    expect(errors).toMatchObject([{ code: 'CLOSED', message: expect.stringContaining('1000 changes') }]);
  });

  it('keeps what it refuses from the secondary', async () => {
    class Refusing extends InMemoryContextCache {
      override set(): never {
        throw new Error('no');
      }
      override delete(): never {
        return Promise.reject(new Error('no')) as never;
      }
    }
    const { pair, secondary } = pairOf({ primary: new Refusing() });
    await failureOf(() => pair.set('key', 1, 'space'));
    await failureOf(() => pair.delete('key', 'space'));
    await pair.flush();
    expect(secondary.calls).toEqual([]);
    await pair.close();
  });
});

describe('the secondary', () => {
  it('gets every write in order', async () => {
    const { pair, secondary } = pairOf({ batchSize: 2 });
    pair.set('a', 1, 'space');
    pair.set('a', 2, 'space');
    pair.set('b', 3, 'other');
    pair.delete('a', 'space');
    pair.clearNamespace('other');
    pair.set('c', 4, 'dropped');
    pair.dropNamespace('dropped');
    expect(secondary.calls).toEqual([]);
    await pair.flush();
    expect(pair.pending).toBe(0);
    expect(secondary.calls).toEqual([
      'set space a 1',
      'set space a 2',
      'set other b 3',
      'delete space a',
      'clear other',
      'set dropped c 4',
    ]);
    expect(secondary.listNamespaces().sort()).toEqual(['other', 'space']);
    await pair.close();
  });

  it('that fails is reported and tried again, each time later', async () => {
    const { pair, secondary, clock, errors } = pairOf({ minBackoffMs: 100, maxBackoffMs: 350 });
    secondary.broken = true;
    pair.set('a', 1, 'space');
    pair.set('b', 2, 'space');
    for (const [index, delayMs] of [100, 200, 350, 350].entries()) {
      await eventually(() => expect(errors).toHaveLength(index + 1));
      clock.increment(delayMs - 1);
      await new Promise(setImmediate);
      expect(errors).toHaveLength(index + 1);
      clock.increment(1);
    }
    await eventually(() => expect(errors).toHaveLength(5));
    expect(pair.pending).toBe(2);
    secondary.broken = false;
    const flushed = pair.flush();
    clock.increment(350);
    await flushed;
    expect(secondary.calls).toEqual(['set space a 1', 'set space b 2']);
    expect(errors.every(({ message }) => message === 'broken')).toBe(true);
    await pair.close();
  });

  it('that is away for long gets the last value of every key', async () => {
    const { pair, primary, secondary, clock, errors } = pairOf({ maxPending: 50 });
    secondary.broken = true;
    for (let i = 0; i < 5_000; i += 1) pair.set(`k${i % 20}`, i, 'space');
    expect(pair.pending).toBeLessThanOrEqual(51);
    for (let i = 0; i < 500; i += 1) pair.set(`more ${i}`, i, 'space');
    expect(pair.pending).toBeGreaterThanOrEqual(520);
    await eventually(() => expect(errors).toHaveLength(1));
    secondary.broken = false;
    const flushed = pair.flush();
    clock.increment(100);
    await flushed;
    expect(content(secondary)).toEqual(content(primary));
    expect(secondary.calls.length).toBeLessThan(1100);
    await pair.close();
  });

  it('ends like the primary, whatever is called and whenever it fails', async () => {
    const name = fc.constantFrom('a', 'b', 'c');
    const call = fc.record({
      kind: fc.constantFrom('set', 'set', 'delete', 'clear', 'drop', 'fail', 'mend'),
      key: name,
      namespace: name,
      value: fc.nat(),
    });
    const property = fc.asyncProperty(
      fc.array(call, { maxLength: 80 }),
      fc.integer({ min: 1, max: 8 }),
      async (calls, maxPending) => {
        const { pair, primary, secondary, clock } = pairOf({ maxPending, batchSize: 3 });
        for (const { kind, key, namespace, value } of calls) {
          if (kind === 'set') pair.set(key, value, namespace);
          else if (kind === 'delete') pair.delete(key, namespace);
          else if (kind === 'clear') pair.clearNamespace(namespace);
          else if (kind === 'drop') pair.dropNamespace(namespace);
          else secondary.broken = kind === 'fail';
          if (value % 4 === 0) await Promise.resolve();
          if (value % 5 === 0) clock.increment(30_000);
        }
        secondary.broken = false;
        const flushed = pair.flush();
        await new Promise(setImmediate);
        clock.increment(30_000);
        await flushed;
        expect(content(secondary)).toEqual(content(primary));
        expect(pair.pending).toBe(0);
        await pair.close();
      },
    );
    await fc.assert(property, fcOptions(100));
  });

  it('in Redis that is killed and comes back empty of nothing but the old gets what was written meanwhile', async () => {
    await using server = await startRedis();
    const secondary = new RedisContextCache({ url: server.url });
    const { pair } = pairOf({ secondary, clock: undefined as never, minBackoffMs: 5, maxBackoffMs: 50 });
    pair.set('before', 1, 'space');
    await pair.flush();
    await server.kill();
    pair.set('during', 2, 'space');
    pair.set('during', 3, 'space');
    expect(pair.get('during', 'space')).toBe(3);
    await server.restart();
    await pair.flush();
    expect(await secondary.get('during', 'space')).toBe(3);
    await pair.close();
  });
});

describe('closing', () => {
  it('waits for the secondary, closes both, and is fine twice', async () => {
    const closed: string[] = [];
    class Closing extends Unsteady {
      readonly #name: string;
      constructor(name: string) {
        super();
        this.#name = name;
      }
      override close(): void {
        closed.push(`${this.#name} after ${this.calls.length}`);
      }
    }
    const { pair } = pairOf({ primary: new Closing('primary'), secondary: new Closing('secondary') });
    pair.set('key', 1, 'space');
    await pair.close();
    expect(closed).toEqual(['primary after 1', 'secondary after 1']);
    await pair.close();
  });

  it('gives up what a failing secondary does not take, and rejects who waits for it', async () => {
    const { pair, secondary, clock, errors } = pairOf({ closeTimeoutMs: 50 });
    secondary.broken = true;
    pair.set('key', 1, 'space');
    await eventually(() => expect(errors).toHaveLength(1));
    const flushed = failureOf(() => pair.flush());
    const closing = pair.close();
    clock.increment(50);
    await closing;
    expect(await flushed).toMatchObject({ code: 'CLOSED' });
    expect(errors.at(-1)).toMatchObject({ code: 'CLOSED' });
    expect(pair.pending).toBe(0);
    secondary.broken = false;
    pair.set('key', 2, 'space');
    await pair.flush();
    expect(secondary.get('key', 'space')).toBe(2);
    await pair.close();
  });
});

it('a listener that throws does not stop the changes', async () => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  const { pair, secondary, clock } = pairOf({
    onError: () => {
      throw new Error('in the listener');
    },
  });
  secondary.broken = true;
  pair.set('key', 1, 'space');
  await eventually(() => expect(warned).toHaveBeenCalled());
  secondary.broken = false;
  clock.increment(100);
  await pair.flush();
  expect(secondary.get('key', 'space')).toBe(1);
  await pair.close();
  warned.mockRestore();
});

it.each([{ maxPending: 0 }, { batchSize: Number.NaN }, { minBackoffMs: -1 }])(
  'the option %o is refused',
  async (options) => {
    expect(await failureOf(() => pairOf(options))).toMatchObject({ code: 'INVALID_OPTION' });
  },
);

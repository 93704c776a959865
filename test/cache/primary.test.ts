import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemorySnapshotStore } from '../../src/backup.ts';
import { AgentContextCache, type JsonValue, type VersionConflictError } from '../../src/index.ts';
import {
  anyDataCommand,
  closing,
  codeOf,
  foldValues,
  historyOf,
  LateCache,
  logOf,
  makeCache,
  outcomeNow,
  turns,
} from '../support/cache.ts';
import { fcOptions } from '../support/property.ts';

describe('an asynchronous primary', () => {
  it('is awaited: value and update are readable once the promise resolves', async () => {
    const primary = new LateCache();
    const { cache } = makeCache({ primaryCache: primary });
    const done = cache.set('a', 1, 'n');
    expect(cache.position).toBe(0);
    expect(await done).toEqual({ version: 1, position: 1, changed: true });
    expect(await cache.get('a', 'n')).toBe(1);
    expect(await cache.has('b', 'n')).toBe(false);
    expect(await cache.entry('a', 'n')).toMatchObject({ value: 1, version: 1 });
    expect(await cache.entries('n')).toMatchObject([{ key: 'a', value: 1 }]);
    expect(await cache.getMany(['a', 'b'], 'n')).toEqual([1, undefined]);
    expect(await cache.listNamespaces()).toEqual(['default', 'n']);
    expect(await cache.namespace('n').listKeys()).toEqual(['a']);
    expect(await cache.ask({ type: 'context.get', key: 'a', namespace: 'n' })).toBe(1);
  });

  it('gets the commands of a namespace one at a time, in order', async () => {
    const primary = new LateCache();
    let busy = 0;
    let most = 0;
    primary.before = async () => {
      busy += 1;
      most = Math.max(most, busy);
      await turns(1);
      busy -= 1;
    };
    const { cache } = makeCache({ primaryCache: primary });
    const done = Array.from({ length: 20 }, (_, i) => cache.set(`k${i % 3}`, i, 'n'));
    const answers = await Promise.all(done);
    expect(most).toBe(1);
    expect(answers.map(({ version }) => version)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(primary.calls).toEqual(Array.from({ length: 20 }, (_, i) => `set n k${i % 3}`));
    expect(primary.content()).toEqual({ n: { k0: 18, k1: 19, k2: 17 } });
  });

  it('checks conditions against its earlier content', async () => {
    const primary = new LateCache();
    primary.spaces.set(
      'n',
      new Map<string, JsonValue>([
        ['old', 'x'],
        ['other', 'y'],
      ]),
    );
    const { cache } = makeCache({ primaryCache: primary });
    const conflict = await cache.set('old', 1, 'n', { ifVersion: 0 }).catch((error: VersionConflictError) => error);
    expect(conflict).toMatchObject({
      code: 'VERSION_CONFLICT',
      expected: 0,
      current: { key: 'old', value: 'x', version: 1 },
    });
    expect(await cache.set('old', 2, 'n', { ifVersion: 1 })).toMatchObject({ version: 3 });
    expect(await cache.update('other', (value) => `${value}!`, 'n')).toMatchObject({ version: 4 });
    expect(await cache.getOrSet('other', () => 'made', 'n')).toBe('y!');
    expect(primary.content()).toEqual({ n: { old: 2, other: 'y!' } });
    expect(await cache.set('new', 1, 'n', { ifVersion: 0 })).toMatchObject({ version: 5 });
  });

  it('rejects the command if it refuses a write, and executes the next ones', async () => {
    const primary = new LateCache();
    primary.before = (call) => {
      if (call === 'set n bad') throw new Error('refused');
    };
    const { cache, failures } = makeCache({ primaryCache: primary });
    const done = [cache.set('a', 1, 'n'), cache.set('bad', 2, 'n'), cache.set('b', 3, 'n')];
    expect(await Promise.all(done.map(codeOf))).toEqual([undefined, 'BACKEND_FAILED', undefined]);
    expect(primary.content()).toEqual({ n: { a: 1, b: 3 } });
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'n 2 set b']);
    expect(failures).toEqual([]);
    void cache.set('bad', 4, 'n');
    await turns();
    expect(failures).toMatchObject([{ error: { code: 'BACKEND_FAILED', cause: { message: 'refused' } } }]);
  });

  it('gets the earlier writes of a batch undone if it refuses one', async () => {
    const primary = new LateCache();
    primary.before = (call) => {
      if (call === 'set n bad') throw new Error('refused');
    };
    const { cache } = makeCache({ primaryCache: primary });
    await cache.set('a', 'before', 'n');
    await cache.set('gone', 'before', 'n');
    const batch = cache.batch(
      [
        { operation: 'set', key: 'a', value: 1 },
        { operation: 'set', key: 'new', value: 1 },
        { operation: 'delete', key: 'gone' },
        { operation: 'set', key: 'bad', value: 1 },
      ],
      'n',
    );
    expect(await codeOf(batch)).toBe('BACKEND_FAILED');
    expect(primary.content()).toEqual({ n: { a: 'before', gone: 'before' } });
    expect(cache.position).toBe(2);
  });

  it('rejects with OUTCOME_UNKNOWN if the undo fails too', async () => {
    const primary = new LateCache();
    let writes = 0;
    primary.before = () => {
      writes += 1;
      if (writes > 1) throw new Error('away');
    };
    const { cache } = makeCache({ primaryCache: primary });
    const error = await cache
      .batch(
        [
          { operation: 'set', key: 'a', value: 1 },
          { operation: 'set', key: 'b', value: 1 },
        ],
        'n',
      )
      .catch((thrown) => thrown);
    expect(error).toMatchObject({
      code: 'OUTCOME_UNKNOWN',
      cause: { errors: [{ message: 'away' }, { message: 'away' }] },
    });
  });

  it('delays only its own namespace while a call hangs, and at most maxWaiting commands', async () => {
    const primary = new LateCache();
    let release: () => void = () => {};
    const hung = new Promise<void>((resolve) => {
      release = resolve;
    });
    primary.before = (call) => (call === 'set n hung' ? hung : undefined);
    const { cache } = makeCache({ primaryCache: primary, maxWaiting: 3 });
    const done = [cache.set('hung', 1, 'n')];
    await turns();
    done.push(...['a', 'b', 'c', 'd', 'e'].map((key) => cache.set(key, 1, 'n')));
    expect(await Promise.all(done.slice(4).map(codeOf))).toEqual(['OVERLOADED', 'OVERLOADED']);
    expect(await cache.set('a', 1, 'm')).toMatchObject({ version: 1 });
    expect(await outcomeNow(done[1] as Promise<unknown>)).toBe('pending');
    release();
    expect(await Promise.all(done.slice(0, 4))).toMatchObject([
      { version: 1 },
      { version: 2 },
      { version: 3 },
      { version: 4 },
    ]);
    expect(primary.content().n).toEqual({ hung: 1, a: 1, b: 1, c: 1 });
  });

  it('does not delay a shutdown beyond its timeout while a call hangs, and the waiting commands are rejected', async () => {
    const primary = new LateCache();
    primary.before = () => new Promise<void>(() => {});
    const { cache, clock } = makeCache({ primaryCache: primary });
    const done = [cache.set('a', 1, 'n'), cache.set('b', 1, 'n')];
    await turns();
    const shutdown = cache.shutdown({ timeoutMs: 100 });
    await turns();
    clock.increment(100);
    expect(await shutdown).toMatchObject({ unfinishedCommands: true });
    expect(await Promise.all(done.map(codeOf))).toEqual(['OUTCOME_UNKNOWN', 'OUTCOME_UNKNOWN']);
  });

  it('is waited for by a shutdown within its timeout', async () => {
    const primary = new LateCache();
    const { cache } = makeCache({ primaryCache: primary });
    const done = [cache.set('a', 1, 'n'), cache.set('b', 1, 'n')];
    expect(await cache.shutdown()).toMatchObject({ unfinishedCommands: false, undelivered: [] });
    expect(await Promise.all(done)).toMatchObject([{ version: 1 }, { version: 2 }]);
  });

  it('has its entries expired by the cache without further writes', async () => {
    const primary = new LateCache();
    const { cache, clock } = makeCache({ primaryCache: primary });
    await cache.set('a', 1, 'n', { ttl: 10 });
    await cache.set('b', 1, 'n', { ttl: 500 });
    expect(await cache.get('a', 'n')).toBe(1);
    clock.increment(10);
    expect(await cache.get('a', 'n')).toBeUndefined();
    expect(await cache.listKeys('n')).toEqual(['b']);
    await turns(10);
    expect(primary.content()).toEqual({ n: { b: 1 } });
    clock.increment(5_000);
    await turns(10);
    expect(primary.content()).toEqual({});
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'n 2 set b', 'n 3 expire a', 'n 4 expire b']);
  });

  it('is called again if it refuses an expiry', async () => {
    const primary = new LateCache();
    let away = true;
    primary.before = (call) => {
      if (away && call.startsWith('delete')) throw new Error('away');
    };
    const { cache, clock } = makeCache({ primaryCache: primary });
    await cache.set('a', 1, 'n', { ttl: 10 });
    clock.increment(10);
    await turns(10);
    expect(primary.content()).toEqual({ n: { a: 1 } });
    away = false;
    clock.increment(1_000);
    await turns(10);
    expect(await historyOf(cache)).toEqual(['n 1 set a', 'n 2 expire a']);
    expect(primary.content()).toEqual({});
  });

  it('can have a namespace dropped and begun again', async () => {
    const primary = new LateCache();
    const { cache } = makeCache({ primaryCache: primary });
    const done = [cache.set('a', 1, 'n'), cache.dropNamespace('n'), cache.set('b', 1, 'n'), cache.dropNamespace('n')];
    expect(await Promise.all(done)).toMatchObject([{ version: 1 }, { version: 2 }, { version: 3 }, { version: 4 }]);
    expect(await cache.listNamespaces()).toEqual(['default']);
    expect(await cache.set('c', 1, 'n')).toMatchObject({ version: 5 });
  });

  it('rejects the command if it cannot list its keys, and nothing has changed', async () => {
    const primary = new LateCache();
    const held = primary.listKeys.bind(primary);
    let away = true;
    primary.listKeys = async (namespace) => {
      if (away) throw new Error('away');
      return held(namespace);
    };
    const { cache } = makeCache({ primaryCache: primary });
    expect(await codeOf(cache.set('a', 1, 'n'))).toBe('BACKEND_FAILED');
    expect(primary.calls).toEqual([]);
    away = false;
    expect(await cache.set('a', 1, 'n')).toMatchObject({ version: 1 });
  });

  it('ends with the same content as the fold of the log, despite refusals and undone batches', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyDataCommand, { maxLength: 25 }),
        fc.integer({ min: 2, max: 9 }),
        async (commands, every) => {
          const primary = new LateCache();
          let writes = 0;
          let puttingBack = false;
          primary.before = (call) => {
            writes += 1;
            // Fails a write, but none that undoes an earlier one.
            if (writes % every === 0 && !puttingBack && call.startsWith('set')) {
              puttingBack = true;
              throw new Error('refused');
            }
            puttingBack = false;
          };
          const { cache } = makeCache({ primaryCache: primary });
          const outcomes = await Promise.all(commands.map((command) => codeOf(cache.ask(command))));
          if (outcomes.includes('OUTCOME_UNKNOWN')) return;
          expect(primary.content()).toEqual(foldValues(await logOf(cache)));
        },
      ),
      fcOptions(60),
    );
  });

  it('is backed up at one position while commands are in flight', async () => {
    const primary = new LateCache();
    let release: () => void = () => {};
    let done: Promise<unknown> | undefined;
    const store = new MemorySnapshotStore();
    const put = store.put.bind(store);
    // The snapshot reads its first namespace while the primary takes the writes in flight to another one.
    store.put = async (...blob) => {
      release();
      await done;
      return put(...blob);
    };
    const { cache } = makeCache({ primaryCache: primary, backup: { store } });
    await cache.set('a', 1, 'first');
    await cache.set('a', 1, 'n');
    primary.before = () =>
      new Promise<void>((resolve) => {
        release = resolve;
      });
    done = cache.set('b', 2, 'n');
    await turns();
    await cache.backup();
    const restored = closing(await AgentContextCache.open({ restoreFrom: store }));
    expect(restored.get('a', 'n')).toBe(1);
  });
});

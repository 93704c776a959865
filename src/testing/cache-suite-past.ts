import assert from 'node:assert/strict';
import type { Changes } from '../core/changes.ts';
import type { Update } from '../core/update.ts';
import { failureOf } from './cache-suite-values.ts';
import type { CacheCheck } from './served-cache.ts';

/** Resolves with the first items of an iterable, which is then released. */
async function first<Item>(items: AsyncIterable<Item>, count: number): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) {
    found.push(item);
    if (found.length === count) break;
  }
  return found;
}

/** Resolves when `holds` is true. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

const shown = ({ position, namespace, operation, key, value }: Update) => [position, namespace, operation, key, value];

export const followingChecks: CacheCheck[] = [
  [
    'watches the updates after the call, in order',
    async (cache) => {
      await cache.set('before', 0, 'space');
      const watch = cache.watch({ namespace: 'space' });
      await cache.set('a', 1, 'space', { agent: 'one', expiresAt: 4_102_444_800_000 });
      await cache.set('elsewhere', 1, 'other');
      await cache.delete('a', 'space');
      const [set, removed] = await first(watch, 2);
      assert.ok(set !== undefined && removed !== undefined);
      assert.deepEqual(shown(set), [2, 'space', 'set', 'a', 1]);
      assert.deepEqual(
        [set.agent, set.version, set.replaced, set.expiresAt, set.snapshot, set.skipped, set.drop],
        ['one', 2, 0, 4_102_444_800_000, false, 0, false],
      );
      assert.deepEqual(shown(removed), [4, 'space', 'delete', 'a', null]);
    },
  ],
  [
    'watches some namespaces and keys, and continues after a position',
    async (cache) => {
      for (const name of ['a', 'b', 'c']) await cache.setMany({ one: 1, two: 2 }, name);
      await cache.clearNamespace('b');
      const watched = await first(cache.watch({ namespace: ['a', 'b'], keys: ['two'], since: 0 }), 3);
      assert.deepEqual(
        watched.map(({ namespace, key }) => [namespace, key]),
        [
          ['a', 'two'],
          ['b', 'two'],
          ['b', null],
        ],
      );
      const rest = cache.watch({ since: 5 });
      await cache.set('three', 3, 'c');
      assert.deepEqual(
        (await first(rest, 3)).map(({ position }) => position),
        [6, 7, 8],
      );
    },
  ],
  [
    'watches namespaces and keys with a prefix: the past, the present and what follows',
    async (cache) => {
      const [user, ann, users] = ['store/user/', 'store/user/ann/', 'store/users/'];
      await cache.set('day:1', 1, user);
      await cache.set('night', 2, user);
      await cache.set('day:1', 3, users);
      const filter = { namespacePrefix: ['store', 'user'], keyPrefix: 'day:' };
      const past = cache.watch({ ...filter, since: 0 });
      const present = cache.watch({ ...filter, include: 'snapshot' });
      const received: unknown[] = [];
      let stop = () => {};
      const second = new Promise<void>((resolve) => {
        stop = cache.subscribe(({ position }) => received.push(position) === 2 && resolve(), { keyPrefix: 'day:' });
      });
      const nested = cache.watch({ namespacePrefix: 'store/' });
      await cache.delete('night', user);
      await cache.set('day:2', 4, ann);
      await cache.clearNamespace(user);
      const positions = (updates: readonly { readonly position: number }[]) => updates.map(({ position }) => position);
      assert.deepEqual(positions(await first(past, 3)), [1, 5, 6]);
      assert.deepEqual(positions(await first(present, 3)), [3, 5, 6]);
      assert.deepEqual(positions(await first(nested, 3)), [4, 5, 6]);
      const one = cache.watch({ namespace: user, keyPrefix: 'n', since: 0 });
      assert.deepEqual(positions(await first(one, 2)), [2, 4]);
      await second;
      assert.deepEqual(received, [5, 6]);
      stop();
    },
  ],
  [
    'refuses filters that are none or contradict each other',
    async (cache) => {
      const filters: object[] = [
        ...[{ namespacePrefix: 5 }, { keyPrefix: '\uD800' }, { keyPrefix: ['a'] }, { keyPrefixes: 'a' }],
        ...[
          { namespace: 'a', namespacePrefix: 'a' },
          { keys: ['a'], keyPrefix: 'a' },
        ],
      ];
      for (const filter of filters) {
        const what = JSON.stringify(filter);
        assert.equal((await failureOf(() => cache.watch(filter))).code, 'INVALID_OPTION', what);
        assert.equal((await failureOf(() => cache.subscribe(() => {}, filter))).code, 'INVALID_OPTION', what);
      }
    },
  ],
  [
    'returns the last change of each key since a position, in pages',
    async (cache) => {
      await cache.set('a', 1, 'space');
      await cache.set('a', { deep: [2] }, 'space', { agent: 'planner', meta: { why: 'test' } });
      await cache.set('b', 3, 'space');
      await cache.delete('b', 'space');
      await cache.set('c', 4, 'spaces');
      await cache.set('elsewhere', 5);
      const whole = await cache.changes({ since: 0, namespace: 'space' });
      assert.deepEqual(
        whole.changes.map(({ position, operation, key, value }) => [position, operation, key, value]),
        [
          [2, 'set', 'a', { deep: [2] }],
          [4, 'delete', 'b', null],
        ],
      );
      assert.deepEqual(whole.changes[0]?.meta, { why: 'test' });
      assert.deepEqual([whole.next, whole.more], [6, false]);
      const page = await cache.changes({ since: 2, prefix: 'spac', limit: 1 });
      assert.deepEqual([page.changes.length, page.next, page.more], [1, 4, true]);
      const rest = await cache.changes({ since: page.next, prefix: 'spac' });
      assert.deepEqual([rest.changes.map(({ key }) => key), rest.next, rest.more], [['c'], 6, false]);
      const none = await cache.namespace('space').changes({ since: 6 });
      assert.deepEqual(none, { changes: [], next: 6, more: false });
      const asked = await cache.ask({ type: 'context.changes', since: 5, limit: 3 });
      assert.deepEqual((asked as Changes).changes[0]?.key, 'elsewhere');
      const wrong: object[] = [
        ...[{}, { since: -1 }, { since: 1.5 }, { since: 999 }, { since: 0, limit: 0 }, { since: 0, limit: 10_001 }],
        ...[
          { since: 0, prefix: 5 },
          { since: 0, namespace: 'a', prefix: 'a' },
          { since: 0, namespaces: 'a' },
        ],
      ];
      for (const options of wrong) {
        const what = JSON.stringify(options);
        assert.equal((await failureOf(() => cache.changes(options as never))).code, 'INVALID_OPTION', what);
      }
      assert.equal((await failureOf(() => cache.changes({ since: 0, namespace: '' }))).code, 'INVALID_NAME');
    },
  ],
  [
    'watches with a snapshot, then the updates after it',
    async (cache) => {
      await cache.set('a', 1, 'space');
      await cache.set('gone', 1, 'space');
      await cache.delete('gone', 'space');
      const watch = cache.watch({ namespace: 'space', include: 'snapshot' });
      const [entry] = await first({ [Symbol.asyncIterator]: () => ({ next: () => watch.next() }) }, 1);
      assert.deepEqual([entry?.key, entry?.snapshot, entry?.position], ['a', true, 3]);
      await cache.set('b', 2, 'space');
      const [update] = await first(watch, 1);
      assert.deepEqual([update?.key, update?.snapshot, update?.position], ['b', false, 4]);
    },
  ],
  [
    'refuses a position that the log does not have',
    async (cache) => {
      await cache.set('a', 1);
      for (const since of [-1, 0.5, 99]) {
        const error = await failureOf(async () => first(cache.watch({ since }), 1));
        assert.equal(error.code, 'INVALID_OPTION', String(since));
      }
    },
  ],
  [
    'says how far a watch has come, also while nothing matches',
    async (cache) => {
      const watch = cache.watch({ namespace: 'space' });
      await cache.set('a', 1, 'space');
      const next = await watch.next();
      assert.equal((next.value as Update).position, 1);
      assert.equal(watch.position, 1);
      await watch.return?.();
    },
  ],
  [
    'ends a watch by its signal',
    async (cache) => {
      const ended = new AbortController();
      const watch = cache.watch({ signal: ended.signal });
      const next = watch.next();
      ended.abort();
      assert.equal((await next).done, true);
    },
  ],
  [
    'calls a subscriber with each update until it is stopped',
    async (cache) => {
      const heard: unknown[] = [];
      const stop = cache.subscribe(({ key }) => heard.push(key), { namespace: 'space', keys: ['a', 'b'] });
      await cache.set('a', 1, 'space');
      await cache.set('c', 1, 'space');
      await cache.set('b', 1, 'space');
      await until(() => heard.length === 2);
      assert.deepEqual(heard, ['a', 'b']);
      stop();
      await cache.set('a', 2, 'space');
      await cache.get('a', 'space');
      assert.deepEqual(heard, ['a', 'b']);
    },
  ],
  [
    'delivers thousands of updates to a watch without a gap',
    async (cache) => {
      const watch = cache.watch({ bufferSize: 4_000 });
      const writes = Array.from({ length: 2_000 }, (_, index) => cache.set(`key ${index}`, index, 'space'));
      const positions = (await first(watch, 2_000)).map(({ position }) => position);
      assert.deepEqual(
        positions,
        Array.from({ length: 2_000 }, (_, index) => index + 1),
      );
      await Promise.all(writes);
    },
  ],
];

export const pastChecks: CacheCheck[] = [
  [
    'reads the log',
    async (cache) => {
      for (const name of ['a', 'b', 'a']) await cache.set('key', name, name);
      assert.deepEqual((await first(cache.readLog(), 9)).map(shown), [
        [1, 'a', 'set', 'key', 'a'],
        [2, 'b', 'set', 'key', 'b'],
        [3, 'a', 'set', 'key', 'a'],
      ]);
      const range = await first(cache.readLog({ from: 2, to: 3, namespace: 'a' }), 9);
      assert.deepEqual(
        range.map(({ position }) => position),
        [3],
      );
      assert.equal((await failureOf(() => first(cache.readLog({ from: 0 }), 1))).code, 'POSITION_UNAVAILABLE');
      assert.equal((await failureOf(() => first(cache.readLog({ form: 1 } as never), 1))).code, 'INVALID_OPTION');
    },
  ],
  [
    'shows any position of the past',
    async (cache) => {
      await cache.set('a', 1, 'space');
      await cache.set('b', 2, 'space');
      await cache.set('a', 3, 'space', { agent: 'late' });
      const view = await cache.at(2);
      assert.equal(view.position, 2);
      assert.equal(await view.get('a', 'space'), 1);
      assert.deepEqual(await view.getMany(['b', 'c'], 'space'), [2, undefined]);
      assert.equal(await view.has('c', 'space'), false);
      assert.equal((await view.entry('a', 'space'))?.version, 1);
      assert.deepEqual((await view.entries('space')).map(({ key }) => key).sort(), ['a', 'b']);
      assert.deepEqual([...(await view.listKeys('space'))].sort(), ['a', 'b']);
      assert.deepEqual(await view.listNamespaces(), ['default', 'space']);
      assert.equal((await failureOf(() => view.get('\uD800', 'space'))).code, 'INVALID_NAME');
      view[Symbol.dispose]();
      assert.equal((await failureOf(() => view.get('a', 'space'))).code, 'CLOSED');
      const empty = await cache.at(0);
      assert.deepEqual(await empty.listKeys('space'), []);
      assert.equal((await cache.at(new Date(1))).position, 0);
    },
  ],
  [
    'yields the history of an entry, newest first, with its removal',
    async (cache) => {
      await cache.set('key', 1, 'space', { agent: 'one' });
      await cache.touch('key', 'space', { expiresAt: 4_102_444_800_000 });
      await cache.delete('key', 'space', { agent: 'two' });
      const versions = await first(cache.history('key', 'space'), 9);
      assert.deepEqual(
        versions.map(({ operation, value, position, agent }) => [operation, value, position, agent]),
        [
          ['delete', undefined, 3, 'two'],
          ['touch', 1, 2, null],
          ['set', 1, 1, 'one'],
        ],
      );
      assert.equal((await failureOf(() => first(cache.history('\uD800'), 1))).code, 'INVALID_NAME');
    },
  ],
  [
    'compares positions and instants',
    async (cache) => {
      await cache.set('kept', 1, 'space');
      await cache.set('changed', 1, 'space');
      await cache.set('gone', 1, 'space');
      await cache.set('changed', 2, 'space');
      await cache.delete('gone', 'space');
      await cache.set('new', 1, 'other');
      const { added, changed, removed } = await cache.diff(3, 6);
      assert.deepEqual(
        added.map(({ namespace, key }) => [namespace, key]),
        [['other', 'new']],
      );
      assert.deepEqual(
        changed.map(({ before, after }) => [before.value, after.value]),
        [[1, 2]],
      );
      assert.deepEqual(
        removed.map(({ key }) => key),
        ['gone'],
      );
      const none = await cache.diff(new Date(1), 3, { namespace: 'other' });
      assert.deepEqual(none, { added: [], changed: [], removed: [] });
      assert.match(await cache.digest('space'), /^[0-9a-f]{64}$/);
      assert.notEqual(await cache.digest(), await cache.digest('space'));
    },
  ],
  [
    'keeps topics and backup settings, and takes a snapshot',
    async (cache) => {
      await cache.setTopicsList(['agents.plans']);
      await cache.addTopic('agents.more');
      await cache.removeTopic('agents.plans');
      assert.deepEqual(await cache.getTopicsList(), ['agents.more']);
      assert.equal((await failureOf(() => cache.addTopic('no topic'))).code, 'INVALID_OPTION');
      await cache.setTopicsList([]);
      assert.equal(await cache.isBackupEnabled(), false);
      await cache.enableBackup({ interval: 3_600, keep: 2 });
      assert.equal(await cache.isBackupEnabled(), true);
      assert.equal((await cache.getBackupSettings()).keep, 2);
      assert.equal((await cache.getBackupStatus()).enabled, true);
      assert.equal((await failureOf(() => cache.enableBackup({ interval: -1 }))).code, 'INVALID_OPTION');
      await cache.disableBackup();
      const { position } = await cache.set('a', 1, 'space');
      assert.equal((await cache.backup()).position, position);
    },
  ],
  [
    'reports health, and waits for the log and the followers',
    async (cache) => {
      await cache.set('a', 1, 'space');
      await cache.flush();
      await cache.synced();
      await cache.barrier();
      await cache.reached(1);
      await cache.ask({ type: 'cache.reached', position: 1 });
      assert.equal(
        (await failureOf(() => cache.ask({ type: 'cache.reached', position: 2, timeoutMs: 5 }))).code,
        'TIMED_OUT',
      );
      const stop = new AbortController();
      const waiting = cache.as({ agent: 'reader' }).reached(2, { signal: stop.signal });
      stop.abort(new Error('given up'));
      await assert.rejects(waiting, /given up/);
      await assert.rejects(async () => cache.reached(-1), /takes a position/);
      assert.equal(await cache.get('a', 'space', { maxStalenessMs: '1h' }), 1);
      assert.equal(await cache.namespace('space').get('a', { maxStalenessMs: 60_000 }), 1);
      assert.equal(
        await cache.as({ agent: 'reader' }, { basis: true }).get('a', 'space', { maxStalenessMs: 60_000 }),
        1,
      );
      await assert.rejects(async () => cache.get('a', 'space', { maxStalenessMs: -1 }), /maxStalenessMs/);
      const health = await cache.health();
      assert.equal(health.status, 'ok');
      assert.equal(health.log.head, 1);
      assert.equal(health.namespaces.total >= 1, true);
      assert.equal(health.redis, undefined);
    },
  ],
  [
    'counts commands, hits, misses and conflicts in health',
    async (cache) => {
      await cache.set('a', 'text', 'space');
      await assert.rejects(async () => cache.set('a', 1, 'space', { ifVersion: 7 }), { code: 'VERSION_CONFLICT' });
      await cache.get('a', 'space');
      await cache.getMany(['a', 'x'], 'space');
      const { operations, hits, misses, conflicts, failures, bytesWritten } = (await cache.health()).activity;
      assert.deepEqual([operations['context.set']?.count, operations['context.set']?.failed], [2, 1]);
      assert.equal(operations['context.get']?.count, 1);
      assert.deepEqual([hits, misses, conflicts, failures], [2, 1, 1, { VERSION_CONFLICT: 1 }]);
      assert.equal(bytesWritten > 0, true);
      // A read that is remembered for a basis is one read.
      const reader = cache.as({ agent: 'reader' }, { basis: true });
      assert.equal(await reader.get('a', 'space', { maxStalenessMs: '1h' }), 'text');
      const later = (await cache.health()).activity.operations;
      assert.deepEqual([later['context.get']?.count, later['context.entry']?.count], [1, 1]);
      const latency = operations['context.set']?.latency;
      assert.equal(latency !== undefined && latency.p50Ms <= latency.maxMs, true);
    },
  ],
];

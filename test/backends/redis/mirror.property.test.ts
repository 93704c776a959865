import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { BaseContextCache } from '../../../src/backends/base-context-cache.ts';
import { changeOf, coalesce } from '../../../src/backends/change.ts';
import { FileContextCache } from '../../../src/backends/file-context-cache.ts';
import { InMemoryContextCache } from '../../../src/backends/in-memory-context-cache.ts';
import { RedisContextCache } from '../../../src/backends/redis/redis-context-cache.ts';
import type { Update } from '../../../src/core/update.ts';
import { LATER, never, updateAt } from '../../support/backends.ts';
import { fcOptions } from '../../support/property.ts';
import { startRedis, type TestServer } from '../../support/servers.ts';
import { tempDir } from '../../support/temp-dir.ts';

let redis: TestServer;
let directory: string;
let count = 0;

beforeAll(async () => {
  redis = await startRedis();
  directory = await tempDir('mirror');
});
afterAll(async () => {
  await redis[Symbol.asyncDispose]();
});

interface Asked {
  readonly operation: 'set' | 'delete' | 'touch' | 'clear' | 'drop' | 'expire' | 'evict';
  readonly namespace: string;
  readonly key: string;
  readonly value: number;
  readonly expires: boolean;
}

const name = fc.constantFrom('a', 'b', 'a:b', '%', '__proto__');
const asked: fc.Arbitrary<Asked[]> = fc.array(
  fc.record({
    operation: fc.constantFrom('set', 'set', 'set', 'delete', 'touch', 'expire', 'evict', 'clear', 'drop'),
    namespace: name,
    key: name,
    value: fc.nat(),
    expires: fc.boolean(),
  }),
  { maxLength: 60 },
) as fc.Arbitrary<Asked[]>;

/** The order of a log: what changes nothing makes no update. */
function logOf(commands: readonly Asked[]): { updates: Update[]; model: InMemoryContextCache } {
  const model = new InMemoryContextCache();
  const updates: Update[] = [];
  for (const { operation, namespace, key, value, expires } of commands) {
    const expiresAt = expires ? LATER : null;
    const there = model.get(key, namespace) !== undefined;
    const position = updates.length + 1;
    if (operation === 'set') {
      model.set(key, value, namespace);
      updates.push(updateAt(position, 'set', { namespace, key, value, expiresAt }));
    } else if (operation === 'clear' || operation === 'drop') {
      if (!model.listNamespaces().includes(namespace)) continue;
      const drop = operation === 'drop';
      if (drop) model.dropNamespace(namespace);
      else model.clearNamespace(namespace);
      updates.push(updateAt(position, 'clear_namespace', { namespace, key: null, drop }));
    } else if (there) {
      if (operation !== 'touch') model.delete(key, namespace);
      updates.push(
        updateAt(position, operation, { namespace, key, expiresAt: operation === 'touch' ? expiresAt : null }),
      );
    }
  }
  return { updates, model };
}

async function contentOf(cache: BaseContextCache): Promise<unknown> {
  const content: [string, unknown[]][] = [];
  for (const namespace of [...(await cache.listNamespaces())].sort()) {
    const keys = [...(await cache.listKeys(namespace))].sort();
    const values = await cache.getMany(keys, namespace);
    content.push([namespace, keys.map((key, index) => [key, values[index]])]);
  }
  return content;
}

/** Batches of these sizes, each made twice with some of the one before. */
async function deliver(cache: BaseContextCache, updates: readonly Update[], sizes: readonly number[]): Promise<void> {
  let after = 0;
  for (let turn = 0; after < updates.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    const from = Math.max(0, after - (turn % 3));
    const through = Math.min(updates.length, after + size);
    const batch = updates.slice(from, through);
    for (let time = 0; time < 2; time += 1)
      await cache.applyUpdates?.(batch, { log: 'l', after: from, through }, never);
    after = through;
  }
}

const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 });

it.each([
  ['Redis', () => new RedisContextCache({ url: redis.url, prefix: `p${count}:` }), 60],
  ['a file', () => new FileContextCache({ path: join(directory, `${count}.json`) }), 15],
] as const)('updates in any batches, repeated and overlapping, leave %s as the log says', async (_name, open, runs) => {
  const property = fc.asyncProperty(asked, sizes, async (commands, batchSizes) => {
    count += 1;
    const { updates, model } = logOf(commands);
    const cache = open();
    try {
      await deliver(cache, updates, batchSizes);
      expect(await contentOf(cache)).toEqual(await contentOf(model));
      await cache.close();
      expect(await contentOf(cache)).toEqual(await contentOf(model));
      expect((await cache.appliedPosition(`l`, never)) ?? 0).toBe(updates.length);
    } finally {
      await cache.close();
    }
  });
  await fc.assert(property, fcOptions(runs));
});

it('coalesced changes have the same end, are one of each key, and keep their ranks in order', () => {
  const property = fc.property(asked, (commands) => {
    const { updates, model } = logOf(commands);
    const changes = coalesce(updates.map(changeOf));
    const ends = new Map<string, unknown>();
    const ranks = changes.map(({ rank }) => rank);
    expect(ranks).toEqual([...ranks].sort((a, b) => a - b));
    expect(new Set(changes.map(({ namespace, key }) => JSON.stringify([namespace, key]))).size).toBe(changes.length);
    for (const { kind, namespace, key, value } of changes) {
      const inNamespace = JSON.stringify(namespace);
      if (kind === 'clear' || kind === 'drop')
        for (const id of ends.keys()) if (id.startsWith(inNamespace)) ends.delete(id);
      if (kind === 'set') ends.set(`${inNamespace} ${key}`, value);
      if (kind === 'delete') ends.delete(`${inNamespace} ${key}`);
    }
    const expected = new Map<string, unknown>();
    for (const namespace of model.listNamespaces()) {
      for (const key of model.listKeys(namespace))
        expected.set(`${JSON.stringify(namespace)} ${key}`, model.get(key, namespace));
    }
    expect([...ends].sort()).toEqual([...expected].sort());
  });
  fc.assert(property, fcOptions(300));
});

it('a touch after a set gives the set its instant', () => {
  const updates = [updateAt(1, 'set', { value: 1 }), updateAt(2, 'touch', { expiresAt: LATER })];
  expect(coalesce(updates.map(changeOf))).toEqual([
    { kind: 'set', namespace: 'space', key: 'key', value: 1, expiresAt: LATER, rank: 1 },
  ]);
});

import { mkdtemp, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { encrypt, MemorySnapshotStore, RedisSnapshotStore } from '../../src/backup.ts';
import {
  AgentContextCache,
  BackupInitiator,
  BackupLoader,
  BackupManager,
  ContextBufferQueue,
  ContextCacheError,
  ContextUpdateEventPusher,
  ContextUpdateProcessor,
  diff,
  FileContextCache,
  InMemoryContextCache,
  MultiBackendContextCache,
  RedisContextCache,
  replay,
  verifyDirectory,
} from '../../src/index.ts';
import { startInspector } from '../../src/inspector.ts';

type Cache = AgentContextCache;
/** Options that the compiler would refuse. */
type Wrong = never;

interface Case {
  /** The owner of the options, as the message names it. */
  readonly owner: string;
  readonly take: (options: Wrong, cache: Cache) => unknown;
  readonly typo: readonly [given: string, meant: string];
  readonly misplaced?: readonly [name: string, owner: string];
  /** An option that may be `undefined`. */
  readonly known: string;
}

const store = new MemorySnapshotStore();
const memory = new InMemoryContextCache();
const settings = { interval: 1, mode: 'manual', keep: 1 } as const;

/** A nested option object is given inside the options of the constructor. */
const inside = (name: string) => async (options: Wrong) => {
  await new AgentContextCache({ [name]: options, onError: () => {} }).shutdown();
};

const CASES: readonly Case[] = [
  {
    owner: 'new AgentContextCache',
    take: (options) => new AgentContextCache(options).shutdown(),
    typo: ['onErorr', 'onError'],
    misplaced: ['dataDir', 'AgentContextCache.open'],
    known: 'topics',
  },
  {
    owner: 'new AgentContextCache',
    take: (options) => new AgentContextCache(options).shutdown(),
    typo: ['natsurl', 'natsUrl'],
    misplaced: ['keepUpdates', 'log'],
    known: 'redisUrl',
  },
  {
    owner: 'AgentContextCache.open',
    take: (options) => AgentContextCache.open(options),
    typo: ['datadir', 'dataDir'],
    misplaced: ['transforms', 'backup'],
    known: 'dataDir',
  },
  { owner: 'log', take: inside('log'), typo: ['keepUpdate', 'keepUpdates'], known: 'keepMs' },
  { owner: 'backup', take: inside('backup'), typo: ['enable', 'enabled'], known: 'keep' },
  { owner: 'restart', take: inside('restart'), typo: ['period', 'periodMs'], known: 'intensity' },
  { owner: 'limits', take: inside('limits'), typo: ['maxByte', 'maxBytes'], known: 'maxDepth' },
  { owner: 'backOff', take: inside('backOff'), typo: ['maximum', 'maximumMs'], known: 'initialMs' },
  { owner: 'inspector', take: inside('inspector'), typo: ['allowWrites', 'allowWrite'], known: 'host' },
  {
    owner: 'set',
    take: (options, cache) => cache.set('key', 2, 'default', options),
    typo: ['ifversion', 'ifVersion'],
    known: 'ttl',
  },
  {
    owner: 'set',
    take: (options, cache) => cache.namespace('default').set('key', 2, options),
    typo: ['tll', 'ttl'],
    known: 'expiresAt',
  },
  {
    owner: 'setMany',
    take: (options, cache) => cache.setMany({}, 'default', options),
    typo: ['tll', 'ttl'],
    misplaced: ['ifVersion', 'set'],
    known: 'agent',
  },
  {
    owner: 'update',
    take: (options, cache) => cache.update('key', () => 2, 'default', options),
    typo: ['expireAt', 'expiresAt'],
    known: 'ifVersion',
  },
  {
    owner: 'getOrSet',
    take: (options, cache) => cache.getOrSet('other', () => 2, 'default', options),
    typo: ['agnet', 'agent'],
    misplaced: ['ifVersion', 'set'],
    known: 'ttl',
  },
  {
    owner: 'delete',
    take: (options, cache) => cache.delete('key', 'default', options),
    typo: ['ifVerson', 'ifVersion'],
    misplaced: ['ttl', 'set'],
    known: 'agent',
  },
  {
    owner: 'touch',
    take: (options, cache) => cache.touch('key', 'default', { ttl: 1000, ...(options as object) }),
    typo: ['ifversion', 'ifVersion'],
    known: 'agent',
  },
  {
    owner: 'batch',
    take: (options, cache) => cache.batch([{ operation: 'set', key: 'key', value: 2 }], 'default', options),
    typo: ['agents', 'agent'],
    misplaced: ['ttl', 'set'],
    known: 'agent',
  },
  {
    owner: 'clearNamespace',
    take: (options, cache) => cache.clearNamespace('default', options),
    typo: ['Agent', 'agent'],
    misplaced: ['ifVersion', 'set'],
    known: 'agent',
  },
  {
    owner: 'dropNamespace',
    take: (options, cache) => cache.dropNamespace('default', options),
    typo: ['agnt', 'agent'],
    known: 'agent',
  },
  {
    owner: 'watch',
    take: (options, cache) => cache.watch(options).return?.(),
    typo: ['namespaces', 'namespace'],
    known: 'since',
  },
  {
    owner: 'watch of a namespace',
    take: (options, cache) => cache.namespace('default').watch(options).return?.(),
    typo: ['key', 'keys'],
    misplaced: ['namespace', 'watch'],
    known: 'signal',
  },
  {
    owner: 'subscribe',
    take: (options, cache) => cache.subscribe(() => {}, options)(),
    typo: ['namespaces', 'namespace'],
    misplaced: ['since', 'watch'],
    known: 'keys',
  },
  {
    owner: 'subscribe of a namespace',
    take: (options, cache) => cache.namespace('default').subscribe(() => {}, options)(),
    typo: ['key', 'keys'],
    misplaced: ['namespace', 'subscribe'],
    known: 'keys',
  },
  { owner: 'readLog', take: (options, cache) => cache.readLog(options).next(), typo: ['form', 'from'], known: 'to' },
  {
    owner: 'ask',
    take: (options, cache) => cache.ask({ type: 'context.set', key: 'key', value: 2 }, options),
    typo: ['signals', 'signal'],
    known: 'signal',
  },
  {
    owner: 'fork',
    take: async (options, cache) => (await cache.fork(options)).shutdown(),
    typo: ['att', 'at'],
    misplaced: ['keepUpdates', 'log'],
    known: 'dataDir',
  },
  {
    owner: 'merge',
    take: async (options, cache) => {
      await using branch = await cache.fork();
      await branch.set('key', 2);
      return await cache.merge(branch, options);
    },
    typo: ['onConflicts', 'onConflict'],
    known: 'agent',
  },
  {
    owner: 'diff',
    take: (options, cache) => cache.diff(0, 1, options),
    typo: ['namespaces', 'namespace'],
    known: 'namespace',
  },
  {
    owner: 'diff',
    take: (options, cache) => diff(cache, cache, options),
    typo: ['namspace', 'namespace'],
    known: 'namespace',
  },
  { owner: 'bisect', take: (options, cache) => cache.bisect(() => true, options), typo: ['fro', 'from'], known: 'to' },
  {
    owner: 'compact',
    take: (options, cache) => cache.compact({ keepUpdates: 1000, ...(options as object) }),
    typo: ['keepms', 'keepMs'],
    known: 'forget',
  },
  { owner: 'verify', take: (options, cache) => cache.verify(options), typo: ['againts', 'against'], known: 'signal' },
  { owner: 'synced', take: (options, cache) => cache.synced(options), typo: ['timeout', 'timeoutMs'], known: 'signal' },
  {
    owner: 'shutdown',
    take: (options) => new AgentContextCache().shutdown(options),
    typo: ['timeOutMs', 'timeoutMs'],
    known: 'timeoutMs',
  },
  {
    owner: 'startInspector',
    take: async (options, cache) => (await startInspector(cache, options)).close(),
    typo: ['allowwrite', 'allowWrite'],
    known: 'port',
  },
  {
    owner: 'replay',
    take: async (options) => (await replay([], options)).cache.shutdown(),
    typo: ['untill', 'until'],
    misplaced: ['keepBytes', 'log'],
    known: 'dataDir',
  },
  {
    owner: 'verifyDirectory',
    take: (options) => verifyDirectory('/nonexistent', options),
    typo: ['transform', 'transforms'],
    known: 'clock',
  },
  {
    owner: 'RedisContextCache',
    take: (options) => new RedisContextCache({ url: 'redis://127.0.0.1:1', ...(options as object) }),
    typo: ['prefx', 'prefix'],
    known: 'clock',
  },
  {
    owner: 'FileContextCache',
    take: (options) => new FileContextCache({ path: '/nonexistent/file', ...(options as object) }),
    typo: ['Path', 'path'],
    known: 'path',
  },
  {
    owner: 'MultiBackendContextCache',
    take: (options) => new MultiBackendContextCache({ primary: memory, secondary: memory, ...(options as object) }),
    typo: ['minBackOffMS', 'minBackoffMs'],
    known: 'maxPending',
  },
  {
    owner: 'ContextUpdateEventPusher',
    take: (options) => new ContextUpdateEventPusher({ url: 'nats://127.0.0.1:1', ...(options as object) }),
    typo: ['jetStream', 'jetstream'],
    misplaced: ['messages', 'window'],
    known: 'window',
  },
  {
    owner: 'ContextUpdateProcessor',
    take: (options) => new ContextUpdateProcessor({ log: 'log', ...(options as object) }),
    typo: ['subjectID', 'subjectId'],
    known: 'subjectId',
  },
  {
    owner: 'ContextBufferQueue',
    take: (options) => new ContextBufferQueue({ deliver: async () => {}, ...(options as object) }),
    typo: ['capcity', 'capacity'],
    known: 'capacity',
  },
  {
    owner: 'BackupManager',
    take: (options) => new BackupManager({ store, ...(options as object) }),
    typo: ['setting', 'settings'],
    known: 'transforms',
  },
  {
    owner: 'BackupInitiator',
    take: (options) => new BackupInitiator({ settings, due: () => {}, ...(options as object) }),
    typo: ['retry', 'retryMs'],
    known: 'settleMs',
  },
  {
    owner: 'BackupLoader',
    take: (options) => new BackupLoader({ store, ...(options as object) }),
    typo: ['onDamage', 'onDamaged'],
    known: 'transforms',
  },
  {
    owner: 'RedisSnapshotStore',
    take: (options) => new RedisSnapshotStore({ url: 'redis://127.0.0.1:1', ...(options as object) }),
    typo: ['prefx', 'prefix'],
    known: 'prefix',
  },
  {
    owner: 'encrypt',
    take: (options) => encrypt({ key: new Uint8Array(32), ...(options as object) }),
    typo: ['keys', 'key'],
    known: 'key',
  },
];

const named = CASES.map((each) => [`${each.owner} (${each.typo[0]})`, each] as const);

/** Returns the error of `take` on a cache that holds `key` = 1, and checks that the cache is unchanged. */
async function refusal({ take }: Case, options: Record<string, unknown>): Promise<unknown> {
  await using cache = new AgentContextCache({ onError: () => {} });
  await cache.set('key', 1);
  try {
    await take(options as Wrong, cache);
    return undefined;
  } catch (error) {
    expect(cache.position).toBe(1);
    expect(cache.get('key')).toBe(1);
    return error;
  }
}

test.each(named)('%s: refuses a mistyped option with the nearest name', async (_, each) => {
  const [given, meant] = each.typo;
  expect(await refusal(each, { [given]: 1 })).toMatchObject({
    code: 'INVALID_OPTION',
    message: `${each.owner} has no option ${given}. Did you mean ${meant}?`,
  });
});

test.each(named.filter(([, { misplaced }]) => misplaced))(
  '%s: says where a misplaced option belongs',
  async (_, each) => {
    const [name, owner] = each.misplaced ?? ['', ''];
    expect(await refusal(each, { [name]: 1 })).toMatchObject({
      code: 'INVALID_OPTION',
      message: `${each.owner} has no option ${name}: ${name} is an option of ${owner}.`,
    });
  },
);

test.each(named)('%s: accepts undefined for a known option', async (_, each) => {
  const error = await refusal(each, { [each.known]: undefined });
  if (error instanceof ContextCacheError) expect(error.message).not.toContain('has no option');
});

test('lists the options if none is near', async () => {
  await using cache = new AgentContextCache();
  expect(() => cache.watch({ everything: true } as Wrong)).toThrow(
    'watch has no option everything. It takes namespace, namespacePrefix, keys, keyPrefix, include, since, signal, bufferSize.',
  );
});

test.each([null, 'ttl', 5, [1]])('refuses options that are not an object: %j', async (options) => {
  await using cache = new AgentContextCache({ onError: () => {} });
  await expect(cache.set('key', 1, 'default', options as Wrong)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
});

test('refuses a name of Object.prototype as unknown', async () => {
  await using cache = new AgentContextCache();
  for (const name of ['constructor', 'toString', '__proto__']) {
    const options = Object.defineProperty({}, name, { value: 1, enumerable: true });
    expect(() => cache.watch(options)).toThrow(`watch has no option ${name}`);
  }
});

test('refuses a mistyped option before it creates the directory', async () => {
  const parent = await mkdtemp(join(tmpdir(), 'options-'));
  const dataDir = join(parent, 'data');
  await expect(AgentContextCache.open({ dataDir, durablity: 'memory' } as Wrong)).rejects.toMatchObject({
    message: 'AgentContextCache.open has no option durablity. Did you mean durability?',
  });
  await expect(replay([], { dataDir, unitl: 5 } as Wrong)).rejects.toThrow('Did you mean until?');
  expect(await readdir(parent)).toEqual([]);
});

test('names the nearest field and type of a command', async () => {
  await using cache = new AgentContextCache();
  await expect(cache.ask({ type: 'context.set', key: 'a', value: 1, tll: 5 } as Wrong)).rejects.toMatchObject({
    code: 'INVALID_COMMAND',
    message: expect.stringContaining('has no field "tll". Did you mean ttl?'),
  });
  await expect(cache.ask({ type: 'context.sett', key: 'a' } as Wrong)).rejects.toThrow('Did you mean context.set?');
  await expect(cache.batch([{ operation: 'set', key: 'a', value: 1, ifversion: 0 }] as Wrong)).rejects.toThrow(
    'has no field "ifversion". Did you mean ifVersion?',
  );
});

import type { BaseCheckpointSaver } from '@langchain/langgraph-checkpoint';
import * as runner from 'vitest';
import { MemorySnapshotStore } from '../../src/backup.ts';
import { AgentContextCache, RedisContextCache } from '../../src/index.ts';
import { ContextCacheSaver } from '../../src/langgraph.ts';
import { BOTH_CACHES, type Reached } from '../support/both-caches.ts';
import { startRedis } from '../support/servers.ts';

// The suite expects a runner that has its functions as globals.
Object.assign(globalThis, runner);
const { deltaChannelHistoryTests, validate } = await import('@langchain/langgraph-checkpoint-validation');

/** A saver with what it needs. */
interface Opened {
  readonly saver: BaseCheckpointSaver;
  readonly close: () => Promise<void>;
}

/** A cache that is written, and how a second one is opened that has what the first one left outside. */
interface Left {
  readonly cache: AgentContextCache;
  readonly open: () => Promise<AgentContextCache>;
}

const OPTIONS = { natsUrl: null, onError: () => {} } as const;

function leftInBackup(): Left {
  const store = new MemorySnapshotStore();
  const cache = new AgentContextCache({ ...OPTIONS, backup: { store, mode: 'manual' } });
  const open = async () => {
    await cache.backup();
    return AgentContextCache.open({ ...OPTIONS, restoreFrom: store });
  };
  return { cache, open };
}

let redis: Awaited<ReturnType<typeof startRedis>> | undefined;
let mirrors = 0;
runner.afterAll(async () => redis?.[Symbol.asyncDispose]());

async function leftInMirror(): Promise<Left> {
  redis ??= await startRedis();
  const { url } = redis;
  mirrors += 1;
  const prefix = `saver-${mirrors}:`;
  const cache = new AgentContextCache({ ...OPTIONS, redisUrl: url, redisPrefix: prefix });
  const open = async () => {
    await cache.synced();
    const primaryCache = new RedisContextCache({ url, prefix });
    return new AgentContextCache({ ...OPTIONS, primaryCache }) as unknown as AgentContextCache;
  };
  return { cache, open };
}

/** Opens a saver that writes to one cache and reads, after each write, from another one that has what the first one left. */
async function restored(left: () => Left | Promise<Left>): Promise<Opened> {
  const { cache, open } = await left();
  const writer = new ContextCacheSaver(cache);
  let copy: AgentContextCache | undefined;
  const reader = async () => {
    copy ??= await open();
    return new ContextCacheSaver(copy);
  };
  const written = async <Result>(result: Promise<Result>): Promise<Result> => {
    await copy?.shutdown();
    copy = undefined;
    return result;
  };
  class Restored extends ContextCacheSaver {
    override put(...args: Parameters<ContextCacheSaver['put']>) {
      return written(writer.put(...args));
    }
    override putWrites(...args: Parameters<ContextCacheSaver['putWrites']>) {
      return written(writer.putWrites(...args));
    }
    override deleteThread(threadId: string) {
      return written(writer.deleteThread(threadId));
    }
    override async getTuple(...args: Parameters<ContextCacheSaver['getTuple']>) {
      return (await reader()).getTuple(...args);
    }
    override async *list(...args: Parameters<ContextCacheSaver['list']>) {
      yield* (await reader()).list(...args);
    }
  }
  const close = async () => void (await Promise.all([cache.shutdown(), copy?.shutdown()]));
  return { saver: new Restored(cache), close };
}

async function over(open: () => Promise<Reached>): Promise<Opened> {
  const reached = await open();
  return { saver: new ContextCacheSaver(reached.store), close: async () => reached[Symbol.asyncDispose]() };
}

const WAYS: readonly (readonly [name: string, open: () => Promise<Opened>])[] = [
  ...BOTH_CACHES.map(([name, open]) => [`a ${name} cache`, () => over(open)] as const),
  ['a cache restored from a backup', () => restored(leftInBackup)],
  ['a cache over the Redis that another one was mirrored to', () => restored(leftInMirror)],
];

runner.describe.each(WAYS)("LangGraph's validation suite over %s", (name, open) => {
  const opened = new Map<BaseCheckpointSaver, Opened>();
  const initializer = {
    checkpointerName: `ContextCacheSaver over ${name}`,
    async createCheckpointer() {
      const each = await open();
      opened.set(each.saver, each);
      return each.saver;
    },
    async destroyCheckpointer(saver: BaseCheckpointSaver) {
      await opened.get(saver)?.close();
      opened.delete(saver);
    },
  };
  validate(initializer);
  deltaChannelHistoryTests(initializer);
});

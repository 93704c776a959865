import type { BaseCheckpointSaver } from '@langchain/langgraph-checkpoint';
import * as runner from 'vitest';
import { MemorySnapshotStore } from '../../src/backup.ts';
import { AgentContextCache } from '../../src/index.ts';
import { ContextCacheSaver } from '../../src/langgraph.ts';
import { BOTH_CACHES, type Reached } from '../support/both-caches.ts';

// The suite expects a runner that has its functions as globals.
Object.assign(globalThis, runner);
const { deltaChannelHistoryTests, validate } = await import('@langchain/langgraph-checkpoint-validation');

/** A saver with what it needs. */
interface Opened {
  readonly saver: BaseCheckpointSaver;
  readonly close: () => Promise<void>;
}

/** Opens a saver that writes to one cache and reads, after each write, from another one that was restored from its backup. */
async function restored(): Promise<Opened> {
  const store = new MemorySnapshotStore();
  const options = { natsUrl: null, onError: () => {} };
  const cache = new AgentContextCache({ ...options, backup: { store, mode: 'manual' } });
  const writer = new ContextCacheSaver(cache);
  let copy: AgentContextCache | undefined;
  const reader = async () => {
    if (copy === undefined) {
      await cache.backup();
      copy = await AgentContextCache.open({ ...options, restoreFrom: store });
    }
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
  ['a cache restored from a backup', restored],
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

import type { AgentContextCache } from '../../../src/index.ts';

/** Turns of the microtask queue within which a promise must settle if it waits for nothing outside the process. */
const MICROTASKS = 10;
/** Limit for a call that would never end, because no timer of the cache fires meanwhile. */
const PATIENCE_MS = 20_000;

interface Call {
  readonly name: string;
  readonly made: (cache: AgentContextCache, n: number) => unknown;
}

const READS: readonly Call[] = [
  { name: 'get', made: (cache) => cache.get('local', 'local') },
  { name: 'getMany', made: (cache) => cache.getMany(['local', 'none'], 'local') },
  { name: 'has', made: (cache) => cache.has('local', 'local') },
  { name: 'entry', made: (cache) => cache.entry('local', 'local') },
  { name: 'entries', made: (cache) => cache.entries('local') },
  { name: 'listKeys', made: (cache) => cache.listKeys('local') },
  { name: 'listNamespaces', made: (cache) => cache.listNamespaces() },
];

const WRITES: readonly Call[] = [
  { name: 'set', made: (cache, n) => cache.set('local', n, 'local') },
  { name: 'touch', made: (cache) => cache.touch('local', 'local', { expiresAt: null }) },
  { name: 'batch', made: (cache, n) => cache.batch([{ operation: 'set', key: `k${n}`, value: n }], 'local') },
  { name: 'update', made: (cache) => cache.update('local', (value) => Number(value) + 1, 'local') },
  { name: 'delete', made: (cache, n) => cache.delete(`k${n}`, 'local') },
  { name: 'clearNamespace', made: (cache) => cache.clearNamespace('local') },
  { name: 'dropNamespace', made: (cache) => cache.dropNamespace('local') },
];

/**
 * Returns the names of local calls that wait for something outside the process. None should. A read must be answered at
 * once. A write `inMemory` must settle before anything but microtasks has run. A write to disk must end although no
 * timer of the cache fires: freeze its clock before.
 */
export async function callsThatWait(
  cache: AgentContextCache,
  inMemory: boolean,
  patienceMs = PATIENCE_MS,
): Promise<string[]> {
  const waiting: string[] = [];
  for (let n = 0; n < 2; n += 1) {
    for (const { name, made } of WRITES) {
      const settled = settling(made(cache, n));
      if (!(inMemory ? await settled.soon() : await settled.ever(patienceMs))) waiting.push(name);
      for (const read of READS) if (isPromise(read.made(cache, n))) waiting.push(read.name);
    }
  }
  return [...new Set(waiting)];
}

function settling(outcome: unknown): { soon(): Promise<boolean>; ever(patienceMs: number): Promise<boolean> } {
  let settled = false;
  const ending = Promise.resolve(outcome).then(
    () => {
      settled = true;
    },
    (error) => {
      throw new Error('A local call was refused while a server is away.', { cause: error });
    },
  );
  ending.catch(() => {});
  return {
    soon: async () => {
      for (let i = 0; i < MICROTASKS && !settled; i += 1) await Promise.resolve();
      return settled;
    },
    ever: async (patienceMs) => {
      let timer: NodeJS.Timeout | undefined;
      const patience = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, patienceMs);
      });
      await Promise.race([ending, patience]);
      clearTimeout(timer);
      return settled;
    },
  };
}

/** Marks a rejection as handled: the call was made for its timing, not for its result. */
function isPromise(answer: unknown): boolean {
  if (!(answer instanceof Promise)) return false;
  answer.catch(() => {});
  return true;
}

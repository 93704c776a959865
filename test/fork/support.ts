import { AgentContextCache, type OpenOptions } from '../../src/index.ts';
import { closing, type Failure, simulatedClock } from '../cache/support.ts';
import { tempDir } from '../support/temp-dir.ts';

/** In memory, and in a directory. */
export const durableKinds = [
  { kind: 'in memory', dataDir: async () => undefined },
  { kind: 'in a directory', dataDir: () => tempDir('parent') },
];

/** A cache on simulated time, that does not wait for the disk. */
export async function open(options: OpenOptions = {}) {
  const clock = simulatedClock();
  const failures: Failure[] = [];
  const cache = await AgentContextCache.open({
    clock,
    sync: false,
    natsUrl: null,
    onError: (error, source) => void failures.push({ error, source }),
    ...options,
  });
  return { cache: closing(cache), clock, failures };
}

import type { BaseContextCache } from '../backends/base-context-cache.ts';

/** A test of the suite: its name, and what must hold for a new and empty cache. */
export type Check = readonly [name: string, run: (cache: BaseContextCache) => Promise<void>];

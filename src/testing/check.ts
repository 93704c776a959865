import type { BaseContextCache } from '../backends/base-context-cache.ts';

/** A test of the suite: its name, and a check of a new and empty cache. */
export type Check = readonly [name: string, run: (cache: BaseContextCache) => Promise<void>];

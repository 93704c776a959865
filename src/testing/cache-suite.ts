import { operationChecks } from './cache-suite-operations.ts';
import { orderChecks } from './cache-suite-order.ts';
import { followingChecks, pastChecks } from './cache-suite-past.ts';
import { searchChecks } from './cache-suite-search.ts';
import { readingChecks, writingChecks } from './cache-suite-values.ts';
import { writeChecks } from './cache-suite-writes.ts';
import type { SuiteCache, SuiteTraits } from './served-cache.ts';

/** A cache under test, or a client of one. */
export interface ServedUnderTest {
  /** New and empty, in memory or not, with a store for snapshots. */
  readonly cache: SuiteCache;
  /** Closes it and removes its data. Called at the end of each test. */
  readonly dispose: () => Promise<void> | void;
}

/** Options of {@link cacheSuite}. */
export interface CacheSuiteOptions {
  /** `test` or `it` of the test runner: of vitest, jest or `node:test`. */
  readonly test: (name: string, run: () => Promise<void>) => unknown;
  /** Opens a cache. Called for each test. */
  readonly open: () => ServedUnderTest | Promise<ServedUnderTest>;
  /**
   * When a write is visible to reads of the same cache: once its call has returned, or, as on a node of a cluster, once its
   * promise has resolved. Default `when called`.
   */
  readonly visible?: SuiteTraits['visible'] | undefined;
}

/**
 * Defines the tests that every way to a cache must pass, for any test runner: `AgentContextCache` itself, and clients that
 * reach one in another process. They have the same methods, arguments, results and errors.
 *
 * @example
 * ```ts
 * import { describe, test } from 'vitest';
 * describe('MyClient', () => cacheSuite({ test, open: async () => ({ cache: await myClient(), dispose() {} }) }));
 * ```
 */
export function cacheSuite({ test, open, visible = 'when called' }: CacheSuiteOptions): void {
  const reads = [...readingChecks, ...orderChecks, ...searchChecks];
  const writes = [...writingChecks, ...writeChecks, ...operationChecks];
  for (const [title, run] of [...reads, ...writes, ...followingChecks, ...pastChecks]) {
    test(title, async () => {
      const { cache, dispose } = await open();
      try {
        await run(cache, { visible });
      } finally {
        await dispose();
      }
    });
  }
}

import { createRequire } from 'node:module';
import { expect, test } from 'vitest';
import { CacheLevel, type StoredAs } from '../support/cache-level.ts';
import { type TapeBody, TapeTest } from '../support/tape.ts';

/** The published suite of abstract-level, written for tape and without types. */
type Suite = (options: { readonly test: TapeRegister; readonly factory: (options?: object) => unknown }) => void;
type TapeRegister = (name: string, ...rest: [TapeBody] | [options: object, TapeBody]) => void;

const suite = createRequire(import.meta.url)('abstract-level/test') as Suite;

/**
 * Ordered reads of a cache, tested by the suite that every abstract-level database passes: ranges, limits, seeks, snapshots,
 * batches and encodings. The cases run in one test, because a test of vitest takes longer than most of them.
 */
test.each<[what: string, storedAs: StoredAs, isLive: boolean, expected: number]>([
  ['views, with keys as bytes', 'buffer', false, 5_126],
  ['the present, with keys as text', 'utf8', true, 3_878],
])('the suite of abstract-level passes over %s', { timeout: 120_000 }, async (_what, storedAs, isLive, expected) => {
  const levels: CacheLevel<string | Buffer>[] = [];
  const cases: (readonly [name: string, body: TapeBody])[] = [];
  suite({
    test: (name, ...rest) => void cases.push([name, rest.at(-1) as TapeBody]),
    factory: (options) => {
      const level = new CacheLevel<string | Buffer>(storedAs, isLive, options);
      levels.push(level);
      return level;
    },
  });
  let checks = 0;
  const failures: string[] = [];
  for (const [name, body] of cases) {
    const t = new TapeTest();
    await t.run(body).catch((error: unknown) => failures.push(`${name}: ${error}`));
    checks += t.checks;
  }
  // Some databases are opened in one case and used in later ones.
  for (const { cache } of levels) await cache.shutdown();
  expect(failures).toEqual([]);
  expect(checks).toBe(expected);
});

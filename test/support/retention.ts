import { expect } from 'vitest';
import type { AgentContextCache, Update } from '../../src/index.ts';
import { codeOf } from './cache.ts';
import { foldTo } from './past.ts';
import { expectDifferences, expectFold, KEYS, NAMES } from './past-commands.ts';

/** All updates that a cache has logged, including those that it has discarded. */
export class Recording {
  readonly updates: Update[] = [];

  /** Records the new updates. Call it before they can be discarded. */
  async record(cache: AgentContextCache): Promise<void> {
    await cache.flush();
    for await (const update of cache.readLog({ from: this.updates.length + 1 })) this.updates.push(update);
    expect(this.updates.length).toBe(cache.position);
  }
}

/**
 * Checks that the cache shows its past from its oldest position on like a cache that has discarded nothing, and that
 * earlier positions are refused.
 */
export async function expectWindow(cache: AgentContextCache, log: readonly Update[]): Promise<number> {
  const { retention } = cache.health();
  const { first } = cache.health().log;
  const { begin } = retention;
  expect(first).toBeLessThanOrEqual(begin + 1);
  // The oldest position, and some of the others.
  const step = Math.max(1, Math.floor((cache.position - begin) / 8));
  const positions = new Set([begin, begin + 1, cache.position]);
  for (let position = begin; position <= cache.position; position += step) positions.add(position);
  for (const position of positions) {
    if (position > cache.position) continue;
    using view = cache.at(position);
    expectFold(view, foldTo(log, position));
  }
  const held: Update[] = [];
  for await (const update of cache.readLog()) held.push(update);
  expect(held).toEqual(log.slice(first - 1));
  await expectDifferences(cache, log, begin, cache.position);
  await expectHistories(cache, log, begin);
  await expectNothingBefore(cache, begin, first);
  return begin;
}

async function expectHistories(cache: AgentContextCache, log: readonly Update[], begin: number): Promise<void> {
  const whole = foldTo(log, cache.position);
  for (const namespace of NAMES) {
    for (const key of KEYS) {
      const versions = [];
      for await (const version of cache.history(key, namespace)) versions.push(version);
      expect(versions).toEqual(whole.history(key, namespace).filter(({ position }) => position > begin));
    }
  }
}

async function expectNothingBefore(cache: AgentContextCache, begin: number, first: number): Promise<void> {
  if (begin > 0) expect(() => cache.at(begin - 1)).toThrow(expect.objectContaining({ code: 'POSITION_UNAVAILABLE' }));
  if (first > 1) expect(await codeOf(cache.readLog({ from: first - 1 }).next())).toBe('POSITION_UNAVAILABLE');
}

import { describe, expect, it } from 'vitest';
import { AgentContextCache, type CacheOptions } from '../../src/index.ts';
import { codeOf, makeCache } from '../support/cache.ts';

describe('a duration', () => {
  it('is accepted as a number of milliseconds or as text in every option', async () => {
    const { cache, clock } = makeCache({
      ...{ log: { keepMs: '1h' }, restart: { periodMs: '1m', backOffMs: '50ms' } },
      ...{ backOff: { initialMs: '100ms', maximumMs: '5s' }, mirrorTimeoutMs: '5s' },
    });
    await cache.set('a', 1);
    clock.increment(3_600_001);
    await cache.set('a', 2);
    expect(await cache.compact()).toMatchObject({ first: 2 });
    expect(await cache.compact({ keepMs: '0ms' })).toMatchObject({ first: 3 });
    await cache.synced({ timeoutMs: '10s' });
    await cache.shutdown({ timeoutMs: '1s' });
  });

  it.each<[CacheOptions, string]>([
    [{ log: { keepMs: 'soon' } }, 'log.keepMs'],
    [{ restart: { periodMs: 'soon' } }, 'restart.periodMs'],
    [{ backOff: { maximumMs: '-1s' } }, 'backOff.maximumMs'],
    [{ mirrorTimeoutMs: '' }, 'mirrorTimeoutMs'],
  ])('is refused with the name of its option if it is invalid: %j', (options, name) => {
    expect(() => new AgentContextCache(options)).toThrow(new RegExp(`^${name} must be a number of milliseconds`));
  });

  it('is refused before the cache shuts down if it is invalid', async () => {
    const { cache } = makeCache();
    expect(await codeOf(cache.shutdown({ timeoutMs: 'soon' }))).toBe('INVALID_OPTION');
    expect(await codeOf(cache.synced({ timeoutMs: 'soon' }))).toBe('INVALID_OPTION');
    expect(await codeOf(cache.compact({ keepMs: 'soon' }))).toBe('INVALID_OPTION');
    await cache.set('a', 1);
  });
});

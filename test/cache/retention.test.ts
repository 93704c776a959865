import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { AgentContextCache, InMemoryContextCache } from '../../src/index.ts';
import { codeOf, makeCache } from '../support/cache.ts';
import { open, stateOf } from '../support/durable.ts';
import { tempDir } from '../support/temp-dir.ts';

async function bytesOf(dataDir: string): Promise<number> {
  const files = await readdir(join(dataDir, 'db'), { recursive: true });
  const sizes = await Promise.all(files.map(async (file) => (await stat(join(dataDir, 'db', file))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Returns text that does not compress. */
function noise(seed: number, length: number): string {
  let text = '';
  for (let state = seed + 1; text.length < length; ) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    text += state.toString(36);
  }
  return text.slice(0, length);
}

/** Writes this number of updates, several to a block. */
async function write(cache: AgentContextCache, count: number, bytes = 10): Promise<void> {
  for (let i = 0; i < count; i += 1) {
    void cache.set(`k${i % 50}`, noise(cache.position, bytes), `n${i % 3}`);
    if (i % 64 === 63) await cache.flush();
  }
  await cache.flush();
}

describe('compact', () => {
  it('returns disk space and keeps the present', async () => {
    const dataDir = await tempDir('retention');
    const { cache } = await open({ dataDir });
    await write(cache, 4_000, 1_000);
    const before = stateOf(cache);
    const report = await cache.compact({ keepUpdates: 100 });
    expect(report.heldBy).toBeUndefined();
    expect(report.first).toBeGreaterThan(3_800);
    expect(report.first).toBeLessThanOrEqual(3_901);
    expect(report.removed).toBe(report.first - 1);
    expect(stateOf(cache)).toEqual(before);
    expect(cache.health()).toMatchObject({ log: { first: report.first }, retention: { begin: 3_900, running: false } });
    expect(cache.at(3_900).entries('n1')).toHaveLength(50);
    await cache.shutdown();
    expect(await bytesOf(dataDir)).toBeLessThan(1_500_000);
    const { cache: again } = await open({ dataDir });
    expect(stateOf(again)).toEqual(before);
    expect(again.at(3_950).listNamespaces()).toEqual(['default', 'n0', 'n1', 'n2']);
    expect(() => again.at(3_899)).toThrow(/goes back to position 3900.*keepUpdates/);
  });

  it('makes the difference: a directory that is not compacted stays large', async () => {
    const dataDir = await tempDir('retention');
    const { cache } = await open({ dataDir });
    await write(cache, 4_000, 1_000);
    await cache.shutdown();
    expect(await bytesOf(dataDir)).toBeGreaterThan(4_000_000);
  });

  it('reports the view that holds updates, until the view is released', async () => {
    const { cache } = await open({ dataDir: await tempDir('retention') });
    await write(cache, 300);
    const view = cache.at(120);
    expect(await cache.compact({ keepUpdates: 10 })).toMatchObject({ heldBy: 'a view' });
    expect(cache.health().retention.begin).toBe(120);
    expect(view.listKeys('n0')).toHaveLength(40);
    view[Symbol.dispose]();
    expect(await cache.compact({ keepUpdates: 10 })).toMatchObject({ heldBy: undefined });
    expect(cache.health().retention.begin).toBe(290);
  });

  it('keeps the updates of an absent follower with a checkpoint until forget names it', async () => {
    const dataDir = await tempDir('retention');
    const { cache } = await open({ dataDir, secondaryCache: new InMemoryContextCache() });
    await write(cache, 50);
    await cache.synced();
    expect(await codeOf(cache.compact({ keepUpdates: 10, forget: ['mirror'] }))).toBe('INVALID_OPTION');
    await cache.shutdown();
    const { cache: alone } = await open({ dataDir, log: { keepUpdates: 10 } });
    await write(alone, 150);
    const heldBy = 'follower mirror (not running)';
    expect(await alone.compact()).toMatchObject({ heldBy });
    expect(alone.health().retention).toMatchObject({ begin: 50, heldBy });
    await alone.shutdown();
    const { cache: mirrored } = await open({ dataDir, secondaryCache: new InMemoryContextCache() });
    await mirrored.synced();
    expect(mirrored.health().followers.find(({ name }) => name === 'mirror')).toMatchObject({ delivered: 150 });
    await mirrored.shutdown();
    const { cache: last } = await open({ dataDir });
    await write(last, 20);
    expect(await last.compact({ keepUpdates: 5, forget: ['mirror'] })).toMatchObject({ heldBy: undefined });
    expect(last.health().retention.begin).toBe(215);
  });

  it('refuses to run without a bound or with an invalid one', async () => {
    const { cache } = makeCache();
    expect(await codeOf(cache.compact())).toBe('INVALID_OPTION');
    expect(await codeOf(cache.compact({ forget: [] }))).toBe('INVALID_OPTION');
    for (const wrong of [-1, 1.5, Number.NaN, 'soon' as never]) {
      for (const name of ['keepUpdates', 'keepMs', 'keepBytes']) {
        expect(await codeOf(cache.compact({ [name]: wrong }))).toBe('INVALID_OPTION');
        const isText = name === 'keepMs' && typeof wrong === 'string';
        const message = isText ? /^log\.keepMs must be a number of milliseconds/ : /must be an integer/;
        expect(() => new AgentContextCache({ log: { [name]: wrong } })).toThrow(message);
      }
    }
    expect(await codeOf(cache.compact({ keepUpdates: 0, forget: ['nobody'] }))).toBe('NOT_FOUND');
    expect(await codeOf(cache.compact({ keepUpdates: 0, forget: 'x' as never }))).toBe('INVALID_OPTION');
    expect(await cache.ask({ type: 'cache.compact', keepUpdates: 0 })).toMatchObject({ first: 1, removed: 0 });
  });

  it('keeps updates by bytes and by age', async () => {
    const { cache, clock } = await open({ dataDir: await tempDir('retention') });
    await write(cache, 100, 1_000);
    clock.increment(60_000);
    await write(cache, 100, 1_000);
    const instant = new Date(clock.now() - 1);
    await cache.compact({ keepMs: 30_000 });
    expect(cache.health().retention.begin).toBe(100);
    using view = cache.at(instant);
    expect(view.position).toBe(100);
    view[Symbol.dispose]();
    expect(() => cache.at(new Date(clock.now() - 61_000))).toThrow(/goes back to position 100/);
    await cache.compact({ keepBytes: 20_000 });
    const { begin } = cache.health().retention;
    expect(begin).toBeGreaterThan(180);
    expect(begin).toBeLessThan(190);
  });

  it('keeps frames and keyframes, so that a view in a long past needs a short fold', async () => {
    const { cache } = await open({ dataDir: await tempDir('retention') });
    await write(cache, 9_000);
    const twin = new Map<number, unknown>();
    const look = (position: number) => {
      using view = cache.at(position);
      return ['n0', 'n1', 'n2'].map((name) => view.entries(name).sort((a, b) => (a.key < b.key ? -1 : 1)));
    };
    for (let position = 1_000; position <= 9_000; position += 500) twin.set(position, look(position));
    for (const keepUpdates of [8_000, 7_990, 4_000, 1_500, 10]) {
      await cache.compact({ keepUpdates });
      for (const [position, seen] of twin) if (position >= 9_000 - keepUpdates) expect(look(position)).toEqual(seen);
    }
  });
});

describe('automatic retention', () => {
  it('discards updates beyond keepUpdates while other work continues', async () => {
    const { cache, clock, failures } = await open({
      dataDir: await tempDir('retention'),
      log: { keepUpdates: 500 },
    });
    for (let i = 0; i < 6; i += 1) await write(cache, 1_000);
    await vi.waitFor(
      () => {
        clock.increment(1_000);
        expect(cache.health().retention.begin).toBeGreaterThan(6_000 - 500 - 1_100);
      },
      { timeout: 30_000 },
    );
    expect(cache.health().retention.begin).toBeLessThanOrEqual(5_500);
    expect(failures).toEqual([]);
  });

  it('discards updates that become too old on a timer, without further writes', async () => {
    const { cache, clock } = await open({ dataDir: await tempDir('retention'), log: { keepMs: 3_600_000 } });
    await write(cache, 1_500);
    await cache.synced();
    clock.increment(3_599_000);
    expect(cache.health().retention.begin).toBe(0);
    await vi.waitFor(
      () => {
        clock.increment(1_001);
        expect(cache.health().retention.begin).toBe(1_500);
      },
      { timeout: 30_000 },
    );
    expect(cache.entries('n0')).toHaveLength(50);
  });

  it('has no timer without bounds, or when nothing can be discarded', async () => {
    const { cache } = makeCache({ log: { keepMs: 1_000 } });
    await cache.set('k', 1);
    expect(cache.health().retention).toMatchObject({ begin: 0, heldBy: undefined, running: false });
  });
});

import { afterEach, describe, expect, test, vi } from 'vitest';
import { SimulatedClock } from 'xstate';
import type { BackupSettings } from '../../../src/core/command.ts';
import { BackupLoader } from '../../../src/followers/backup/backup-loader.ts';
import { BackupManager } from '../../../src/followers/backup/backup-manager.ts';
import { BackupSink, type BackupSinkOptions } from '../../../src/followers/backup/backup-sink.ts';
import { MemorySnapshotStore } from '../../../src/followers/backup/memory-snapshot-store.ts';
import { RedisSnapshotStore } from '../../../src/followers/backup/redis-snapshot-store.ts';
import type { SnapshotStore } from '../../../src/followers/backup/snapshot-store.ts';
import { CountingStore, contentsOf, World } from '../../support/backup.ts';
import { startRedis } from '../../support/servers.ts';
import { eventually } from '../../support/waiting.ts';

const sinks: BackupSink[] = [];
afterEach(async () => {
  for (const sink of sinks.splice(0)) await sink.close();
});

function setUp(
  settings: Partial<BackupSettings> = {},
  store: SnapshotStore = new MemorySnapshotStore(),
  more: Partial<BackupSinkOptions> = {},
) {
  const world = new World();
  const clock = new SimulatedClock();
  const counting = new CountingStore(store);
  const errors: Error[] = [];
  const sink = new BackupSink({
    manager: new BackupManager({ store: counting, settings, clock }),
    captureState: () => world.capture(),
    clock,
    onError: (error) => errors.push(error),
    ...more,
  });
  sinks.push(sink);
  const set = async (value: unknown) => {
    world.set('a', 'k', value);
    await sink.deliver([], world.position);
  };
  return { world, clock, store: counting, errors, sink, set, loader: new BackupLoader({ store: counting }) };
}

describe('BackupSink', () => {
  test('enabling really enables it: what has changed is stored when it is due', async () => {
    const { sink, clock, set, loader, world } = setUp({ interval: 10 });
    expect(sink.isEnabled()).toBe(false);
    expect(await sink.connect(0)).toBe('resume');
    await set(1);
    clock.increment(60_000);
    await sink.idle();
    expect(await loader.newest()).toBeUndefined();
    sink.enable();
    clock.increment(10_000);
    await sink.idle();
    expect(await contentsOf(await loader.newest())).toEqual(world.contents());
    expect(sink.status()).toMatchObject({ enabled: true, running: false, failures: 0, lastSnapshot: { position: 1 } });
    sink.disable();
    await set(2);
    clock.increment(60_000);
    await sink.idle();
    expect((await loader.newest())?.info.position).toBe(1);
    expect(world.open).toBe(0);
  });

  test('settings are checked before anything changes, and hold at once', async () => {
    const { sink, clock, set, loader } = setUp();
    expect(() => sink.enable({ interval: -1 })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    expect(sink.isEnabled()).toBe(false);
    expect(sink.getSettings()).toEqual({ interval: 300, mode: 'periodic', keep: 5 });
    sink.enable({ mode: 'on_change', interval: 5 });
    expect(sink.getSettings()).toEqual({ interval: 5, mode: 'on_change', keep: 5 });
    await set(1);
    clock.increment(1_000);
    await sink.idle();
    expect((await loader.newest())?.info.position).toBe(1);
    sink.setSettings({ mode: 'manual' });
    await set(2);
    clock.increment(60_000);
    await sink.idle();
    expect((await loader.newest())?.info.position).toBe(1);
  });

  test('after a restart the first one due finds the stored one up to date, and writes only what came since', async () => {
    const first = setUp({ interval: 10 });
    await first.set(1);
    await first.sink.backupNow();
    const again = setUp({ interval: 10 }, first.store, { captureState: () => first.world.capture() });
    again.sink.enable();
    await again.sink.connect(first.world.position);
    again.clock.increment(10_000);
    await again.sink.idle();
    expect(again.store.takePuts()).toEqual([]);
    expect(again.sink.status().lastSnapshot).toMatchObject({ position: 1, written: { parts: 0 } });
    await first.set(2);
    await again.sink.deliver([], first.world.position);
    again.clock.increment(10_000);
    await again.sink.idle();
    expect(again.store.takePuts()).toHaveLength(2);
  });

  test('a backup asked for while one is under way has what was written before the asking', async () => {
    const { sink, store, set, loader, world } = setUp();
    const captureState = vi.spyOn(world, 'capture');
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    store.beforePut = () => gate;
    await set('first');
    const first = sink.backupNow();
    await eventually(() => expect(sink.status().running).toBe(true));
    await set('second');
    const waiting = [sink.backupNow(), sink.backupNow()];
    release();
    expect(await first).toMatchObject({ position: 1 });
    expect(await Promise.all(waiting)).toMatchObject([{ position: 2 }, { position: 2 }]);
    expect(captureState).toHaveBeenCalledTimes(2);
    expect(await contentsOf(await loader.newest())).toEqual(world.contents());
  });

  test('waiting for a backup can be given up; the backup is not', async () => {
    const { sink, set, loader } = setUp();
    await set(1);
    const stop = new AbortController();
    const waiting = sink.backupNow({ signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await sink.idle();
    expect((await loader.newest())?.info.position).toBe(1);
    await expect(sink.backupNow({ signal: stop.signal })).rejects.toThrow('enough');
  });

  test('a capture that cannot be made is a failure like any other', async () => {
    const captureState = () => {
      throw new Error('not now');
    };
    const { sink, errors, set } = setUp({}, undefined, { captureState });
    await set(1);
    await expect(sink.backupNow()).rejects.toThrow('not now');
    expect(errors).toHaveLength(1);
    expect(sink.status()).toMatchObject({ running: false, failures: 1, lastError: { message: 'not now' } });
  });

  test.each(['on_change', 'periodic'] as const)(
    '%s: draining takes what is pending, and nothing where nothing is',
    async (mode) => {
      const { sink, set, loader, world, store } = setUp({ mode, interval: 100 });
      sink.enable();
      await set(1);
      await sink.drain(new AbortController().signal);
      expect(await contentsOf(await loader.newest())).toEqual(world.contents());
      store.takePuts();
      await sink.drain();
      expect(store.takePuts()).toEqual([]);
    },
  );

  test('draining takes nothing where it is manual or disabled', async () => {
    const manual = setUp({ mode: 'manual' });
    manual.sink.enable();
    for (const { sink, set, loader } of [manual, setUp()]) {
      await set(1);
      await sink.drain();
      expect(await loader.newest()).toBeUndefined();
    }
  });

  test('draining ends with its signal though the store hangs, and closing with it', async () => {
    const { sink, set, store } = setUp({ mode: 'on_change' });
    sink.enable();
    await set(1);
    let release = () => {};
    store.beforePut = () =>
      new Promise<void>((resolve) => {
        release = resolve;
      });
    const stop = new AbortController();
    const drained = sink.drain(stop.signal);
    await eventually(() => expect(sink.status().running).toBe(true));
    stop.abort(new Error('no more time'));
    await expect(drained).rejects.toThrow('no more time');
    release();
    await sink.close();
    await sink.close();
    await expect(sink.backupNow()).rejects.toThrow();
  });

  test('Redis away while a backup is due: told, tried again, and whole when it is back', async () => {
    await using server = await startRedis();
    const redis = new RedisSnapshotStore({ url: server.url });
    const { sink, clock, set, loader, world, errors, store } = setUp({ interval: 10 }, redis);
    sink.enable();
    await set(1);
    clock.increment(10_000);
    await sink.idle();
    expect(errors).toEqual([]);

    for (let index = 0; index < 20; index += 1) world.set(`n${index}`, 'k', index);
    await set(2);
    let puts = 0;
    store.beforePut = async () => {
      puts += 1;
      if (puts === 8) await server.kill();
    };
    clock.increment(10_000);
    await sink.idle();
    expect(puts).toBeGreaterThanOrEqual(8);
    expect(errors).toMatchObject([{ code: 'UNREACHABLE' }]);
    expect(sink.status()).toMatchObject({ failures: 1, lastError: { at: 20_000 }, lastSnapshot: { position: 1 } });

    clock.increment(1_000);
    await sink.idle();
    expect(sink.status().failures).toBe(2);

    await server.restart();
    clock.increment(2_000);
    await sink.idle();
    const status = sink.status();
    expect(status).toMatchObject({ failures: 0, lastSnapshot: { position: world.position, whole: true } });
    expect(status).not.toHaveProperty('lastError');
    const loaded = await loader.newest();
    expect(await contentsOf(loaded)).toEqual(world.contents());
    expect(world.open).toBe(0);
  });
});

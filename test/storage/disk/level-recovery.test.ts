import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { describe, expect, it } from 'vitest';
import { LevelLog } from '../../../src/storage/disk/log/level-log.ts';
import { blockKey } from '../../../src/storage/disk/records/block-codec.ts';
import { FaultStorage, isBlock } from '../../support/fault-storage.ts';
import { all, positions, someSets } from '../../support/log.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { eventually } from '../../support/waiting.ts';

const anError = (code: string) => expect.objectContaining({ code });

async function open() {
  const storage = new FaultStorage();
  const clock = new ManualClock();
  const dataDir = await tempDir('log');
  const log = await LevelLog.open({ dataDir, clock, openStorage: storage.open });
  const committed: number[] = [];
  const states: string[] = [];
  log.onCommit((updates) => committed.push(...positions(updates)));
  log.onStatus((status, cause) => states.push(cause === undefined ? status : `${status}: ${cause.message}`));
  log.append(someSets(2));
  await log.flush();
  return { storage, clock, dataDir, log, committed, states };
}

/** The next write of a block has this fate; all later ones succeed. */
function once(storage: FaultStorage, fate: 'lost' | 'unknown', meanwhile = () => {}): void {
  storage.decide = (writes) => {
    if (!isBlock(writes)) return 'done';
    storage.decide = () => 'done';
    meanwhile();
    return fate;
  };
}

async function degraded(log: LevelLog): Promise<void> {
  await eventually(() => expect(log.status).toBe('degraded'));
}

async function mended(log: LevelLog, clock: ManualClock): Promise<void> {
  await eventually(() => {
    clock.advance(5000);
    expect(log.status).toBe('ready');
  });
}

describe('when a write of the log fails', () => {
  for (const fate of ['lost', 'unknown'] as const) {
    it(`a group that was ${fate === 'lost' ? 'not written' : 'written all the same'} is in the log once, and in order`, async () => {
      const { storage, clock, log, committed, states, dataDir } = await open();
      let second: Promise<void> | undefined;
      once(storage, fate, () => {
        log.append(someSets(2, 5));
        second = log.whenCommitted(6);
      });
      log.append(someSets(2, 3));
      const first = log.whenCommitted(4);
      await expect(first).rejects.toThrow(anError('OUTCOME_UNKNOWN'));
      await expect(second).rejects.toThrow(anError('OUTCOME_UNKNOWN'));
      expect(log.status).toBe('degraded');
      expect(() => log.append(someSets(1, 7))).toThrow(anError('LOG_UNAVAILABLE'));
      expect([log.head, log.committed]).toEqual([6, 2]);
      await expect(log.flush()).rejects.toThrow(anError('OUTCOME_UNKNOWN'));
      expect(positions(await all(log.read(1)))).toEqual([1, 2]);
      expect(clock.pending).toEqual([100]);
      await mended(log, clock);
      expect(states).toEqual(['degraded: injected: I/O error', 'ready']);
      expect(log.whenCommitted(6)).toBeUndefined();
      log.append(someSets(1, 7));
      await log.flush();
      expect(committed).toEqual([1, 2, 3, 4, 5, 6, 7]);
      await log.close();
      const again = await LevelLog.open({ dataDir });
      expect(positions(await all(again.read(1)))).toEqual([1, 2, 3, 4, 5, 6, 7]);
      await again.close();
    });
  }

  it('it tries less and less often, never on the same handle, and reports a new cause', async () => {
    const { storage, clock, log, states } = await open();
    once(storage, 'lost');
    storage.refuseOpen = true;
    log.append(someSets(1, 3));
    await degraded(log);
    for (const delay of [100, 200, 400, 800, 1600, 3200, 5000, 5000]) {
      await eventually(() => expect(clock.pending).toEqual([delay]));
      clock.advance(delay);
    }
    expect(storage.opened).toBe(1);
    storage.refuseOpen = false;
    await mended(log, clock);
    expect(storage.opened).toBe(2);
    expect(log.committed).toBe(3);
    expect(states.map((state) => state.split(':')[0])).toEqual(['degraded', 'degraded', 'ready']);
    expect(states[1]).toContain('cannot open');
    await log.close();
  });

  it('a write that fails again during the recovery is recovered again', async () => {
    const { storage, clock, log, committed } = await open();
    let failures = 3;
    storage.decide = (writes) => {
      if (!isBlock(writes) || failures === 0) return 'done';
      failures -= 1;
      return failures % 2 === 0 ? 'lost' : 'unknown';
    };
    log.append(someSets(2, 3));
    await degraded(log);
    await mended(log, clock);
    expect(committed).toEqual([1, 2, 3, 4]);
    await log.close();
  });

  it('no writer needs to wait, and followers continue at their checkpoints', async () => {
    const { storage, clock, log } = await open();
    const follower = log.follower('f');
    once(storage, 'lost');
    log.append(someSets(3, 3));
    // Not handled: it must not become an unhandled rejection, which fails the run.
    void log.whenCommitted(5);
    await degraded(log);
    expect((await follower.read(10))?.through).toBe(2);
    await follower.save(2);
    await mended(log, clock);
    expect((await follower.read(10))?.updates.map(({ position }) => position)).toEqual([3, 4, 5]);
    await log.close();
  });

  it('a read from disk continues after the change of handles', async () => {
    const { storage, clock, log } = await open();
    for (let i = 0; i < 40; i += 1) {
      log.append(someSets(500, log.head + 1));
      await log.flush();
    }
    const before = log.head;
    await log.close();
    const again = await LevelLog.open({ dataDir: log.directory.path, clock, openStorage: storage.open });
    let entries = 0;
    storage.beforeEntry = async () => {
      entries += 1;
      if (entries !== 5) return;
      once(storage, 'lost');
      again.append(someSets(1, before + 1));
      await degraded(again);
      await mended(again, clock);
    };
    const got = positions(await all(again.read(1, before)));
    expect(storage.opened).toBe(3);
    expect(got).toEqual(Array.from({ length: before }, (_, index) => index + 1));
    await again.close();
  });

  it('a log that has lost committed updates stays degraded, and nothing is written to it', async () => {
    const { storage, clock, log, states, dataDir } = await open();
    once(storage, 'lost');
    storage.beforeOpen = async (location) => {
      storage.beforeOpen = async () => {};
      const db = new ClassicLevel(location);
      await db.del(blockKey(1));
      await db.close();
    };
    log.append(someSets(2, 3));
    await degraded(log);
    clock.advance(100);
    await eventually(() => expect(clock.pending).toEqual([200]));
    expect(states.at(-1)).toContain('ends at position 0 although 2 was committed');
    await expect(log.close()).rejects.toThrow(anError('OUTCOME_UNKNOWN'));
    const db = new ClassicLevel(join(dataDir, 'db'));
    expect(await db.keys({ gte: '!log!', lt: '!log"' }).all()).toEqual([]);
    await db.close();
  });

  it('a failed write of a setting is recovered as well', async () => {
    const { storage, clock, log, committed } = await open();
    storage.decide = () => 'lost';
    await expect(log.configStore.set('topics', [])).rejects.toThrow(anError('OUTCOME_UNKNOWN'));
    expect(log.configStore.get('topics')).toBeUndefined();
    expect(log.status).toBe('degraded');
    storage.decide = () => 'done';
    await mended(log, clock);
    await log.configStore.set('topics', []);
    log.append(someSets(1, 3));
    await log.flush();
    expect(committed).toEqual([1, 2, 3]);
    await log.close();
  });
});

describe('closing a log that is degraded', () => {
  it('writes what is left if that works again', async () => {
    const { storage, clock, log, dataDir } = await open();
    once(storage, 'lost');
    log.append(someSets(2, 3));
    await degraded(log);
    await log.close();
    expect(clock.pending).toEqual([]);
    const again = await LevelLog.open({ dataDir });
    expect(again.head).toBe(4);
    await again.close();
  });

  it('ends, and reports what it could not write', async () => {
    const { storage, log, states, dataDir } = await open();
    storage.decide = () => 'lost';
    log.append(someSets(2, 3));
    await degraded(log);
    await expect(log.close()).rejects.toThrow(anError('OUTCOME_UNKNOWN'));
    expect(log.status).toBe('closed');
    expect(states.at(-1)).toBe('closed');
    const again = await LevelLog.open({ dataDir });
    expect(again.head).toBe(2);
    await again.close();
  });

  it('ends when the write fails while closing', async () => {
    const { storage, log, dataDir } = await open();
    storage.refuseOpen = true;
    storage.decide = () => 'lost';
    log.append(someSets(2, 3));
    await expect(log.close()).rejects.toThrow(anError('OUTCOME_UNKNOWN'));
    const again = await LevelLog.open({ dataDir });
    expect(again.head).toBe(2);
    await again.close();
  });
});

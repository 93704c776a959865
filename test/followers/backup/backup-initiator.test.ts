import { describe, expect, test } from 'vitest';
import { SimulatedClock } from 'xstate';
import type { BackupSettings, BackupSettingsChange } from '../../../src/core/command.ts';
import { BackupInitiator } from '../../../src/followers/backup/backup-initiator.ts';
import { DEFAULT_BACKUP_SETTINGS, mergeBackupSettings } from '../../../src/followers/backup/backup-settings.ts';

/** A simulated clock that tells how many timers wait. */
class CountingClock extends SimulatedClock {
  readonly waiting = new Set<unknown>();
  override setTimeout(callback: () => void, delayMs: number): number {
    if (delayMs > 2 ** 31 - 1) throw new Error('Node would fire at once.');
    const handle = super.setTimeout(() => {
      this.waiting.delete(handle);
      callback();
    }, delayMs);
    this.waiting.add(handle);
    return handle;
  }
  override clearTimeout(handle: number): void {
    this.waiting.delete(handle);
    super.clearTimeout(handle);
  }
}

function setUp(settings: Partial<BackupSettings>, answer: 'succeed' | 'fail' | 'nothing' = 'succeed') {
  const clock = new CountingClock();
  const due: number[] = [];
  const state = { answer, position: 0 };
  const initiator = new BackupInitiator({
    settings: mergeBackupSettings(DEFAULT_BACKUP_SETTINGS, settings),
    clock,
    due: () => {
      due.push(clock.now());
      initiator.started();
      if (state.answer === 'succeed') initiator.succeeded(state.position);
      if (state.answer === 'fail') initiator.failed();
    },
  });
  const update = () => {
    state.position += 1;
    initiator.updated(state.position);
  };
  /** In small steps, so that every timer fires in its time. */
  const advance = (ms: number) => {
    for (let left = ms; left > 0; left -= 100) clock.increment(Math.min(100, left));
  };
  return { clock, due, state, initiator, update, advance };
}

describe('periodic', () => {
  test('a snapshot at every full interval in which something has changed, and none in which nothing has', () => {
    const { initiator, due, update, advance, clock } = setUp({ interval: 10 });
    initiator.enable();
    advance(25_000);
    expect(clock.waiting.size).toBe(0);
    update();
    update();
    expect(clock.waiting.size).toBe(1);
    advance(5_000);
    expect(due).toEqual([30_000]);
    expect(clock.waiting.size).toBe(0);
    advance(100_000);
    expect(due).toEqual([30_000]);
    update();
    advance(10_000);
    expect(due).toEqual([30_000, 140_000]);
    for (let second = 0; second < 30; second += 1) {
      update();
      advance(1_000);
    }
    expect(due).toEqual([30_000, 140_000, 150_000, 160_000, 170_000]);
  });

  test('what changes while a snapshot is taken comes into the next', () => {
    const { initiator, due, update, advance, state, clock } = setUp({ interval: 10 }, 'nothing');
    initiator.enable();
    update();
    advance(10_000);
    update();
    advance(3_000);
    expect(clock.waiting.size).toBe(0);
    initiator.succeeded(1);
    state.answer = 'succeed';
    advance(7_000);
    expect(due).toEqual([10_000, 20_000]);
    expect(initiator.changed).toBe(false);
  });

  test('a snapshot that took longer than an interval is not followed by another at once', () => {
    const { initiator, due, update, advance, state } = setUp({ interval: 10 }, 'nothing');
    initiator.enable();
    update();
    advance(10_000);
    update();
    advance(25_000);
    initiator.succeeded(1);
    state.answer = 'succeed';
    advance(4_900);
    expect(due).toEqual([10_000]);
    advance(100);
    expect(due).toEqual([10_000, 40_000]);
  });

  test('a snapshot asked for in between counts', () => {
    const { initiator, due, update, advance } = setUp({ interval: 10 });
    initiator.enable();
    update();
    advance(6_000);
    initiator.started();
    initiator.succeeded(1);
    advance(20_000);
    expect(due).toEqual([]);
    update();
    advance(10_000);
    expect(due).toEqual([36_000]);
  });

  test('the longest interval is kept, though no timer is that long', () => {
    const { initiator, due, update, clock } = setUp({ interval: 30 * 24 * 60 * 60 });
    initiator.enable();
    update();
    clock.increment(2 ** 31 - 1);
    expect(due).toEqual([]);
    clock.increment(30 * 24 * 60 * 60 * 1_000 - (2 ** 31 - 1) - 1);
    expect(due).toEqual([]);
    clock.increment(1);
    expect(due).toHaveLength(1);
  });
});

describe('on_change', () => {
  test('soon after a change, at most once an interval, and no timer while nothing changes', () => {
    const { initiator, due, update, advance, clock } = setUp({ interval: 10, mode: 'on_change' });
    initiator.enable();
    advance(5_000);
    expect(clock.waiting.size).toBe(0);
    update();
    advance(500);
    update();
    advance(500);
    expect(due).toEqual([6_000]);
    expect(clock.waiting.size).toBe(0);
    for (let second = 0; second < 25; second += 1) {
      update();
      advance(1_000);
    }
    expect(due).toEqual([6_000, 16_000, 26_000]);
    advance(10_000);
    expect(due).toEqual([6_000, 16_000, 26_000, 36_000]);
    advance(100_000);
    expect(due).toHaveLength(4);
    expect(clock.waiting.size).toBe(0);
  });

  test('an interval shorter than the settling time is not drawn out', () => {
    const { initiator, due, update, advance } = setUp({ interval: 0.2, mode: 'on_change' });
    initiator.enable();
    update();
    advance(200);
    expect(due).toEqual([200]);
  });
});

describe('manual and disabled', () => {
  test('nothing ever becomes due, and no timer waits', () => {
    const manual = setUp({ interval: 1, mode: 'manual' });
    manual.initiator.enable();
    const disabled = setUp({ interval: 1 });
    for (const { update, advance, due, clock } of [manual, disabled]) {
      update();
      expect(clock.waiting.size).toBe(0);
      advance(10_000);
      expect(due).toEqual([]);
    }
    expect(manual.initiator.changed).toBe(true);
    expect(manual.initiator.pending).toBe(false);
  });

  test('what changed while disabled is taken once enabled', () => {
    const { initiator, due, update, advance, clock } = setUp({ interval: 10 });
    update();
    advance(7_000);
    initiator.enable();
    expect(initiator.pending).toBe(true);
    advance(10_000);
    expect(due).toEqual([17_000]);
    update();
    initiator.disable();
    expect(clock.waiting.size).toBe(0);
    advance(60_000);
    expect(due).toEqual([17_000]);
  });
});

describe('settings changed while running', () => {
  test('a shorter interval holds at once, and so does a longer one', () => {
    const { initiator, due, update, advance } = setUp({ interval: 100 });
    const set = (interval: number) => initiator.setSettings({ interval, mode: 'periodic', keep: 5 });
    initiator.enable();
    update();
    advance(30_000);
    set(20);
    advance(100);
    expect(due).toHaveLength(1);
    update();
    set(50);
    advance(49_900);
    expect(due).toHaveLength(1);
    advance(200);
    expect(due).toHaveLength(2);
  });

  test('the mode can be changed to and fro', () => {
    const { initiator, due, update, advance, clock } = setUp({ interval: 100 });
    const set = (mode: BackupSettings['mode']) => initiator.setSettings({ interval: 100, mode, keep: 5 });
    initiator.enable();
    update();
    set('manual');
    expect(clock.waiting.size).toBe(0);
    advance(500_000);
    expect(due).toEqual([]);
    set('on_change');
    advance(100);
    expect(due).toHaveLength(1);
    set('periodic');
    update();
    advance(99_900);
    expect(due).toHaveLength(1);
    advance(100);
    expect(due).toHaveLength(2);
  });
});

describe('failure', () => {
  test('tries again with a growing pause until it succeeds, then goes on as usual', () => {
    const { initiator, due, update, advance, state, clock } = setUp({ interval: 10 }, 'fail');
    initiator.enable();
    update();
    advance(10_000 + 1_000 + 2_000 + 4_000);
    expect(due).toEqual([10_000, 11_000, 13_000, 17_000]);
    advance(600_000);
    expect(due.at(-1)).toBeGreaterThan((due.at(-2) ?? 0) + 59_000);
    state.answer = 'succeed';
    advance(60_000);
    expect(initiator.changed).toBe(false);
    expect(clock.waiting.size).toBe(0);
    const tries = due.length;
    update();
    advance(10_000);
    expect(due).toHaveLength(tries + 1);
  });

  test('a failed one that only its caller wanted changes no plan', () => {
    const { initiator, due, update, advance, clock } = setUp({ interval: 10 });
    initiator.enable();
    initiator.started();
    initiator.failed();
    expect(clock.waiting.size).toBe(0);
    update();
    advance(9_900);
    expect(due).toEqual([]);
    advance(100);
    expect(due).toEqual([10_000]);
  });

  test('after stop nothing becomes due, but what is pending is known', () => {
    const { initiator, due, update, advance, clock } = setUp({ interval: 10 });
    initiator.enable();
    update();
    initiator.stop();
    expect(clock.waiting.size).toBe(0);
    advance(50_000);
    expect(due).toEqual([]);
    expect(initiator.pending).toBe(true);
  });
});

describe('settings', () => {
  test.each([
    [{ interval: 0 }, 'interval'],
    [{ interval: -1 }, 'interval'],
    [{ interval: Number.NaN }, 'interval'],
    [{ interval: Number.POSITIVE_INFINITY }, 'interval'],
    [{ interval: 30 * 24 * 60 * 60 + 1 }, 'interval'],
    [{ interval: '5' }, 'interval'],
    [{ interval: 'soon' }, 'interval'],
    [{ interval: '31 days' }, 'interval'],
    [{ intervalMs: 0 }, 'intervalMs'],
    [{ interval: 60, intervalMs: 60_000 }, 'intervalMs'],
    [{ intervalms: 60_000 }, 'intervalMs'],
    [{ mode: 'sometimes' }, 'mode'],
    [{ mode: null }, 'mode'],
    [{ keep: 0 }, 'keep'],
    [{ keep: 1.5 }, 'keep'],
    [{ keep: 10_001 }, 'keep'],
    [{ every: 5 }, 'every'],
    [JSON.parse('{"__proto__": 5}'), '__proto__'],
    [[], 'settings'],
  ])('%j is refused and named', (changes, name) => {
    const merge = () => mergeBackupSettings(DEFAULT_BACKUP_SETTINGS, changes as BackupSettingsChange);
    expect(merge).toThrow(expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringContaining(name) }));
  });

  test.each([
    [{ interval: 60 }, 60],
    [{ interval: '60s' }, 60],
    [{ interval: '1.5m' }, 90],
    [{ intervalMs: 60_000 }, 60],
    [{ intervalMs: '10s' }, 10],
    [{ intervalMs: 10 }, 0.01],
  ])('%j is an interval of %d seconds', (changes, interval) => {
    expect(mergeBackupSettings(DEFAULT_BACKUP_SETTINGS, changes)).toEqual({ interval, mode: 'periodic', keep: 5 });
  });

  test('what is not named stays', () => {
    const changed = mergeBackupSettings(DEFAULT_BACKUP_SETTINGS, { keep: 1 });
    expect(changed).toEqual({ interval: 300, mode: 'periodic', keep: 1 });
    expect(mergeBackupSettings(changed, { interval: 0.5, mode: 'manual' })).toEqual({
      interval: 0.5,
      mode: 'manual',
      keep: 1,
    });
  });
});

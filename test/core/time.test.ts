import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SimulatedClock } from 'xstate';
import { systemClock } from '../../src/core/clock.ts';
import { withDeadline } from '../../src/core/deadline.ts';
import { decideRestart, type RestartPolicy } from '../../src/core/restart-policy.ts';
import { fcOptions } from '../support/property.ts';

/** Counts the pending timers. */
class CountingClock extends SimulatedClock {
  readonly pending = new Set<unknown>();

  override setTimeout(callback: () => void, delayMs: number): number {
    const handle = super.setTimeout(() => {
      this.pending.delete(handle);
      callback();
    }, delayMs);
    this.pending.add(handle);
    return handle;
  }

  override clearTimeout(handle: number): void {
    this.pending.delete(handle);
    super.clearTimeout(handle);
  }
}

describe('withDeadline', () => {
  const start = (work: (signal: AbortSignal) => Promise<unknown>) => {
    const clock = new CountingClock();
    const controller = new AbortController();
    let told: AbortSignal | undefined;
    const outcome = withDeadline(
      (signal) => {
        told = signal;
        return work(signal);
      },
      { what: 'The thing', timeoutMs: 100, clock, signal: controller.signal },
    ).then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
    const nothingIsLeft = () => {
      expect(clock.pending.size).toBe(0);
      expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    };
    return { clock, controller, outcome, nothingIsLeft, told: () => told };
  };
  const never = () => new Promise<never>(() => {});

  it('settles like the work', async () => {
    const good = start(async () => 'done');
    expect(await good.outcome).toEqual({ value: 'done' });
    good.nothingIsLeft();
    const failure = new Error('no');
    const bad = start(() => Promise.reject(failure));
    expect(await bad.outcome).toEqual({ error: failure });
    bad.nothingIsLeft();
    expect(bad.told()?.aborted).toBe(false);
  });

  it('rejects after the time-out and aborts the work', async () => {
    const { clock, outcome, nothingIsLeft, told } = start(never);
    clock.increment(99);
    expect(told()?.aborted).toBe(false);
    clock.increment(1);
    expect(await outcome).toMatchObject({
      error: { code: 'TIMED_OUT', message: 'The thing did not answer within 100 ms.' },
    });
    expect(told()?.aborted).toBe(true);
    nothingIsLeft();
  });

  it('rejects with the reason of the signal', async () => {
    const { controller, outcome, nothingIsLeft, told } = start(never);
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await outcome).toEqual({ error: reason });
    expect(told()?.reason).toBe(reason);
    nothingIsLeft();
  });

  it('does not start the work if the signal is already aborted', async () => {
    let began = false;
    const work = async () => {
      began = true;
    };
    const outcome = withDeadline(work, {
      what: 'It',
      timeoutMs: 1,
      clock: new SimulatedClock(),
      signal: AbortSignal.abort(new Error('no')),
    });
    await expect(outcome).rejects.toThrow('no');
    expect(began).toBe(false);
  });

  it('leaves no timer or listener behind if the work throws at once', async () => {
    const { outcome, nothingIsLeft } = start(() => {
      throw new Error('at once');
    });
    expect(await outcome).toMatchObject({ error: { message: 'at once' } });
    nothingIsLeft();
  });

  it('ignores a late outcome', async () => {
    let finish: (value: string) => void = () => {};
    const { clock, outcome } = start(
      () =>
        new Promise((resolve) => {
          finish = resolve;
        }),
    );
    clock.increment(100);
    finish('late');
    expect(await outcome).toMatchObject({ error: { code: 'TIMED_OUT' } });
  });
});

describe('decideRestart', () => {
  const policy: RestartPolicy = { intensity: 3, periodMs: 1_000, backOffMs: 10 };

  it('restarts at once, then after a growing wait, then gives up', () => {
    expect(decideRestart(policy, [], 0)).toEqual({ delayMs: 0 });
    expect(decideRestart(policy, [0], 1)).toEqual({ delayMs: 10 });
    expect(decideRestart(policy, [0, 1], 2)).toEqual({ delayMs: 20 });
    expect(decideRestart(policy, [0, 1, 2], 3)).toBe('give-up');
  });

  it('ignores crashes older than the period', () => {
    expect(decideRestart(policy, [0, 1, 2], 999)).toBe('give-up');
    expect(decideRestart(policy, [0, 1, 2], 1_000)).toEqual({ delayMs: 20 });
    expect(decideRestart(policy, [0, 1, 2], 1_002)).toEqual({ delayMs: 0 });
  });

  it('never allows more restarts in a period than the policy', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(400), { maxLength: 50 }), fc.nat(5), (waits, intensity) => {
        const crashes: number[] = [];
        const restarts: number[] = [];
        let now = 0;
        for (const wait of waits) {
          now += wait;
          const verdict = decideRestart({ ...policy, intensity }, crashes, now);
          crashes.push(now);
          if (verdict !== 'give-up') restarts.push(now);
        }
        for (const from of restarts)
          expect(restarts.filter((at) => at >= from && at - from < policy.periodMs).length).toBeLessThanOrEqual(
            intensity,
          );
      }),
      fcOptions(200),
    );
  });
});

describe('the system clock', () => {
  it('does not fire at once if a delay exceeds the longest one of Node', async () => {
    let fired = false;
    const handle = systemClock.setTimeout(() => {
      fired = true;
    }, 2 ** 40);
    systemClock.unref?.(handle);
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    expect(fired).toBe(false);
    systemClock.clearTimeout(handle);
    expect(Math.abs(systemClock.now() - Date.now())).toBeLessThan(60_000);
  });
});

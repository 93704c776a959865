import { createHash } from 'node:crypto';
import TinyQueue from 'tinyqueue';
import type { Clock } from '../../../src/core/clock.ts';

interface Scheduled {
  readonly at: number;
  readonly order: number;
  run: (() => void) | undefined;
}

/** All events as one hash: two runs with the same hash did the same. */
export class Trace {
  readonly #hash = createHash('sha256');
  readonly #last: string[] = [];
  count = 0;
  /** Simulated time of the next event. */
  now = 0;

  note(what: string): void {
    const event = `${this.now} ${what}`;
    this.count += 1;
    this.#hash.update(event).update('\n');
    this.#last.push(event);
    if (this.#last.length > Number(process.env.KEEP ?? 40)) this.#last.shift();
  }

  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  /** Returns the last events, to find a cause. */
  last(): string {
    return this.#last.join('\n');
  }
}

/** Simulated time: a queue of events. Only {@link Timeline.step} makes one happen. */
export class Timeline {
  readonly trace: Trace;
  /** Increases with every change of the queue. */
  changes = 0;
  #now = 1_700_000_000_000;
  readonly #queue = new TinyQueue<Scheduled>([], (a, b) => a.at - b.at || a.order - b.order);

  constructor(trace: Trace) {
    this.trace = trace;
  }

  get now(): number {
    return this.#now;
  }

  /** Lets time pass without events. */
  passUntil(instant: number): void {
    this.#now = Math.max(this.#now, instant);
    this.trace.now = this.#now;
  }

  after(delayMs: number, run: () => void): Scheduled {
    this.changes += 1;
    const scheduled: Scheduled = { at: this.now + Math.max(0, delayMs), order: this.changes, run };
    this.#queue.push(scheduled);
    return scheduled;
  }

  cancel(scheduled: Scheduled): void {
    this.changes += 1;
    scheduled.run = undefined;
  }

  /** Resolves after a delay. */
  wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.after(delayMs, resolve));
  }

  /** Instant of the next event; `undefined` if there is none. */
  get next(): number | undefined {
    while (this.#queue.peek() !== undefined && this.#queue.peek()?.run === undefined) this.#queue.pop();
    return this.#queue.peek()?.at;
  }

  /** Runs the next event, and everything that follows from it at the same instant. */
  async step(): Promise<void> {
    const at = this.next;
    if (at === undefined) throw new Error('Nothing will ever happen again.');
    const scheduled = this.#queue.pop();
    this.passUntil(at);
    const run = scheduled?.run;
    if (scheduled !== undefined) scheduled.run = undefined;
    run?.();
    await this.settle();
  }

  /** Lets the event loop turn until nothing follows any more. */
  async settle(): Promise<void> {
    for (let quiet = 0, seen = this.#activity; quiet < 2; ) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      quiet = seen === this.#activity ? quiet + 1 : 0;
      seen = this.#activity;
    }
  }

  get #activity(): number {
    return this.changes + this.trace.count;
  }
}

/** The clock of one simulated process. Its timers end with the process. */
export class ProcessClock implements Clock {
  readonly #timeline: Timeline;
  readonly #timers = new Set<Scheduled>();
  #dead = false;

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  /** Number of timers that are set. */
  get pending(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#timeline.now;
  }

  setTimeout(callback: () => void, delayMs: number): unknown {
    if (this.#dead) return undefined;
    const timer = this.#timeline.after(delayMs, () => {
      this.#timers.delete(timer);
      callback();
    });
    this.#timers.add(timer);
    return timer;
  }

  clearTimeout(handle: unknown): void {
    const timer = handle as Scheduled;
    if (this.#timers.delete(timer)) this.#timeline.cancel(timer);
  }

  die(): void {
    this.#dead = true;
    for (const timer of this.#timers) this.#timeline.cancel(timer);
    this.#timers.clear();
  }
}

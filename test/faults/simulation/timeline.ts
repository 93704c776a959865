import { createHash } from 'node:crypto';
import TinyQueue from 'tinyqueue';
import type { Clock } from '../../../src/core/clock.ts';

interface Scheduled {
  readonly at: number;
  readonly order: number;
  run: (() => void) | undefined;
}

/** Everything that has happened, as one hash: two runs that give the same have done the same. */
export class Trace {
  readonly #hash = createHash('sha256');
  readonly #last: string[] = [];
  count = 0;
  /** Simulated time of what is noted next. */
  now = 0;

  note(what: string): void {
    const event = `${this.now} ${what}`;
    this.count += 1;
    this.#hash.update(event).update('\n');
    this.#last.push(event);
    if (this.#last.length > 40) this.#last.shift();
  }

  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  /** The end of it, for whoever looks for a cause. */
  last(): string {
    return this.#last.join('\n');
  }
}

/** Simulated time: what is to happen, in order. Nothing happens but by {@link Timeline.step}. */
export class Timeline {
  readonly trace: Trace;
  /** Grows with every change of what is to come. */
  changes = 0;
  #now = 1_700_000_000_000;
  readonly #queue = new TinyQueue<Scheduled>([], (a, b) => a.at - b.at || a.order - b.order);

  constructor(trace: Trace) {
    this.trace = trace;
  }

  get now(): number {
    return this.#now;
  }

  /** Nothing happens until then. */
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

  /** A promise of that moment. */
  wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.after(delayMs, resolve));
  }

  /** When the next thing happens; `undefined`: never. */
  get next(): number | undefined {
    while (this.#queue.peek() !== undefined && this.#queue.peek()?.run === undefined) this.#queue.pop();
    return this.#queue.peek()?.at;
  }

  /** Lets the next thing happen, and whatever follows from it at the same moment. */
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

  /** Lets the event loop go round until nothing comes of it any more. */
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

/** The clock of one simulated process. When that dies, nothing it waited for happens. */
export class ProcessClock implements Clock {
  readonly #timeline: Timeline;
  readonly #timers = new Set<Scheduled>();
  #dead = false;

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  /** Timers that are set. */
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

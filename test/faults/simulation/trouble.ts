import type { Random } from '../support.ts';
import type { Timeline } from './timeline.ts';

/** A process as its environment sees it. */
export interface Living {
  readonly alive: boolean;
}

/** Never settles, for calls of a dead process. */
const NEVER = new Promise<never>(() => {});

/** The outcome of a failing call: nothing is done, a part of a write, or all of it. It is reported as failed anyway. */
export type Fate = 'lost' | 'torn' | 'done';

/** Decides how long the calls of a disk take and which of them fail. */
export class Trouble {
  /** Instant until which writes fail. */
  failingUntil = 0;
  /** Instant until which nothing can be opened. */
  closedUntil = 0;
  /** Share of single writes that fail by chance. */
  failureRate = 0;
  /** Share of calls that are slow. */
  slowRate = 0.3;
  readonly timeline: Timeline;
  readonly random: Random;

  constructor(timeline: Timeline, random: Random) {
    this.timeline = timeline;
    this.random = random;
  }

  get isClosed(): boolean {
    return this.timeline.now < this.closedUntil;
  }

  /** Returns the fate of a call that fails; `undefined` if it succeeds. */
  strike(): Fate | undefined {
    const fails = this.timeline.now < this.failingUntil || this.random.next() < this.failureRate;
    if (!fails) return undefined;
    this.timeline.trace.note('disk failed');
    return this.random.pick(['lost', 'torn', 'done']);
  }

  end(): void {
    this.failureRate = 0;
    this.failingUntil = 0;
    this.closedUntil = 0;
  }

  /** Waits: mostly not at all, otherwise up to `most` milliseconds. Never resolves for a dead process. */
  async delayed(process: Living, most: number): Promise<void> {
    if (this.random.next() < this.slowRate) await this.wait(process, most);
    if (!process.alive) await NEVER;
  }

  /** Waits up to `most` milliseconds. Never resolves for a dead process. */
  async wait(process: Living, most: number): Promise<void> {
    // A disk that is never slow works without a timeline that advances.
    if (this.slowRate > 0) await this.timeline.wait(this.random.next() * most);
    if (!process.alive) await NEVER;
  }
}

import { type Clock, systemClock } from '../../index.ts';
import { shownCount } from './format.ts';

/** The output that the line is drawn on; see `Output`. */
export interface ProgressLine {
  readonly showsProgress: boolean;
  progress(text: string): void;
  clearProgress(): void;
}

/** Time between two drawings, milliseconds. */
const DRAW_MS = 200;
/** Work shorter than this, milliseconds, shows no progress. */
const PATIENCE_MS = 400;
const WIDTH = 24;

/**
 * Progress of long work on a terminal; nothing if messages go elsewhere. Draws a bar if the share of the work is known,
 * otherwise a count and the time.
 */
export class Progress implements Disposable {
  readonly #output: ProgressLine;
  readonly #clock: Clock;
  readonly #startedAt: number;
  #what: string;
  #detail = '';
  #fraction: number | undefined;
  #dueAt: number;
  #timer: unknown;

  constructor(output: ProgressLine, what: string, clock: Clock = systemClock) {
    this.#output = output;
    this.#what = what;
    this.#clock = clock;
    this.#startedAt = clock.now();
    this.#dueAt = this.#startedAt + PATIENCE_MS;
    if (output.showsProgress) this.#wait();
  }

  /** Sets the count so far, as in `12,345 lines`, and the share of all work, from 0 to 1, if it is known. */
  count(count: number, unit: string, fraction?: number): void {
    if (!this.#output.showsProgress) return;
    this.#detail = `${shownCount(count)} ${unit}`;
    this.#fraction = fraction;
    this.#drawIfDue();
  }

  /** Names the next part of the work. */
  turnTo(what: string): void {
    this.#what = what;
    this.#detail = '';
    this.#fraction = undefined;
    this.#drawIfDue();
  }

  /** Ends the progress and removes the line. */
  [Symbol.dispose](): void {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#dueAt = Number.POSITIVE_INFINITY;
    this.#output.clearProgress();
  }

  /** Redraws the time while nothing is counted. */
  #wait(): void {
    this.#timer = this.#clock.setTimeout(() => {
      this.#drawIfDue();
      this.#wait();
    }, DRAW_MS);
    this.#clock.unref?.(this.#timer);
  }

  #drawIfDue(): void {
    const now = this.#clock.now();
    if (now < this.#dueAt || !this.#output.showsProgress) return;
    this.#dueAt = now + DRAW_MS;
    this.#output.progress(progressLine(this.#what, this.#detail, this.#fraction, now - this.#startedAt));
  }
}

/** `Replaying [############------------]  50 % 1,000 updates, 3 s`. */
export function progressLine(what: string, detail: string, fraction: number | undefined, elapsedMs: number): string {
  const seconds = `${Math.floor(elapsedMs / 1_000)} s`;
  const after = detail === '' ? seconds : `${detail}, ${seconds}`;
  if (fraction === undefined) return `${what} … ${after}`;
  const share = Math.min(1, Math.max(0, fraction));
  const full = Math.floor(share * WIDTH);
  const percent = String(Math.floor(share * 100)).padStart(3);
  return `${what} [${'#'.repeat(full)}${'-'.repeat(WIDTH - full)}] ${percent} % ${after}`;
}

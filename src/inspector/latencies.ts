/** Milliseconds that are told apart; longer ones count as this. */
const LONGEST_MS = 10_000;
/** Of a second's updates so many are all measured, … */
const ALL = 512;
/** … and of those after that one of so many (a power of two). */
const ONE_OF = 16;

/** How long updates took from being asked for to being committed, of one second. */
export class Latencies {
  #counts = new Uint32Array(LONGEST_MS + 1);
  #measured = 0;
  #seen = 0;
  #longest = 0;

  /** Whether the next update is to be measured. */
  wants(): boolean {
    this.#seen += 1;
    return this.#seen <= ALL || (this.#seen & (ONE_OF - 1)) === 0;
  }

  add(ms: number): void {
    // A clock that was put back makes none take less than nothing.
    const whole = Math.min(LONGEST_MS, Math.max(0, Math.round(ms)));
    this.#counts[whole] = (this.#counts[whole] ?? 0) + 1;
    this.#measured += 1;
    this.#longest = Math.max(this.#longest, whole);
  }

  /** The latency that this part of the updates does not exceed; `null` where there were none. */
  quantile(part: number): number | null {
    if (this.#measured === 0) return null;
    const wanted = Math.ceil(part * this.#measured);
    for (let ms = 0, sum = 0; ms <= this.#longest; ms += 1) {
      sum += this.#counts[ms] ?? 0;
      if (sum >= wanted) return ms;
    }
    return this.#longest;
  }

  clear(): void {
    this.#counts.fill(0, 0, this.#longest + 1);
    this.#measured = 0;
    this.#seen = 0;
    this.#longest = 0;
  }
}

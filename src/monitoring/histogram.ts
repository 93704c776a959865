/** Buckets to a doubling of the duration: a quantile is wrong by at most 9 %. */
const PER_OCTAVE = 4;
/** Upper bound of the first bucket, milliseconds: a quarter of a microsecond. */
const FIRST_MS = 1 / 4096;
/** Number of octaves: up to 2^18 ms, more than 4 minutes. Longer durations are in the last bucket. */
const OCTAVES = 30;
const BUCKETS = OCTAVES * PER_OCTAVE + 1;

/** The quantiles of durations. */
export interface Latency {
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  /** The longest that was measured. */
  readonly maxMs: number;
}

/** Durations in buckets of fixed bounds. Adding one takes some nanoseconds and no memory. */
export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #sumMs = 0;
  #maxMs = 0;

  /** Number of durations that the histogram stands for. */
  get count(): number {
    return this.#count;
  }

  get sumMs(): number {
    return this.#sumMs;
  }

  /** Adds a duration, `weight` times: a sample stands for the operations that were not measured. */
  add(durationMs: number, weight: number): void {
    // A clock that was set back.
    const ms = Math.max(durationMs, 0);
    const bucket = ms <= FIRST_MS ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log2(ms / FIRST_MS) * PER_OCTAVE));
    this.#counts[bucket] = (this.#counts[bucket] as number) + weight;
    this.#count += weight;
    this.#sumMs += ms * weight;
    if (ms > this.#maxMs) this.#maxMs = ms;
  }

  /** Returns the quantiles; `undefined` if nothing was measured. */
  latency(): Latency | undefined {
    if (this.#count === 0) return undefined;
    const [p50Ms, p90Ms, p99Ms] = [0.5, 0.9, 0.99].map((quantile) => this.#quantile(quantile)) as [
      number,
      number,
      number,
    ];
    return { p50Ms, p90Ms, p99Ms, maxMs: this.#maxMs };
  }

  /** Yields the bounds of whole octaves, every second one from 1/1024 ms on, with the number of durations up to each. */
  *cumulative(): Generator<{ readonly upToMs: number; readonly count: number }> {
    let count = this.#counts[0] as number;
    for (let octave = 1; octave < OCTAVES; octave += 1) {
      for (let i = 1; i <= PER_OCTAVE; i += 1) count += this.#counts[(octave - 1) * PER_OCTAVE + i] as number;
      if (octave >= 2 && octave % 2 === 0) yield { upToMs: FIRST_MS * 2 ** octave, count };
    }
  }

  /** Returns the middle of the bucket that the quantile is in, but no more than the longest duration. */
  #quantile(quantile: number): number {
    const wanted = quantile * this.#count;
    let seen = 0;
    for (let i = 0; i < BUCKETS; i += 1) {
      seen += this.#counts[i] as number;
      if (seen >= wanted && seen > 0) return Math.min(this.#maxMs, FIRST_MS * 2 ** ((i - 0.5) / PER_OCTAVE));
    }
    return this.#maxMs;
  }
}

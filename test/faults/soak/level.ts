/** One measurement of the soaked process, after garbage collection. */
export interface Sample {
  /** Bytes of objects and buffers. */
  readonly heap: number;
  /** Handles that keep the event loop alive, without timers and requests under way. */
  readonly handles: number;
  readonly timers: number;
  /** Open files and sockets, without the tables that LevelDB keeps open (it limits them itself). */
  readonly descriptors: number;
  /** Bytes in the data directory. Files of the log are removed when they have 16 MiB, so the number goes up and down. */
  readonly files: number;
}

const MB = 1024 * 1024;

/** How much the second half may exceed the first. */
export const TOLERANCE: Sample = { heap: 6 * MB, handles: 4, timers: 6, descriptors: 6, files: 24 * MB };

/** Names of the measurements. */
const MEASURES = Object.keys(TOLERANCE) as (keyof Sample)[];

/**
 * Medians of the first and of the second half of a run, without its first fifth, in which everything is made that
 * stays. A median ignores the moment when a server has just stopped and ten attempts are under way.
 */
export function levels(samples: readonly Sample[]): Record<keyof Sample, readonly [early: number, late: number]> {
  const settled = samples.slice(Math.ceil(samples.length / 5));
  const half = Math.floor(settled.length / 2);
  const of = (what: keyof Sample) =>
    [settled.slice(0, half), settled.slice(-half)].map((part) => median(part.map((sample) => sample[what])));
  return Object.fromEntries(MEASURES.map((what) => [what, of(what)])) as unknown as ReturnType<typeof levels>;
}

/**
 * Describes what has not levelled off: the second median is above the first by more than the tolerance. Something that
 * grows by `r` with each of `n` samples lifts it by `r * n / 2`, so growth of twice the tolerance in a run is found.
 */
export function growing(samples: readonly Sample[]): string[] {
  const found = levels(samples);
  return MEASURES.flatMap((what) => {
    const [early, late] = found[what];
    return late - early > TOLERANCE[what] ? [`${what}: ${early} became ${late}`] : [];
  });
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

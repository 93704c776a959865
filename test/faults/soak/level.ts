/** Measured again and again by the soaked process, after it has collected its garbage. */
export interface Sample {
  /** Bytes of objects and buffers. */
  readonly heap: number;
  /** What holds the event loop, apart from timers and requests under way. */
  readonly handles: number;
  readonly timers: number;
  /** Open files and sockets, without the tables that LevelDB keeps open (it bounds them itself). */
  readonly descriptors: number;
  /** Bytes in the data directory. Without retention the log has to grow: then without the log. */
  readonly files: number;
}

const MB = 1024 * 1024;

/** By how much the second half may be above the first. */
export const TOLERANCE: Sample = { heap: 6 * MB, handles: 4, timers: 6, descriptors: 6, files: 8 * MB };

/**
 * What has not levelled off, in words. The first fifth is left out, while everything is made that stays. The median of
 * the second half of the rest is held against that of the first: a median does not mind the moment when a server has
 * just gone and ten things are being tried. Something that grows by `r` with each of `n` samples lifts the second
 * median by `r * n / 2` above the first; so what is found is any growth over twice the tolerance in the whole run.
 */
export function growing(samples: readonly Sample[]): string[] {
  const settled = samples.slice(Math.ceil(samples.length / 5));
  const half = Math.floor(settled.length / 2);
  return (Object.keys(TOLERANCE) as (keyof Sample)[]).flatMap((what) => {
    const early = median(settled.slice(0, half).map((sample) => sample[what]));
    const late = median(settled.slice(-half).map((sample) => sample[what]));
    return late - early > TOLERANCE[what] ? [`${what}: ${early} became ${late}`] : [];
  });
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/**
 * Returns settings for `fc.assert(property, fcOptions())`. `FC_SEED` repeats a run (fast-check prints seed and path if a
 * property fails); `FC_RUNS` multiplies the number of runs.
 *
 * @param runs number of runs. Default 100.
 */
export function fcOptions(runs = 100): { numRuns: number; seed?: number } {
  const numRuns = Math.max(1, Math.round(runs * numberFrom('FC_RUNS', 1)));
  const seed = process.env.FC_SEED === undefined ? {} : { seed: numberFrom('FC_SEED', 0) };
  return { numRuns, ...seed };
}

function numberFrom(variable: string, fallback: number): number {
  const text = process.env[variable];
  if (text === undefined || text === '') return fallback;
  const number = Number(text);
  if (Number.isFinite(number)) return number;
  throw new Error(`${variable} must be a number, not ${JSON.stringify(text)}.`);
}

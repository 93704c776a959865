import { backOffMs } from './back-off.ts';

/** Limits of restarting a crashed namespace before it is given up. */
export interface RestartPolicy {
  /** This many restarts … Default 5. */
  readonly intensity: number;
  /** … within this time, milliseconds; one more and the namespace is given up. Default 60,000. */
  readonly periodMs: number;
  /** Wait before the second restart of a period, doubled for each further one. The first is at once. Default 50. */
  readonly backOffMs: number;
}

export const DEFAULT_RESTART_POLICY: RestartPolicy = { intensity: 5, periodMs: 60_000, backOffMs: 50 };

/**
 * Decides whether a namespace that crashed at `now` is restarted, and after how many milliseconds. `crashes`: instants of
 * its earlier crashes, oldest first.
 */
export function decideRestart(
  policy: RestartPolicy,
  crashes: readonly number[],
  now: number,
): { readonly delayMs: number } | 'give-up' {
  const recent = crashes.filter((at) => now - at < policy.periodMs).length;
  if (recent >= policy.intensity) return 'give-up';
  return { delayMs: recent === 0 ? 0 : backOffMs(recent, policy.backOffMs, Number.POSITIVE_INFINITY) };
}

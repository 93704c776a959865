import type { Clock } from '../core/clock.ts';
import type { LeftUndone, Sequencer } from './sequencer.ts';

const NOTHING: LeftUndone = { unfinishedCommands: false, undelivered: [] };

/**
 * Leaves the cluster within `timeoutMs`. Resolves with what could not be finished, and what is left of the time for the
 * other parts of a shutdown. Without a cluster nothing is done.
 */
export async function leaveCluster(
  { sequencer, clock }: { readonly sequencer: Sequencer | undefined; readonly clock: Clock },
  timeoutMs: number,
): Promise<{ readonly left: LeftUndone; readonly leftMs: number }> {
  if (sequencer === undefined) return { left: NOTHING, leftMs: timeoutMs };
  const elapsed = () => clock.elapsed?.() ?? clock.now();
  const start = elapsed();
  const left = await sequencer.close(timeoutMs);
  return { left, leftMs: Math.max(0, timeoutMs - (elapsed() - start)) };
}

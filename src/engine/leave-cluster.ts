import type { Clock } from '../core/clock.ts';
import type { LeftUndone, Sequencer } from './sequencer.ts';

/** What a node has left undone, and the time that is left for the other parts of a shutdown. */
interface Leave {
  readonly left: LeftUndone;
  readonly leftMs: number;
}

/** Returns the leave of a cache without cluster: in the same turn, so that no later command is executed. */
export function nothingToLeave(timeoutMs: number): Leave {
  return { left: { unfinishedCommands: false, undelivered: [] }, leftMs: timeoutMs };
}

/** Leaves the cluster within `timeoutMs`. */
export async function leaveCluster(
  { sequencer, clock }: { readonly sequencer: Sequencer; readonly clock: Clock },
  timeoutMs: number,
): Promise<Leave> {
  const elapsed = () => clock.elapsed?.() ?? clock.now();
  const start = elapsed();
  const left = await sequencer.close(timeoutMs);
  return { left, leftMs: Math.max(0, timeoutMs - (elapsed() - start)) };
}

import { type Clock, elapsedBy } from '../core/clock.ts';
import type { LeftUndone, Sequencer } from './sequencer.ts';

/** The end of a node's part in a shutdown. */
interface Leave {
  /** The commands and deliveries that the node did not finish. */
  readonly left: LeftUndone;
  /** Time for the other parts of the shutdown. */
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
  const start = elapsedBy(clock);
  const left = await sequencer.close(timeoutMs);
  return { left, leftMs: Math.max(0, timeoutMs - (elapsedBy(clock) - start)) };
}
